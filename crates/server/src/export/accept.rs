//! Which format a scraper wants: content negotiation by `Accept`, with its weights.
//!
//! Prometheus lists what it reads with falling `q`. What we do not write is passed over; what we cannot make
//! sense of gets text 0.0.4, which every scraper reads. The names of our metrics and labels are
//! legal in every escaping scheme, so the scheme asked for is the one we answer with.

/// A format of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0, with the escaping scheme that was asked for.
    OpenMetrics(Escaping),
    /// Length-delimited `io.prometheus.client.MetricFamily`.
    Protobuf(Escaping),
}

/// How a scraper wants names escaped that are not legal in the older character set. None of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// Not asked for.
    Unnamed,
    /// `allow-utf-8`
    AllowUtf8,
    /// `underscores`
    Underscores,
    /// `dots`
    Dots,
    /// `values`
    Values,
}

impl Escaping {
    const NAMED: [(Self, &'static str); 4] = [
        (Self::AllowUtf8, "allow-utf-8"),
        (Self::Underscores, "underscores"),
        (Self::Dots, "dots"),
        (Self::Values, "values"),
    ];

    fn parse(word: &str) -> Self {
        Self::NAMED.iter().find(|(_, name)| *name == word).map_or(Self::Unnamed, |(escaping, _)| *escaping)
    }

    fn as_str(self) -> Option<&'static str> {
        Self::NAMED.iter().find(|(escaping, _)| *escaping == self).map(|(_, name)| *name)
    }
}

impl Format {
    /// The best format for an `Accept` header; of equal weights, the first that is named.
    pub fn negotiate(accept: Option<&str>) -> Self {
        let mut best = (0, Self::Text);
        for range in accept.unwrap_or_default().split(',') {
            if let Some((weight, format)) = parse_range(range)
                && weight > best.0
            {
                best = (weight, format);
            }
        }
        best.1
    }

    /// The `Content-Type` of the answer.
    pub(crate) fn content_type(self) -> String {
        let (media_type, escaping) = match self {
            Self::Text => ("text/plain; version=0.0.4; charset=utf-8", Escaping::Unnamed),
            Self::OpenMetrics(escaping) => {
                ("application/openmetrics-text; version=1.0.0; charset=utf-8", escaping)
            }
            Self::Protobuf(escaping) => (
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited",
                escaping,
            ),
        };
        match escaping.as_str() {
            Some(escaping) => format!("{media_type}; escaping={escaping}"),
            None => media_type.to_owned(),
        }
    }
}

/// One media range: its weight in thousandths and our format for it, when we have one.
fn parse_range(range: &str) -> Option<(u16, Format)> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    let (mut weight, mut version, mut escaping) = (1000, None, Escaping::Unnamed);
    // Without these two it is some other protobuf.
    let (mut is_family, mut is_delimited) = (false, false);
    for part in parts {
        let (name, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => weight = parse_weight(value)?,
            "version" => version = Some(value.to_owned()),
            "escaping" => escaping = Escaping::parse(value),
            "proto" => is_family = value == "io.prometheus.client.MetricFamily",
            "encoding" => is_delimited = value == "delimited",
            _ => {}
        }
    }
    let format = match (media_type.as_str(), version.as_deref()) {
        ("application/vnd.google.protobuf", _) if is_family && is_delimited => Format::Protobuf(escaping),
        ("application/openmetrics-text", None | Some("1.0.0")) => Format::OpenMetrics(escaping),
        ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", None) => Format::Text,
        _ => return None,
    };
    Some((weight, format))
}

/// Whether a scraper takes gzip, by its `Accept-Encoding`.
pub(crate) fn takes_gzip(accept_encoding: Option<&str>) -> bool {
    let mut any = false;
    for range in accept_encoding.unwrap_or_default().split(',') {
        let mut parts = range.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1000), parse_weight);
        let is_wanted = weight.is_some_and(|weight| weight > 0);
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            // What is said of it by name holds, whatever is said of all.
            return is_wanted;
        }
        any |= coding == "*" && is_wanted;
    }
    any
}

/// `0`, `1`, `0.5`, `0.125`: up to three digits after the point (RFC 9110, 12.4.2).
fn parse_weight(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse::<u16>().ok()?;
    let weight = whole.parse::<u16>().ok()?.checked_mul(1000)?.checked_add(thousandths)?;
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_format_wins() {
        let om = Format::OpenMetrics(Escaping::Unnamed);
        for (accept, wanted) in [
            (None, Format::Text),
            (Some(""), Format::Text),
            (Some("*/*"), Format::Text),
            (Some("text/html"), Format::Text),
            (Some("application/json;q=1"), Format::Text),
            (Some("text/plain;version=0.0.4"), Format::Text),
            (Some("application/openmetrics-text"), om),
            (Some("application/openmetrics-text; version=1.0.0; charset=utf-8"), om),
            (Some("application/openmetrics-text;version=0.0.1"), Format::Text),
            (Some("application/openmetrics-text;version=2.0.0"), Format::Text),
            (Some("application/openmetrics-text;q=0.4,text/plain;q=0.5"), Format::Text),
            (Some("application/openmetrics-text;q=0"), Format::Text),
            (Some("application/openmetrics-text;q=nonsense"), Format::Text),
            (Some("text/plain;q=0.5, Application/OpenMetrics-Text;q=0.75"), om),
            // Prometheus 2.42.
            (
                Some(
                    "application/openmetrics-text;version=1.0.0,\
                     application/openmetrics-text;version=0.0.1;q=0.75,\
                     text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ),
                om,
            ),
            // Prometheus 3 with native histograms: protobuf first.
            (
                Some(
                    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                     encoding=delimited;q=0.6,\
                     application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                     application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;\
                     escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                ),
                Format::Protobuf(Escaping::Unnamed),
            ),
            // Without its parameters it may be any protobuf.
            (Some("application/vnd.google.protobuf,text/plain;q=0.1"), Format::Text),
            (
                Some(
                    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text,\
                     text/plain;q=0.1",
                ),
                Format::Text,
            ),
        ] {
            assert_eq!(Format::negotiate(accept), wanted, "{accept:?}");
        }
    }

    #[test]
    fn the_answer_names_what_was_chosen() {
        let accept = "application/openmetrics-text;version=1.0.0;escaping=underscores";
        assert_eq!(
            Format::negotiate(Some(accept)).content_type(),
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
        );
        assert_eq!(Format::Text.content_type(), "text/plain; version=0.0.4; charset=utf-8");
        let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                      encoding=delimited;escaping=allow-utf-8";
        assert_eq!(
            Format::negotiate(Some(accept)).content_type(),
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
             escaping=allow-utf-8"
        );
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accept, wanted) in [
            (None, false),
            (Some(""), false),
            (Some("gzip"), true),
            (Some("deflate, GZIP;q=0.5"), true),
            (Some("gzip;q=0"), false),
            (Some("*, gzip;q=0.0"), false),
            (Some("*;q=0.1"), true),
            (Some("identity;q=1, *;q=0"), false),
            (Some("br"), false),
        ] {
            assert_eq!(takes_gzip(accept), wanted, "{accept:?}");
        }
    }
}
