//! Which top-level module of a crate names which other one, and which of these arrows lead in a circle.
//!
//! A crate can be read from the bottom up only if its modules have one. The compiler does not ask for that
//! inside of a crate, so this does.

use std::collections::{BTreeMap, BTreeSet};

use crate::paths::{expand, paths, uses};

/// That a module names another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    /// The module that names.
    pub from: String,
    /// The one that is named.
    pub to: String,
    /// Where, as `file:line`, one after the other.
    pub places: Vec<String>,
    /// The shortest way back from `to` to `from`, with both ends.
    pub way_back: Vec<String>,
}

/// The arrows of a crate that lead in a circle, first those with the fewest places: they are most likely the
/// ones to be turned. `files` are its sources by path below `src/`, cleaned by
/// [`code_only`](crate::source::code_only) and without tests.
pub fn circles(files: &BTreeMap<&str, &str>) -> Vec<Arrow> {
    let named = named(files);
    let mut below: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in named.keys() {
        below.entry(from).or_default().insert(to);
    }
    let circle = |((from, to), places): (&(String, String), &Vec<String>)| {
        let way_back = way(&below, to, from)?;
        Some(Arrow { from: from.clone(), to: to.clone(), places: places.clone(), way_back })
    };
    let mut circles: Vec<Arrow> = named.iter().filter_map(circle).collect();
    circles.sort_by_key(|arrow| arrow.places.len());
    circles
}

/// Where each module names each other one.
fn named(files: &BTreeMap<&str, &str>) -> BTreeMap<(String, String), Vec<String>> {
    let modules: BTreeSet<&str> = files.keys().filter_map(|file| module_of(file)).collect();
    let of_root = reexported(files.get("lib.rs").copied().unwrap_or_default(), &modules);
    let mut named: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (file, code) in files {
        let Some(from) = module_of(file) else { continue };
        let depth = file.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count();
        let imported = uses(code).into_iter().flat_map(|(at, tree)| {
            let paths = expand("", tree).into_iter();
            paths.map(move |path| (at, path))
        });
        let written = paths(code).into_iter().chain(imported);
        let mut targets: BTreeSet<(usize, &str)> = BTreeSet::new();
        for (at, path) in written {
            let Some(name) = below_root(&path, depth) else { continue };
            let found = modules.get(name).or_else(|| of_root.get(name));
            let line = code[..at].matches('\n').count() + 1;
            targets.extend(found.map(|to| (line, *to)));
        }
        for (line, to) in targets.into_iter().filter(|(_, to)| *to != from) {
            named.entry((from.to_owned(), to.to_owned())).or_default().push(format!("{file}:{line}"));
        }
    }
    named
}

/// The top-level module that a file belongs to; none for the roots themselves.
fn module_of(file: &str) -> Option<&str> {
    let first = file.split('/').next()?;
    (!matches!(first, "lib.rs" | "main.rs")).then(|| first.trim_end_matches(".rs"))
}

/// What the root has under a name of its own, and the module where it stands.
fn reexported<'m>(root: &str, modules: &BTreeSet<&'m str>) -> BTreeMap<String, &'m str> {
    let trees = uses(root).into_iter().flat_map(|(_, tree)| expand("", tree));
    let pairs = trees.filter_map(|path| {
        let (module, name) = path.trim_start_matches("crate::").split_once("::")?;
        Some((name.rsplit("::").next()?.to_owned(), *modules.get(module)?))
    });
    pairs.collect()
}

/// The first name of a path after the root of the crate, which a module of that depth reaches by `crate` or
/// by as many `super`.
fn below_root(path: &str, depth: usize) -> Option<&str> {
    if let Some(rest) = path.strip_prefix("crate::") {
        return rest.split("::").next();
    }
    let above = path.split("::").take_while(|&name| name == "super").count();
    (above == depth).then(|| path.split("::").nth(above)).flatten()
}

/// The shortest way between two modules, with both ends.
fn way(below: &BTreeMap<&str, BTreeSet<&str>>, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from]];
    let mut seen = BTreeSet::from([from]);
    while let Some(shortest) = ways.first() {
        if shortest.last() == Some(&to) {
            return Some(shortest.iter().map(|&name| name.to_owned()).collect());
        }
        let way = ways.remove(0);
        let next = way.last().and_then(|last| below.get(last)).into_iter().flatten();
        for name in next.filter(|name| seen.insert(name)) {
            ways.push([way.as_slice(), &[*name]].concat());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().copied().collect();
        let told = circles(&files).into_iter();
        told.map(|arrow| {
            format!("{} -> {} at {}", arrow.from, arrow.way_back.join(" -> "), arrow.places.join(", "))
        })
        .collect()
    }

    #[test]
    fn a_circle_is_found_however_the_other_module_is_named() {
        for back in [
            "\nuse crate::a::A;",
            "\nuse crate::{c::C, a::{A, B}};",
            "\nuse super::a::A;",
            "\nuse crate::A;",
            "\nfn f(a: crate::a::A) {}",
            "\nfn f(a: super::a::A) {}",
        ] {
            let files =
                [("lib.rs", "pub use a::A;"), ("a.rs", "use crate::b::B;"), ("b.rs", back), ("c.rs", "")];
            let expected = ["a -> b -> a at a.rs:1", "b -> a -> b at b.rs:2"];
            assert_eq!(found(&files), expected, "{back}");
        }
        let files = [
            ("a/deep/er.rs", "use super::super::super::b;"),
            ("b/mod.rs", "use super::c;"),
            ("c.rs", "use crate::a;"),
        ];
        let expected = [
            "a -> b -> c -> a at a/deep/er.rs:1",
            "b -> c -> a -> b at b/mod.rs:1",
            "c -> a -> b -> c at c.rs:1",
        ];
        assert_eq!(found(&files), expected);
    }

    #[test]
    fn arrows_downwards_are_none() {
        for (a, b) in [
            ("use crate::b;", ""),
            ("use crate::{b, c};", "use crate::c;"),
            ("use crate::b;", "use super::other::a;\nuse a::x;\nuse std::a;"),
        ] {
            let files = [("a.rs", a), ("b/one.rs", b), ("c.rs", ""), ("lib.rs", "use a::A; use b::B;")];
            assert_eq!(found(&files), Vec::<String>::new(), "{a} {b}");
        }
    }
}
