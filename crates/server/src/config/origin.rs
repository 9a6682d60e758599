//! An entry of the list of origins: one that no browser can send would never match, and nobody would know.

use super::text::FromText;

/// An origin of pages, as a browser writes it: no path, not even a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin(pub(super) String);

impl FromText for Origin {
    fn expected() -> String {
        "an origin as browsers send it, `*` for any, or with one `*` in it, for example \
         `https://*.example.com` or `http://localhost:*`"
            .to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        let is_whole = |(scheme, host): (&str, &str)| {
            let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.*".contains(&byte);
            let is_host = |byte: u8| byte.is_ascii_graphic() && !b"/?#@".contains(&byte);
            !scheme.is_empty()
                && !host.is_empty()
                && scheme.bytes().all(is_scheme)
                && host.bytes().all(is_host)
        };
        let is_origin = matches!(text, "*" | "null") || text.split_once("://").is_some_and(is_whole);
        (is_origin && text.matches('*').count() <= 1).then(|| Self(text.to_owned()))
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_a_browser_can_send() {
        for (text, is_one) in [
            ("https://app.example.com", true),
            ("https://*.example.com", true),
            ("http://localhost:*", true),
            ("capacitor://localhost", true),
            ("http://[::1]:3000", true),
            ("*", true),
            ("null", true),
            ("app.example.com", false),
            ("https://", false),
            ("https://app.example.com/", false),
            ("https://app.example.com/path", false),
            ("https://me@example.com", false),
            ("https://*.x.*.com", false),
            ("**", false),
        ] {
            assert_eq!(Origin::from_text(text).is_some(), is_one, "{text}");
        }
    }
}
