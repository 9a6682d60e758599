//! Which names the label values in the ledger's documents have.
//!
//! A document lists the values of the extra labels in the order of the configuration that its job was settled
//! under. So the ledger keeps the names beside it, with the row from which on they hold, and who reads values
//! back finds them by name: a configuration may order the labels anew, add some or leave some out.

/// Most changes of the configuration that are kept; what was settled before the oldest of them has no labels.
const CHANGES_MAX: usize = 256;

/// Names by the first row of the ledger that has values for them, in the order of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelHistory {
    changes: Vec<(u64, Vec<String>)>,
}

impl LabelHistory {
    /// Reads what [`Self::to_text`] wrote; none when it is not readable.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let changes: Vec<(u64, Vec<String>)> = serde_json::from_slice(text).ok()?;
        changes.is_sorted_by(|one, next| one.0 < next.0).then_some(Self { changes })
    }

    /// As the ledger keeps it.
    pub(crate) fn to_text(&self) -> String {
        // Serialising numbers and texts to memory cannot fail.
        serde_json::to_string(&self.changes).unwrap_or_default()
    }

    /// Notes the names of all rows from `row` on; the ones before, if they were others.
    pub(crate) fn note(&mut self, row: u64, names: &[String]) -> Option<Vec<String>> {
        let before = self.changes.last().map(|(_, names)| names.clone());
        if before.as_deref() == Some(names) {
            return None;
        }
        self.changes.retain(|(first, _)| *first < row);
        self.changes.push((row, names.to_vec()));
        let surplus = self.changes.len().saturating_sub(CHANGES_MAX);
        self.changes.drain(..surplus);
        before
    }

    /// The value of a label in a list that is that of a row.
    pub(crate) fn value<'v>(&self, row: u64, values: &'v [String], name: &str) -> Option<&'v String> {
        let after = self.changes.partition_point(|(first, _)| *first <= row);
        let (_, names) = &self.changes[after.checked_sub(1)?];
        values.get(names.iter().position(|known| known == name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_value_is_found_by_the_names_of_its_row() {
        let mut history = LabelHistory::default();
        assert_eq!(history.note(0, &names(&["team", "env"])), None);
        assert_eq!(history.note(5, &names(&["team", "env"])), None, "nothing changed");
        assert_eq!(history.note(8, &names(&["env"])), Some(names(&["team", "env"])));
        assert_eq!(history.note(8, &names(&["env", "team"])), Some(names(&["env"])), "no row was written");
        let history = LabelHistory::parse(history.to_text().as_bytes()).unwrap();
        let values = names(&["red", "blue"]);
        let value = |row, name| history.value(row, &values, name).map(String::as_str);
        assert_eq!((value(7, "team"), value(8, "team")), (Some("red"), Some("blue")));
        assert_eq!((value(7, "env"), value(9, "env"), value(9, "x")), (Some("blue"), Some("red"), None));
        assert_eq!(LabelHistory::parse(b"[[3,[]],[2,[]]]"), None);
    }

    #[test]
    fn it_is_bounded() {
        let mut history = LabelHistory::default();
        for row in 0..2000 {
            history.note(row, &names(&[["a", "b"][row as usize % 2]]));
        }
        assert_eq!(history.changes.len(), CHANGES_MAX);
        assert_eq!(history.value(0, &names(&["x"]), "a"), None);
    }
}
