//! The extra labels: each must be one that a page can have beside all others.

use super::error::ConfigError;
use super::file::List;
use super::leaf::Resolver;
use super::text::{AttributeName, FromText};
use crate::export::canonical::taken_by;
use crate::export::labels::legal_name;

const KEY: &str = "processors.spantally.labels";
/// Most extra labels: each multiplies the number of series.
const MAX_LABELS: usize = 16;

/// The name of an attribute that becomes a label: one with signs of a list in it is a list that was quoted by
/// mistake, of which no sender has an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelName(AttributeName);

impl FromText for LabelName {
    fn expected() -> String {
        format!("{}, without spaces, commas, brackets and quotes", AttributeName::expected())
    }

    fn from_text(text: &str) -> Option<Self> {
        let is_of_a_list = |c: char| "[]{},\"'".contains(c);
        AttributeName::from_text(text).filter(|_| !text.contains(is_of_a_list)).map(Self)
    }
}

impl From<LabelName> for String {
    fn from(name: LabelName) -> Self {
        name.0.into()
    }
}

impl Resolver<'_> {
    /// Reads the names. Two labels of one name on a sample and a scraper takes none of the page.
    pub(super) fn labels(&mut self, list: &List, labels: &mut Vec<String>) -> Result<(), ConfigError> {
        self.read_list_of::<LabelName>(KEY, list, MAX_LABELS, labels)?;
        for (at, key) in labels.iter().enumerate() {
            let name = legal_name(key);
            let before = labels[..at].iter().find(|before| legal_name(before) == name);
            let before = before.map(|before| format!("`{before}` becomes it, too"));
            let Some(taken) = before.or_else(|| taken_by(&name)) else { continue };
            let message = format!("{KEY}: `{key}` cannot become the label `{name}`: {taken}");
            let help = "leave it out, or have the sender's resource name the same under another attribute";
            let written = list.as_ref().and_then(|list| list.value.get(at)).map(|leaf| leaf.referenced);
            return Err(self.error_of(KEY, written, &message, "taken already", Some(help)));
        }
        Ok(())
    }
}
