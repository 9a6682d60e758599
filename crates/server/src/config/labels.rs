//! The extra labels: each must be one that a page can have beside all others.

use super::error::ConfigError;
use super::file::List;
use super::leaf::Resolver;
use crate::export::canonical::taken_by;
use crate::export::labels::legal_name;

const KEY: &str = "processors.spantally.labels";
/// Most extra labels: each multiplies the number of series.
const MAX_LABELS: usize = 16;

impl Resolver<'_> {
    /// Reads the names. Two labels of one name on a sample and a scraper takes none of the page.
    pub(super) fn labels(&mut self, list: &List, labels: &mut Vec<String>) -> Result<(), ConfigError> {
        self.read_list(KEY, list, MAX_LABELS, labels)?;
        for (at, key) in labels.iter().enumerate() {
            let name = legal_name(key);
            let before = labels[..at].iter().find(|before| legal_name(before) == name);
            let before = before.map(|before| format!("`{before}` becomes it, too"));
            let Some(taken) = before.or_else(|| taken_by(&name)) else { continue };
            let message = format!("{KEY}: `{key}` cannot become the label `{name}`: {taken}");
            let help = "leave it out, or have the sender's resource name the same under another attribute";
            let written = list.as_ref().and_then(|list| list.value.get(at)).map(|leaf| leaf.referenced);
            return Err(self.error_of(KEY, written, &message, "taken already", help));
        }
        Ok(())
    }
}
