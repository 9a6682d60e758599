//! A test file of a provider file, as it is written.
//!
//! Reading is strict: an unknown key is an error with its line. `docs/rules-test.md` explains it to those who
//! write one.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

/// The day of time 0 where a file names none.
const DAY: &str = "2026-11-20";

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestFile {
    /// The provider file that is tested, by its `provider`.
    pub(super) provider: String,
    /// The day at whose beginning (UTC) time is 0: prices are dated.
    #[serde(default = "default_day")]
    pub(super) day: String,
    pub(super) tests: Vec<Test>,
}

fn default_day() -> String {
    DAY.to_owned()
}

/// One situation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    /// What happens, in words.
    pub(super) name: Spanned<String>,
    /// The day of time 0 of this test, in place of the file's.
    pub(super) day: Option<String>,
    pub(super) spans: Vec<SpanLine>,
    /// The jobs that it is, by start.
    pub(super) jobs: Vec<ExpectedJob>,
}

/// One span, or several that are alike. Exactly one of `get` to `span` says what it did.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpanLine {
    /// Start, in seconds; a list makes a span of each.
    #[serde(default)]
    pub(super) at: Values,
    /// Duration, in seconds.
    pub(super) took: Option<Seconds>,
    pub(super) get: Option<String>,
    pub(super) post: Option<String>,
    pub(super) put: Option<String>,
    pub(super) delete: Option<String>,
    /// A remote procedure call, `Service/Method`, as a span that shows no URL.
    pub(super) rpc: Option<String>,
    /// A request that the application serves: `POST /webhooks/fal?order=1`.
    pub(super) serve: Option<String>,
    /// Any other span of the application, by its name.
    pub(super) span: Option<String>,
    /// A status code; `timeout`, `refused`, `reset`, `none`; 200 when absent.
    pub(super) answer: Option<String>,
    /// So that others can name it as their parent.
    pub(super) name: Option<String>,
    pub(super) parent: Option<String>,
    /// All spans of a test are of one trace unless they say otherwise; `-` is one of its own.
    pub(super) trace: Option<String>,
    /// Captured request headers.
    #[serde(default)]
    pub(super) sends: BTreeMap<String, String>,
    /// Captured response headers.
    #[serde(default)]
    pub(super) gets: BTreeMap<String, String>,
    /// Further attributes.
    #[serde(default, rename = "with")]
    pub(super) attributes: BTreeMap<String, serde_json::Value>,
}

/// Seconds after time 0, exact.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seconds(pub(super) Decimal);

impl Seconds {
    /// A number that is not negative.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|seconds| *seconds >= Decimal::ZERO).map(Self)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is not a number of seconds")))
    }
}

/// One value or several, as they are written: a scalar or a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = Values;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value or a list of values")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Values, E> {
        Ok(Values(vec![text.to_owned()]))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Values, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Values, E> {
        self.visit_str(&number.to_string())
    }

    /// The shortest text that reads back as the same float is what was written, up to 15 digits.
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Values, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Values, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Values(values))
    }
}

/// A job as it must be. What is not said is not compared; `attempts` and `charges`, if given, are all.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedJob {
    pub(super) outcome: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) model: Option<String>,
    pub(super) operation: Option<String>,
    /// The task that it derives from.
    pub(super) parent: Option<String>,
    pub(super) attempts: Option<Vec<ExpectedAttempt>>,
    pub(super) charges: Option<Vec<ExpectedCharge>>,
    /// Sum by currency; an empty mapping: nothing.
    pub(super) cost: Option<BTreeMap<String, Amount>>,
    /// Reasons for which attempts have no price.
    pub(super) unpriced: Option<Vec<String>>,
}

/// An attempt as it must be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedAttempt {
    pub(super) accepted: Option<String>,
    pub(super) cause: Option<String>,
    pub(super) outcome: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) task: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) model: Option<String>,
    pub(super) leg: Option<String>,
    pub(super) polls: Option<String>,
}

/// A charge as it must be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedCharge {
    /// Which attempt, from 1.
    pub(super) attempt: Option<String>,
    /// The meter, without the provider's name.
    pub(super) meter: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) quantity: Option<Amount>,
    pub(super) price: Option<Amount>,
    pub(super) cost: Option<Amount>,
    pub(super) currency: Option<String>,
    pub(super) cause: Option<String>,
    pub(super) basis: Option<String>,
    /// The policy row, without the provider's name, or what else decided.
    pub(super) policy: Option<String>,
    /// What was used, where credits are billed: its quantity.
    pub(super) used: Option<Amount>,
}

/// One figure, or least, expected and most.
pub(super) type Amount = Values;

impl TestFile {
    /// Reads a file. The error has the name, the line and what is allowed there.
    pub(super) fn read(name: &str, text: &str) -> Result<Self, miette::Report> {
        let file: Self = serde_saphyr::from_str(text).map_err(|error| {
            let error = error.without_snippet();
            let place = error.location().map(|at| format!("{}:{}: ", at.line(), at.column()));
            miette::miette!("{name}:{}{error}", place.unwrap_or_default())
        })?;
        let days = std::iter::once(&file.day).chain(file.tests.iter().filter_map(|test| test.day.as_ref()));
        for day in days {
            if day.parse::<Date>().is_err() {
                return Err(miette::miette!("{name}: day = `{day}`: not a day such as {DAY}"));
            }
        }
        Ok(file)
    }

    /// Time 0 of a test, in nanoseconds since the epoch.
    pub(super) fn begin_unix_nanos(&self, test: &Test) -> u64 {
        let day = test.day.as_ref().unwrap_or(&self.day).parse::<Date>();
        let zoned = day.ok().and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
        zoned.and_then(|zoned| u64::try_from(zoned.timestamp().as_nanosecond()).ok()).unwrap_or_default()
    }
}
