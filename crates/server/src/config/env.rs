//! `${env:NAME}` and `${env:NAME:-default}`, as in the Collector; `$$` is a plain `$`.

use std::fmt;

/// What is wrong with a reference.
#[derive(Debug)]
pub(super) enum Problem {
    /// It does not end; what follows its brace.
    Unclosed(String),
    /// It is none; what stands in it.
    NoReference(String),
    /// It names nothing that could be a variable.
    NoName(String),
    /// Its variable is not set.
    NotSet(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed(after) => write!(f, "`${{{after}` has no closing brace"),
            Self::NoReference(inside) => {
                write!(f, "`${{{inside}}}` is not a reference; write `${{env:NAME}}`")
            }
            Self::NoName(name) => write!(f, "`{name}` is not a name of an environment variable"),
            Self::NotSet(name) => write!(
                f,
                "the environment variable {name} is not set; set it, or write `${{env:{name}:-default}}`"
            ),
        }
    }
}

impl Problem {
    /// The same about a value that must not be shown, of which a wrong reference may be a part.
    pub(super) fn of_secret(&self) -> String {
        match self {
            Self::NotSet(name) => format!("needs the environment variable {name}, which is not set"),
            _ => "has a `${` that begins no `${env:NAME}`; write `$$` for a `$` of its own".to_owned(),
        }
    }
}

/// Replaces every reference in a value. The error says what is wrong with which reference.
pub(super) fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some(end) = after.find('}') else { return Err(Problem::Unclosed(after.to_owned())) };
            out.push_str(&reference(&after[..end], variable)?);
            rest = &after[end + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The value of what stands between the braces.
fn reference(inside: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let Some(inside) = inside.strip_prefix("env:") else {
        return Err(Problem::NoReference(inside.to_owned()));
    };
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let first_is_letter = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first_is_letter || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Problem::NoName(name.to_owned()));
    }
    let found = variable(name).or_else(|| default.map(str::to_owned));
    found.ok_or_else(|| Problem::NotSet(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced() {
        let variable = |name: &str| (name == "PORT").then(|| "4317".to_owned());
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("127.0.0.1:${env:PORT}", Ok("127.0.0.1:4317")),
            ("${env:PORT}${env:PORT}", Ok("43174317")),
            ("${env:NONE:-9}", Ok("9")),
            ("${env:NONE:-}", Ok("")),
            ("${env:PORT:-9}", Ok("4317")),
            ("$$ and $", Ok("$ and $")),
            ("$${env:PORT}", Ok("${env:PORT}")),
            ("${env:NONE}", Err("NONE is not set")),
            ("${env:PORT", Err("no closing brace")),
            ("${PORT}", Err("write `${env:NAME}`")),
            ("${env:9X}", Err("not a name")),
        ] {
            match (expand(text, &variable), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(expected)) => {
                    assert!(found.to_string().contains(expected), "{text}: {found}");
                }
                (found, expected) => panic!("{text}: found {found:?}, expected {expected:?}"),
            }
        }
    }
}
