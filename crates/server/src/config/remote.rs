//! Where spans are sent on to, and whom its certificate must name.

use rustls::pki_types::ServerName;

use super::text::FromText;

/// Where spans are sent on to: `host:port`, or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DestinationUrl {
    scheme: Option<&'static str>,
    rest: String,
}

impl DestinationUrl {
    /// The whole URL. A scheme that is not written is `https`, or `http` when TLS is off.
    pub(super) fn url(&self, insecure: bool, suffix: &str) -> Option<hyper::Uri> {
        let scheme = self.scheme.unwrap_or(if insecure { "http" } else { "https" });
        format!("{scheme}://{}{suffix}", self.rest).parse().ok()
    }
}

impl FromText for DestinationUrl {
    fn expected() -> String {
        "`host:port` or a URL, for example `tempo:4317` or `https://collector.example.com:4318`".to_owned()
    }

    /// A user and a password before the host would be left out of requests without a word.
    fn from_text(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some("http"), rest),
            Some(("https", rest)) => (Some("https"), rest),
            Some(_) => return None,
            None => (None, text),
        };
        let url = Self { scheme, rest: rest.trim_end_matches('/').to_owned() };
        let parsed = url.url(false, "")?;
        let authority = parsed.authority()?;
        let is_usable =
            !authority.host().is_empty() && !authority.as_str().contains('@') && parsed.query().is_none();
        is_usable.then_some(url)
    }

    fn secret_problem(text: &str) -> Option<&'static str> {
        text.contains('@').then_some(
            "is no URL, or has a user or a password before `@`; those belong into the exporter's `headers`, \
             as `authorization`",
        )
    }
}

impl FromText for ServerName<'static> {
    fn expected() -> String {
        "the name in the server's certificate: a DNS name or an address, for example `tempo.example.com`"
            .to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::try_from(text.to_owned()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_host_without_a_password() {
        for (text, is_one) in [
            ("tempo:4317", true),
            ("https://h:1/path@x", true),
            ("[::1]:4317", true),
            ("http://", false),
            ("ftp://h", false),
            ("http://h/?x", false),
            ("http://me:hush@h", false),
            ("me@h:4317", false),
        ] {
            assert_eq!(DestinationUrl::from_text(text).is_some(), is_one, "{text}");
        }
    }
}
