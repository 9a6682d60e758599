//! Which names the label values in the ledger's documents have.
//!
//! A document lists the values of the extra labels in the order of the configuration that its job was settled
//! under. So the ledger keeps the names beside it, with the row from which on they hold, and who reads values
//! back finds them by name: a configuration may order the labels anew, add some or leave some out. To others
//! the ledger shows them by name in its view `labels`; the API, the command line and `export` name them too.

use std::collections::BTreeMap;

use spantally_store::{LedgerReader, StoreError};

use crate::history::History;
use crate::job_json::labels::{by_name, with_names};

/// Under which name the ledger keeps it.
pub(crate) const META: &str = "label_names";

/// Names by the first row of the ledger that has values for them.
pub(crate) type LabelHistory = History<Vec<String>>;

impl LabelHistory {
    /// That of a ledger; empty where it keeps none that can be read.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn of(ledger: &LedgerReader) -> Result<Self, StoreError> {
        Ok(ledger.load_meta(META)?.and_then(|text| Self::parse(&text)).unwrap_or_default())
    }

    /// The document of a row with the names of its labels; as it is where nobody knows them any more.
    pub(crate) fn name(&self, row: u64, document: String) -> String {
        match self.at(row) {
            Some(names) => with_names(document, names),
            None => document,
        }
    }

    /// The labels of a list that is that of a row, by name.
    pub(crate) fn by_name<'v>(&'v self, row: u64, values: &'v [String]) -> BTreeMap<&'v str, &'v str> {
        self.at(row).map(|names| by_name(names, values)).unwrap_or_default()
    }

    /// The value of a label in a list that is that of a row.
    pub(crate) fn value<'v>(&self, row: u64, values: &'v [String], name: &str) -> Option<&'v String> {
        values.get(self.at(row)?.iter().position(|known| known == name)?)
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
        assert_eq!(history.note(0, names(&["team", "env"])), None);
        assert_eq!(history.note(5, names(&["team", "env"])), None, "nothing changed");
        assert_eq!(history.note(8, names(&["env"])), Some(names(&["team", "env"])));
        assert_eq!(history.note(8, names(&["env", "team"])), Some(names(&["env"])), "no row was written");
        let text = history.to_text();
        // The ledger's view `labels` reads it too.
        assert_eq!(text, r#"[[0,["team","env"]],[8,["env","team"]]]"#);
        let history = LabelHistory::parse(text.as_bytes()).unwrap();
        let values = names(&["red", "blue"]);
        let value = |row, name| history.value(row, &values, name).map(String::as_str);
        assert_eq!((value(7, "team"), value(8, "team")), (Some("red"), Some("blue")));
        assert_eq!((value(7, "env"), value(9, "env"), value(9, "x")), (Some("blue"), Some("red"), None));
        assert_eq!(LabelHistory::parse(b"[[3,[]],[2,[]]]"), None);
    }
}
