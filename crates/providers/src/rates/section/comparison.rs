//! What a fact must be, as it is written: a word or a number, a list of them, or a range.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::rates::words::Number;

/// What a fact must be.
#[derive(Clone, Debug)]
pub enum Comparison {
    /// This word or number; `*` stands for any run of characters.
    One(String),
    /// Any of these.
    Any(Vec<String>),
    /// A number in a range.
    Range(NumberRange),
}

/// A range of numbers, both ends included.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberRange {
    /// At least this.
    pub at_least: Option<Number>,
    /// At most this.
    pub at_most: Option<Number>,
}

impl<'de> Deserialize<'de> for Comparison {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ComparisonVisitor)
    }
}

struct ComparisonVisitor;

impl<'de> Visitor<'de> for ComparisonVisitor {
    type Value = Comparison;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word, a list of words, or {at_least: 5, at_most: 10}")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Comparison, E> {
        Ok(Comparison::One(text.to_owned()))
    }

    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<Comparison, E> {
        self.visit_str(if flag { "true" } else { "false" })
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Comparison, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Comparison, E> {
        self.visit_str(&number.to_string())
    }

    /// The shortest text that reads back as the same float is what was written, up to 15 digits.
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Comparison, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Comparison, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Comparison::Any)
    }

    fn visit_map<A: MapAccess<'de>>(self, range: A) -> Result<Comparison, A::Error> {
        NumberRange::deserialize(MapAccessDeserializer::new(range)).map(Comparison::Range)
    }
}
