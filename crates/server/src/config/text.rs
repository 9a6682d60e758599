//! How the text of a leaf becomes a value.
//!
//! A value that can be wrong is a type that says what it expects. Durations are written as in Go, because
//! Collector users write them so: `30s`, `10m`, `1h30m`, `5ms`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use spantally_store::Durability;

use super::settings::{LogEncoding, LogLevel};
use super::wire::{Compression, Secret, TlsVersion};

/// A type that a leaf can have.
pub(super) trait FromText: Sized {
    /// What the text must be, to follow "expected".
    fn expected() -> String;
    /// The value, or none when the text is not one.
    fn from_text(text: &str) -> Option<Self>;
    /// What is wrong with a text, if it must not be shown itself.
    fn secret_problem(_text: &str) -> Option<&'static str> {
        None
    }
}

/// Where to listen: a host name or address, and a port; port 0 lets the system choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name, IPv4 or IPv6 address (without brackets).
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// On this machine only.
    pub fn loopback(port: u16) -> Self {
        Self { host: "127.0.0.1".to_owned(), port }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromText for Endpoint {
    fn expected() -> String {
        "`host:port`, for example `127.0.0.1:4317` or `[::1]:4317`".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
            None if host.is_empty() || host.contains([':', '/', ' ', '[', ']']) => return None,
            None => host.to_owned(),
        };
        Some(Self { host, port })
    }
}

/// Units of a duration, in nanoseconds. Longer names first where one starts with another.
const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

impl FromText for Duration {
    fn expected() -> String {
        "a duration such as `5ms`, `30s`, `10m` or `1h30m`".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self::ZERO);
        }
        let mut rest = text;
        let mut nanos = 0_u64;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let number = rest[..digits].parse::<rust_decimal::Decimal>().ok()?;
            rest = &rest[digits..];
            let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
            let (_, unit) = UNITS.iter().find(|(name, _)| *name == &rest[..unit_end])?;
            rest = &rest[unit_end..];
            let part = number.checked_mul((*unit).into())?.trunc();
            nanos = nanos.checked_add(part.try_into().ok()?)?;
        }
        (!text.is_empty()).then_some(Self::from_nanos(nanos))
    }
}

/// A duration of at least one millisecond, in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Millis(pub(super) u64);

impl FromText for Millis {
    fn expected() -> String {
        format!("{}, at least `1ms`", Duration::expected())
    }

    fn from_text(text: &str) -> Option<Self> {
        let millis = Duration::from_text(text)?.as_millis();
        u64::try_from(millis).ok().filter(|millis| *millis > 0).map(Self)
    }
}

/// A whole number between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole<const MIN: u64, const MAX: u64>(pub(super) u64);

impl<const MIN: u64, const MAX: u64> FromText for Whole<MIN, MAX> {
    fn expected() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().filter(|value| (MIN..=MAX).contains(value)).map(Self)
    }
}

/// A decimal number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probability(pub(super) rust_decimal::Decimal);

impl FromText for Probability {
    fn expected() -> String {
        "a probability: a decimal number from 0 to 1".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        use rust_decimal::Decimal;
        text.parse().ok().filter(|value| (Decimal::ZERO..=Decimal::ONE).contains(value)).map(Self)
    }
}

impl FromText for PathBuf {
    fn expected() -> String {
        "a directory".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }
}

/// The name of an attribute: an OpenTelemetry key such as `deployment.environment.name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AttributeName(pub(super) String);

impl FromText for AttributeName {
    fn expected() -> String {
        "the name of an attribute, for example `deployment.environment.name`".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        let is_name = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        is_name.then(|| Self(text.to_owned()))
    }
}

/// A URL path, or a template of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UrlPath(pub(super) String);

impl FromText for UrlPath {
    fn expected() -> String {
        "a URL path that starts with `/` and has no `?` and `#`, for example `/hooks/{task}`".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        let is_no_path = |c: char| c.is_whitespace() || c == '?' || c == '#';
        (text.starts_with('/') && !text.contains(is_no_path)).then(|| Self(text.to_owned()))
    }
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePath(pub(super) PathBuf);

impl FromText for FilePath {
    fn expected() -> String {
        "a file".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.into()))
    }
}

