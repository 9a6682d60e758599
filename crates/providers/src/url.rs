//! A URL cut into borrowed parts. Nothing is decoded until a rule takes it.

use memchr::{memchr, memchr2, memchr3};

/// The parts of a request target that rules look at, as they were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// Without user info and port; empty when the span does not say.
    pub(crate) host: &'a str,
    /// With its leading slash; `/` when the URL has none.
    pub(crate) path: &'a str,
    /// Without the question mark; empty when there is none.
    pub(crate) query: &'a str,
}

impl<'a> Target<'a> {
    /// Cuts `scheme://user@host:port/path?query#fragment`, or a bare `/path?query`.
    pub(crate) fn parse(url: &'a str) -> Self {
        let scheme = match url.as_bytes() {
            [b'h', b't', b't', b'p', b's', b':', b'/', b'/', ..] => Some(5),
            _ => url.find("://"),
        };
        let (host, rest) = match scheme {
            Some(at) => {
                let rest = &url[at + 3..];
                let end = memchr3(b'/', b'?', b'#', rest.as_bytes()).unwrap_or(rest.len());
                (host_of(&rest[..end]), &rest[end..])
            }
            None => ("", url),
        };
        let (path, query) = match memchr2(b'?', b'#', rest.as_bytes()) {
            None => (rest, ""),
            Some(at) if rest.as_bytes()[at] == b'#' => (&rest[..at], ""),
            Some(at) => {
                let query = &rest[at + 1..];
                let end = memchr(b'#', query.as_bytes()).unwrap_or(query.len());
                (&rest[..at], &query[..end])
            }
        };
        Self { host, path: if path.is_empty() { "/" } else { path }, query }
    }

    /// The value of a query parameter, still encoded.
    pub(crate) fn parameter(self, name: &str) -> Option<&'a str> {
        parameters(self.query).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// `user@host:port` without user and port; the brackets of an IPv6 address go too.
pub(crate) fn host_of(authority: &str) -> &str {
    if memchr3(b'@', b':', b'[', authority.as_bytes()).is_none() {
        return authority;
    }
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or(inner);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Names and values of a query, still encoded, in order.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Percent-decodes; bytes that do not decode to UTF-8 are replaced. In a query, `+` is a space.
pub(crate) fn decode(text: &str, in_query: bool) -> std::borrow::Cow<'_, str> {
    let plus = in_query && text.contains('+');
    if !plus && !text.contains('%') {
        return text.into();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |i: usize| bytes.get(i).and_then(|b| (*b as char).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
                continue;
            }
            (b'+', ..) if plus => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_cut_as_sent() {
        let table = [
            ("https://queue.fal.run/a/b?logs=false", "queue.fal.run", "/a/b", "logs=false"),
            ("https://user:pw@host:8443/x#frag", "host", "/x", ""),
            ("http://[::1]:8080/x", "::1", "/x", ""),
            ("https://host", "host", "/", ""),
            ("https://host?a=/b", "host", "/", "a=/b"),
            ("https://host/p?a=1#?b=2", "host", "/p", "a=1"),
            ("https://host/p#a?b=1", "host", "/p", ""),
            ("grpc://me@host:1/p", "host", "/p", ""),
            ("/webhooks/fal?order=1", "", "/webhooks/fal", "order=1"),
            ("", "", "/", ""),
        ];
        for (url, host, path, query) in table {
            assert_eq!(Target::parse(url), Target { host, path, query }, "{url}");
        }
    }

    #[test]
    fn only_what_is_taken_is_decoded() {
        let target = Target::parse("https://h/p?x=1&fal_webhook=http%3A%2F%2Fme%3A1%2Fw%3Forder%3Do+1%2&y");
        let callback = target.parameter("fal_webhook").unwrap();
        assert_eq!(decode(callback, true), "http://me:1/w?order=o 1%2");
        assert_eq!(decode("a+b%41", false), "a+bA");
        assert_eq!(target.parameter("y"), Some(""));
        assert_eq!(target.parameter("z"), None);
    }

    proptest::proptest! {
        /// Whatever an instrumentation writes: parts of the text, in order.
        #[test]
        fn any_text_is_cut(text in "[a-z:/?#@%&=+\\[\\]0-9.\u{e9}-]{0,40}") {
            let target = Target::parse(&text);
            let parts = target.host.len() + target.query.len();
            proptest::prop_assert!(parts <= text.len());
            proptest::prop_assert!(!target.path.is_empty());
            for (name, value) in parameters(target.query) {
                proptest::prop_assert!(decode(name, true).len() <= 3 * name.len());
                proptest::prop_assert!(decode(value, true).len() <= 3 * value.len());
            }
        }
    }
}
