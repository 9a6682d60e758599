//! The labels that many metrics share, rendered once.
//!
//! A *label set* is one combination of `provider, model, operation, service, tenant` and the configured extra
//! labels. It is turned into exposition text when first seen and from then on is a number. The limit is on
//! label sets, not on series: past it a new combination is counted in one overflow set, whose series keep the
//! labels of their own (cause, currency, ...), so that sums by cause and by currency stay exact. The marker
//! is OpenTelemetry's own `otel_metric_overflow="true"` (specification, metrics SDK, cardinality limits).

use std::sync::Arc;

use hashbrown::HashMap;

use super::canonical::{COMMON, canonical};

/// Marks the set in which label sets past the limit are counted.
pub(super) const OVERFLOW_LABEL: &str = "otel_metric_overflow";

/// Values of the common labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommonLabels<'a> {
    /// Provider file's name.
    pub provider: &'a str,
    /// Model; empty when unknown.
    pub model: &'a str,
    /// Operation; empty when unknown.
    pub operation: &'a str,
    /// `service.name`.
    pub service: &'a str,
    /// Tenant; empty when there is only one.
    pub tenant: &'a str,
    /// Values of the extra labels, in the order of the configuration; an empty one is no label.
    pub extra: &'a [Arc<str>],
}

/// Number of a label set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(u32);

impl SetId {
    /// No common labels: metrics about Spantally itself.
    pub const NONE: Self = Self(0);
    /// Where label sets past the limit are counted.
    pub(crate) const OVERFLOW: Self = Self(1);
}

/// The label sets in use.
#[derive(Debug)]
pub struct LabelSets {
    texts: Vec<Arc<str>>,
    by_text: HashMap<Arc<str>, SetId, foldhash::fast::RandomState>,
    /// Legal name of each extra label and its place in the configuration, in the order of names.
    extra_names: Vec<(Arc<str>, usize)>,
    limit: usize,
    overflowed: u64,
    scratch: String,
}

impl LabelSets {
    /// At most `limit` label sets; `extra_names` are the configured labels, made legal if they are not.
    pub fn new(limit: usize, extra_names: &[Arc<str>]) -> Self {
        let legal = |(place, name): (usize, &Arc<str>)| (legal_name(name).into(), place);
        let mut extra_names: Vec<(Arc<str>, usize)> = extra_names.iter().enumerate().map(legal).collect();
        extra_names.sort_unstable();
        let mut overflow = String::new();
        push_label(&mut overflow, OVERFLOW_LABEL, "true");
        Self {
            texts: vec!["".into(), overflow.into()],
            by_text: HashMap::default(),
            extra_names,
            limit,
            overflowed: 0,
            scratch: String::new(),
        }
    }

    /// The number of a label set, which is [`SetId::OVERFLOW`] for a new one at the limit.
    pub fn intern(&mut self, labels: &CommonLabels<'_>) -> SetId {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        let common = [labels.provider, labels.model, labels.operation, labels.service, labels.tenant];
        let extra = self.extra_names.iter().filter_map(|(name, place)| {
            let value = labels.extra.get(*place).filter(|value| !value.is_empty())?;
            Some((&**name, &**value))
        });
        for (name, value) in COMMON.into_iter().zip(common).chain(extra) {
            push_label(&mut text, name, value);
        }
        let set = self.intern_text(&text);
        self.scratch = text;
        set
    }

    fn intern_text(&mut self, text: &str) -> SetId {
        if let Some(&set) = self.by_text.get(text) {
            return set;
        }
        if self.by_text.len() >= self.limit {
            self.overflowed += 1;
            return SetId::OVERFLOW;
        }
        let set = SetId(self.texts.len() as u32);
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.by_text.insert(text, set);
        set
    }

    /// Every set of labels that a job has or had.
    pub fn of_jobs(&self) -> impl Iterator<Item = SetId> + use<> {
        (SetId::OVERFLOW.0 + 1..self.texts.len() as u32).map(SetId)
    }

    /// The rendered labels of a set, without braces.
    pub fn text(&self, set: SetId) -> &str {
        &self.texts[set.0 as usize]
    }

    /// How many label sets are in use.
    pub fn len(&self) -> usize {
        self.by_text.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_text.is_empty()
    }

    /// How many there may be.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How often a new label set was refused.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// The texts of the sets, in the order in which they came.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts[2..].iter().map(|text| &**text)
    }

    /// Takes a set back that an earlier process had, under whatever configuration.
    pub(crate) fn restore(&mut self, text: &str) {
        self.intern_text(&canonical(text, 0));
    }
}

/// Appends `name="value"`, with a comma when it is not the first.
pub(crate) fn push_label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    // Hardly any value has one of these, so it is copied in one piece.
    let mut rest = value;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'\\' => r"\\",
            b'"' => r#"\""#,
            _ => r"\n",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// An attribute key as a label name: `team.name` becomes `team_name`, as the OpenTelemetry specification maps
/// them.
pub(crate) fn legal_name(key: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = key.chars().map(legal).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("key_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(model: &str) -> CommonLabels<'_> {
        CommonLabels { provider: "fal", model, operation: "", service: "clips", tenant: "", extra: &[] }
    }

    #[test]
    fn values_are_escaped_and_names_made_legal() {
        let mut sets = LabelSets::new(9, &["team.name".into(), "9lives".into()]);
        let extra = ["a \"b\"\n".into(), "\\".into()];
        let set = sets.intern(&CommonLabels { extra: &extra, ..labels("m") });
        assert_eq!(
            sets.text(set),
            concat!(
                r#"provider="fal",model="m",operation="",service="clips",tenant="","#,
                r#"key_9lives="\\",team_name="a \"b\"\n""#
            )
        );
    }

    #[test]
    fn an_extra_label_without_a_value_is_no_label_and_their_order_is_that_of_names() {
        let values: [Arc<str>; 2] = ["red".into(), "blue".into()];
        let mut sets = LabelSets::new(9, &["team".into(), "env".into()]);
        let both = sets.intern(&CommonLabels { extra: &values, ..labels("m") });
        let text = sets.text(both).to_owned();
        assert!(text.ends_with(r#"tenant="",env="blue",team="red""#), "{text}");
        let none = sets.intern(&CommonLabels { extra: &["".into(), "".into()], ..labels("m") });
        assert_eq!(sets.intern(&labels("m")), none);

        // What another order, and a label more, were written as is the same set.
        let mut again = LabelSets::new(9, &["env".into(), "team".into()]);
        let bare = sets.text(none).to_owned();
        let otherwise = text.replace(r#"env="blue",team="red""#, r#"team="red",env="blue",x="""#);
        for saved in [&text, &bare, &otherwise] {
            again.restore(saved);
        }
        assert_eq!(again.texts().collect::<Vec<_>>(), [&text, &bare]);
    }

    #[test]
    fn equal_sets_have_one_number_and_past_the_limit_there_is_one_more() {
        let mut sets = LabelSets::new(2, &[]);
        let (a, b) = (sets.intern(&labels("a")), sets.intern(&labels("b")));
        assert_ne!(a, b);
        assert_eq!(sets.intern(&labels("c")), SetId::OVERFLOW);
        assert_eq!(sets.intern(&labels("a")), a);
        assert_eq!((sets.len(), sets.overflowed()), (2, 1));
    }
}
