//! Which format a scraper wants: content negotiation by `Accept`, with its weights.
//!
//! Prometheus lists what it reads with falling `q`. What we do not write (protobuf) is passed over; what we
//! cannot make sense of gets text 0.0.4, which every scraper reads. The names of our metrics and labels are
//! legal in every escaping scheme, so the scheme asked for is the one we answer with.

/// A format of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0, with the escaping scheme that was asked for.
    OpenMetrics(Escaping),
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
    fn parse(word: &str) -> Self {
        match word {
            "allow-utf-8" => Self::AllowUtf8,
            "underscores" => Self::Underscores,
            "dots" => Self::Dots,
            "values" => Self::Values,
            _ => Self::Unnamed,
        }
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
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics(escaping) => match escaping {
                Escaping::Unnamed => "application/openmetrics-text; version=1.0.0; charset=utf-8",
                Escaping::AllowUtf8 => {
                    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
                }
                Escaping::Underscores => {
                    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
                }
                Escaping::Dots => "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=dots",
                Escaping::Values => {
                    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values"
                }
            },
        }
    }

    /// Whether this is OpenMetrics.
    pub fn is_openmetrics(self) -> bool {
        matches!(self, Self::OpenMetrics(_))
    }
}

/// One media range: its weight in thousandths and our format for it, when we have one.
fn parse_range(range: &str) -> Option<(u16, Format)> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    let (mut weight, mut version, mut escaping) = (1000, None, Escaping::Unnamed);
    for part in parts {
        let (name, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => weight = parse_weight(value)?,
            "version" => version = Some(value.to_owned()),
            "escaping" => escaping = Escaping::parse(value),
            _ => {}
        }
    }
    let format = match (media_type.as_str(), version.as_deref()) {
        ("application/openmetrics-text", None | Some("1.0.0")) => Format::OpenMetrics(escaping),
        ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", None) => Format::Text,
        _ => return None,
    };
    Some((weight, format))
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
                Format::OpenMetrics(Escaping::AllowUtf8),
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
    }
}
