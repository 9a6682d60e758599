//! An entry of the list of hosts: with a scheme, a port or a path it would never match, and nobody would
//! know.

use super::text::FromText;

/// A host name, as a browser sends it without its port, or `*` for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostName(String);

impl FromText for HostName {
    fn expected() -> String {
        "a host name without scheme and port, for example `costs.example.com`, or `*` for any".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        (text == "*" || text.split('.').all(is_label)).then(|| Self(text.to_owned()))
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_alone() {
        for (text, is_one) in [
            ("costs.example.com", true),
            ("spantally", true),
            ("spantally_1.internal", true),
            ("*", true),
            ("", false),
            ("costs.example.com:9464", false),
            ("https://costs.example.com", false),
            ("costs.example.com/", false),
            ("*.example.com", false),
            ("costs.example.com.", false),
        ] {
            assert_eq!(HostName::from_text(text).is_some(), is_one, "{text:?}");
        }
    }
}
