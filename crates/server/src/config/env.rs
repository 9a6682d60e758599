//! `${env:NAME}` and `${env:NAME:-default}`, as in the Collector; `$$` is a plain `$`.

/// Replaces every reference in a value. The error says what is wrong with which reference.
pub(super) fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some(end) = after.find('}') else {
                return Err(format!("`${{{after}` has no closing brace"));
            };
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
fn reference(inside: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let Some(inside) = inside.strip_prefix("env:") else {
        return Err(format!("`${{{inside}}}` is not a reference; write `${{env:NAME}}`"));
    };
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let first_is_letter = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first_is_letter || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("`{name}` is not a name of an environment variable"));
    }
    variable(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| {
        format!("the environment variable {name} is not set; set it, or write `${{env:{name}:-default}}`")
    })
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
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                (found, expected) => panic!("{text}: found {found:?}, expected {expected:?}"),
            }
        }
    }
}
