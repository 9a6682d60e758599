//! The extra labels of a document: a list of values in the ledger, an object by name for everybody else.
//!
//! The ledger keeps values alone, in the order of the configuration that their job was settled under: the
//! names are the same in every document of a run ([`crate::label_history`]). Names are in the order of the
//! alphabet, and a label without a value is left out, as in the ledger's view `labels`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::{JobDocument, JobFields, Show};

/// A document whose labels have names.
#[derive(Clone, Copy, Debug)]
pub struct NamedDocument<'a> {
    pub(super) document: JobDocument<'a>,
    pub(super) names: &'a [Arc<str>],
}

impl NamedDocument<'_> {
    /// The document as one line of JSON.
    ///
    /// # Errors
    /// The serialiser's; there are none in practice.
    pub fn to_json(self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self)
    }
}

impl Serialize for NamedDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = JobFields::new(self.document, Show::Values);
        fields.labels = Labels::Named(by_name(self.names, &self.document.job.labels));
        fields.serialize(serializer)
    }
}

/// Labels as a document has them.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Labels<'a> {
    Listed(&'a [Arc<str>]),
    Named(BTreeMap<&'a str, &'a str>),
}

impl Labels<'_> {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Listed(values) => values.is_empty(),
            Self::Named(labels) => labels.is_empty(),
        }
    }
}

/// Values by name, without those that are empty.
pub(crate) fn by_name<'v, N: AsRef<str>, V: AsRef<str>>(
    names: &'v [N],
    values: &'v [V],
) -> BTreeMap<&'v str, &'v str> {
    let pairs = names.iter().zip(values).map(|(name, value)| (name.as_ref(), value.as_ref()));
    pairs.filter(|(_, value)| !value.is_empty()).collect()
}

/// The values of a ledger's document, and where they stand in it. No text in it can be taken for the key:
/// a quotation mark in a text has a backslash before it.
pub(crate) fn listed(document: &str) -> Option<(Vec<String>, std::ops::Range<usize>)> {
    const KEY: &str = ",\"labels\":";
    let from = document.find(KEY)?;
    let values = &document[from + KEY.len()..];
    let mut read = serde_json::Deserializer::from_str(values).into_iter::<Vec<String>>();
    let list = read.next()?.ok()?;
    Some((list, from..from + KEY.len() + read.byte_offset()))
}

/// A ledger's document with the names of its labels.
pub(crate) fn with_names<N: AsRef<str>>(mut document: String, names: &[N]) -> String {
    let Some((values, place)) = listed(&document) else { return document };
    let labels = by_name(names, &values);
    // Texts are always written.
    let written = serde_json::to_string(&labels).unwrap_or_default();
    let field = if labels.is_empty() { String::new() } else { format!(",\"labels\":{written}") };
    document.replace_range(place, &field);
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_ledgers_document_get_their_names() {
        let odd = r#"{"model":",\"labels\":[\"x\"]","labels":["re\"d]","","b"],"parent_task":"p"}"#;
        for (document, names, expected) in [
            (
                odd,
                &["team", "env", "area"][..],
                r#"{"model":",\"labels\":[\"x\"]","labels":{"area":"b","team":"re\"d]"},"parent_task":"p"}"#,
            ),
            (r#"{"cost":{},"labels":["",""]}"#, &["team", "env"][..], r#"{"cost":{}}"#),
            (r#"{"cost":{}}"#, &["team"][..], r#"{"cost":{}}"#),
            // By its name already.
            (r#"{"cost":{},"labels":{"team":"a"}}"#, &["env"][..], r#"{"cost":{},"labels":{"team":"a"}}"#),
        ] {
            assert_eq!(with_names(document.to_owned(), names), expected);
        }
    }
}
