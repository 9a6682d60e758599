//! Paths in Rust source (`a::b::C`): where they are named, and what the trees of `use` bring in.
//!
//! All of it reads what [`code_only`](crate::source::code_only) has cleaned.

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every name of a source, with the names after `::` that belong to it, and where it begins.
pub(crate) fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = code[at..].find(is_of_name).map(|offset| at + offset) {
        let mut end = start;
        loop {
            end += code[end..].find(|c| !is_of_name(c)).unwrap_or(code.len() - end);
            let goes_on = code[end..].strip_prefix("::").is_some_and(|rest| rest.starts_with(is_of_name));
            if !goes_on {
                break;
            }
            end += 2;
        }
        found.push((start, code[start..end].to_owned()));
        at = end;
    }
    found
}

/// What each `use` brings in, as it is written, and where it begins.
pub(crate) fn uses(code: &str) -> Vec<(usize, &str)> {
    let starts = code.match_indices("use ").filter(|&(at, _)| !code[..at].ends_with(is_of_name));
    starts.filter_map(|(at, word)| Some((at, code[at + word.len()..].split_once(';')?.0))).collect()
}

/// The paths of a tree of imports.
pub(crate) fn expand(before: &str, tree: &str) -> Vec<String> {
    let tree = tree.trim();
    if let Some((head, rest)) = tree.split_once('{') {
        let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
        let before = format!("{before}{}", head.trim());
        return parts(inner).into_iter().flat_map(|part| expand(&before, part)).collect();
    }
    let path = tree.split_once(" as ").map_or(tree, |(path, _)| path).trim();
    let path = format!("{before}{path}");
    vec![path.strip_suffix("::self").unwrap_or(&path).to_owned()]
}

/// The parts between the commas that no bracket encloses, without empty ones.
pub(crate) fn parts(list: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let mut before = ' ';
    let parts = list.split(|c| {
        let is_arrow = std::mem::replace(&mut before, c) == '-' && c == '>';
        depth += i32::from("<([{".contains(c)) - i32::from(">)]}".contains(c) && !is_arrow);
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}
