//! What a pure crate may not say: names of the outside world, of chance, and of state that is shared.
//!
//! Paths are compared whole, with the groups of `use` written out, so that it does not matter how a name is
//! brought in. A hash map is pure only with a hasher that is named: the default one is seeded at random.

use crate::paths::{expand, parts, paths, uses};

/// Paths that lead outside, with everything below them.
const PATHS: [&str; 20] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::os",
    "std::thread",
    "std::process",
    "std::io",
    "std::time",
    "std::sync::atomic",
    "std::sync::mpsc",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::Once",
    "std::hash::RandomState",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::collections::hash_map",
    "std::collections::hash_set",
    "hashbrown::DefaultHashBuilder",
];

/// Names that are impure wherever they come from.
const NAMES: [&str; 10] = [
    "SystemTime",
    "Instant",
    "RandomState",
    "DefaultHashBuilder",
    "Mutex",
    "RwLock",
    "async",
    "await",
    "thread_local",
    "OnceLock",
];

/// Text that is impure as it stands.
const TEXTS: [&str; 3] = ["print!", "println!", "static mut "];

/// Maps and sets, and how many parameters they have with their hasher.
const HASHED: [(&str, usize); 2] = [("HashMap", 3), ("HashSet", 2)];

/// Ways to make one with the default hasher.
const BY_DEFAULT: [&str; 3] = ["::new(", "::with_capacity(", "::from("];

/// The impure names in a source that [`code_only`](crate::source::code_only) has cleaned, each with its line,
/// from 1.
pub fn impurities(code: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for (at, path) in paths(code) {
        let names = || path.split("::");
        if is_outside(&path) || names().any(|name| NAMES.contains(&name) || name.starts_with("Atomic")) {
            found.push((at, path.clone()));
        }
        for (name, count) in HASHED {
            if names().any(|held| held == name) && has_default_hasher(&code[at..], &path, name, count) {
                found.push((at, format!("{path} with the default hasher")));
            }
        }
    }
    for (at, tree) in uses(code) {
        // Under another name the whole library could not be seen through.
        let outside = expand("", tree).into_iter().filter(|path| path == "std" || is_outside(path));
        found.extend(outside.map(|path| (at, path)));
    }
    for text in TEXTS {
        found.extend(code.match_indices(text).map(|(at, text)| (at, text.to_owned())));
    }
    found.sort();
    found.dedup();
    found.into_iter().map(|(at, what)| (code[..at].matches('\n').count() + 1, what)).collect()
}

fn is_outside(path: &str) -> bool {
    let path = path.trim_start_matches("::");
    let everything = path.strip_suffix('*');
    PATHS.iter().any(|outside| {
        let below = path.strip_prefix(outside).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        below || everything.is_some_and(|above| outside.starts_with(above))
    })
}

/// Whether what stands at the beginning of `code` is a map with the hasher that is taken if none is named.
fn has_default_hasher(code: &str, path: &str, name: &str, count: usize) -> bool {
    let Some(at) = path.find(name) else { return false };
    let rest = &code[at + name.len()..];
    let generics = rest.strip_prefix("::").unwrap_or(rest).strip_prefix('<');
    match generics {
        Some(inner) => parts(&inner[..closing(inner)]).len() < count,
        None => BY_DEFAULT.iter().any(|way| rest.starts_with(way)),
    }
}

/// Where the bracket closes in which a text begins.
fn closing(inner: &str) -> usize {
    let (mut depth, mut before) = (1_i32, ' ');
    for (at, c) in inner.char_indices() {
        let is_arrow = std::mem::replace(&mut before, c) == '-' && c == '>';
        depth += i32::from(c == '<') - i32::from(c == '>' && !is_arrow);
        if depth == 0 {
            return at;
        }
    }
    inner.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_outside_is_found_however_it_is_brought_in() {
        for impure in [
            "use std::fs;",
            "use std::{fs, io};",
            "use std::{sync::{Arc, atomic::AtomicU64}, fmt};",
            "use std::{\n    collections::{BTreeMap, HashMap},\n};",
            "use std::collections::{BTreeMap, HashMap as Map};",
            "use std::collections::*;",
            "use std::*;",
            "use std as s;",
            "use std::{self as s, fmt};",
            "let text = std::fs::read(path);",
            "use ::std::time::Duration;",
            "let m: std::collections::HashSet<u8> = x;",
            "use foldhash::fast::RandomState;",
            "use std::hash::{Hash, RandomState};",
            "use hashbrown::{DefaultHashBuilder, HashMap};",
            "struct A(HashMap<u8, u8>);",
            "struct A(HashMap<u8, Vec<(u8, u8)>>);",
            "struct A(HashSet<(u8, u8)>);",
            "let m = hashbrown::HashMap::new();",
            "let m = HashSet::with_capacity(7);",
            "let m = x.collect::<HashMap<_, _>>();",
            "let m = HashMap::<u8, u8>::default();",
            "type A = HashMap<u8, u8, foldhash::fast::RandomState>;",
            "async fn ask() {}",
            "let x = async { 1 };",
            "let x = async move { 1 };",
            "static S: Mutex<u8> = x;",
            "static COUNT: AtomicU64 = x;",
            "static mut S: u8 = 1;",
            "thread_local! { static S: u8 = 1; }",
            "let now = Instant::now();",
            "eprintln!();",
            "print!();",
        ] {
            assert_ne!(impurities(impure), [], "{impure}");
        }
        assert_eq!(impurities("\n\nuse std::{fmt, fs};\n"), [(3, "std::fs".to_owned())]);
    }

    #[test]
    fn what_is_pure_is_not() {
        for pure in [
            "use std::sync::{Arc, LazyLock};",
            "use std::collections::{BTreeMap, btree_map::Entry};",
            "use std::{fmt, hash::{Hash, Hasher}};",
            "use hashbrown::hash_map::Entry;",
            "use hashbrown::{HashMap, HashSet, HashTable};",
            "struct A(HashMap<u8, SmallVec<[u32; 4]>, Fixed>);",
            "struct A(HashMap<\n    (u8, u8),\n    fn(u8) -> u8,\n    FixedState,\n>);",
            "struct A(HashSet<u8, FixedState>);",
            "let m = HashMap::default();",
            "let m = HashMap::<_, _, FixedState>::default();",
            "let m = HashMap::with_hasher(FixedState::default());",
            "fn reuse (x: u8) {}",
            "let instant = timeline.instant_of(asynchronous);",
        ] {
            assert_eq!(impurities(pure), [], "{pure}");
        }
    }
}