impl FromText for Secret {
    fn expected() -> String {
        "a secret: visible ASCII characters, best by `${env:NAME}`".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.bytes().all(|byte| (b' '..0x7f).contains(&byte)))
            .then(|| Self(text.to_owned()))
    }

    fn secret_problem(text: &str) -> Option<&'static str> {
        let is_empty = text.trim().is_empty();
        Some(if is_empty { "is empty" } else { "has a character that is not visible ASCII" })
    }
}

impl From<AttributeName> for String {
    fn from(name: AttributeName) -> Self {
        name.0
    }
}

impl FromText for bool {
    fn expected() -> String {
        "`true` or `false`".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.to_ascii_lowercase().parse().ok()
    }
}

/// The name of an HTTP header; empty is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderText(pub(super) Option<String>);

impl FromText for HeaderText {
    fn expected() -> String {
        "the name of an HTTP header, for example `X-Scope-OrgID`".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(None));
        }
        let name = hyper::header::HeaderName::try_from(text).ok()?;
        Some(Self(Some(name.as_str().to_owned())))
    }
}

/// The name of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TenantName(pub(super) String);

impl FromText for TenantName {
    fn expected() -> String {
        "the name of a tenant: up to 128 letters, digits and `-_.!*'()`".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        is_tenant_name(text).then(|| Self(text.to_owned()))
    }
}

/// Whether a text can name a tenant: it becomes a label and a header.
pub(crate) fn is_tenant_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!*'()".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(is_allowed) && text != "." && text != ".."
}

/// A leaf that is one word of a few.
macro_rules! one_word_of {
    ($type:ty) => {
        impl FromText for $type {
            fn expected() -> String {
                let words: Vec<_> = Self::ALL.iter().map(|value| format!("`{}`", value.as_str())).collect();
                format!("one of {}", words.join(", "))
            }

            fn from_text(text: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.as_str().eq_ignore_ascii_case(text))
            }
        }
    };
}
pub(super) use one_word_of;

one_word_of!(Durability);
one_word_of!(LogLevel);
one_word_of!(LogEncoding);
one_word_of!(Compression);
one_word_of!(TlsVersion);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_go() {
        for (text, expected_nanos) in [
            ("0", Some(0)),
            ("5ns", Some(5)),
            ("5us", Some(5_000)),
            ("5µs", Some(5_000)),
            ("5ms", Some(5_000_000)),
            ("30s", Some(30_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("24h", Some(86_400_000_000_000)),
            ("", None),
            ("30", None),
            ("s", None),
            ("30 s", None),
            ("-5s", None),
            ("1d", None),
            ("1.2.3s", None),
            ("99999999999h", None),
        ] {
            assert_eq!(Duration::from_text(text), expected_nanos.map(Duration::from_nanos), "{text:?}");
        }
    }

    #[test]
    fn paths_have_neither_query_nor_fragment() {
        for (text, is_one) in [
            ("/v1/traces", true),
            ("/hooks/{task}", true),
            ("v1", false),
            ("/a b", false),
            ("/a?x=1", false),
            ("/a#b", false),
        ] {
            assert_eq!(UrlPath::from_text(text).is_some(), is_one, "{text}");
        }
    }

    #[test]
    fn endpoints_have_a_host_and_a_port() {
        for (text, expected) in [
            ("127.0.0.1:4317", Some("127.0.0.1:4317")),
            ("localhost:0", Some("localhost:0")),
            ("[::1]:4318", Some("[::1]:4318")),
            ("4317", None),
            (":4317", None),
            ("127.0.0.1:", None),
            ("127.0.0.1:70000", None),
            ("::1:4317", None),
            ("http://127.0.0.1:4317", None),
        ] {
            let found = Endpoint::from_text(text).map(|endpoint| endpoint.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }
}
