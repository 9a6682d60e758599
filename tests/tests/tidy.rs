//! The house's style as a test. What clippy cannot say is said here; each rule prints every place that
//! breaks it.
//!
//! The lists of exceptions are a ratchet: they may get shorter and their numbers smaller. An entry that is
//! no longer needed fails the test too, so that what was won stays won.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use spantally_tests::fixtures::repository;
use spantally_tests::modules::circles;
use spantally_tests::purity::impurities;
use spantally_tests::source::{code_only, functions, without_tests};

/// Crates without IO, clock, randomness, logging, async and hash-map order.
const PURE: [&str; 3] = ["stitch", "price", "providers"];

/// Which of our crates a crate may depend on. `tests`, `bench` and `fuzz` may see everything.
const ARROWS: [(&str, &[&str]); 6] = [
    ("spantally-proto", &[]),
    ("spantally-stitch", &[]),
    ("spantally-price", &["spantally-stitch"]),
    ("spantally-providers", &["spantally-price", "spantally-stitch"]),
    ("spantally-store", &[]),
    (
        "spantally-server",
        &["spantally-proto", "spantally-stitch", "spantally-price", "spantally-providers", "spantally-store"],
    ),
];

/// What no pure crate may depend on, directly: the outside world.
const IMPURE_CRATES: [&str; 18] = [
    "tokio",
    "rusqlite",
    "tracing",
    "log",
    "rand",
    "getrandom",
    "chrono",
    "jiff",
    "time",
    "hyper",
    "tonic",
    "axum",
    "reqwest",
    "socket2",
    "parking_lot",
    "dashmap",
    "crossbeam",
    "uuid",
];

/// Calls that read the clock.
const CLOCK_READS: [&str; 5] =
    ["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now", ".elapsed("];

/// The one file of the product that reads the clock.
const CLOCK_FILE: &str = "crates/server/src/clock.rs";

/// Other files that read it, each with the reason.
const CLOCK_EXCEPTIONS: [(&str, &str); 0] = [];

const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_COLUMNS: usize = 110;

/// Files over the limit, with their length. Only downwards.
const LONG_FILES: [(&str, usize); 0] = [];

/// Functions over the limit (`file::name`), with their length. Only downwards.
const LONG_FUNCTIONS: [(&str, usize); 0] = [];

/// Marks of unfinished work, in two halves so that this file does not hold them.
const UNFINISHED: [(&str, &str); 6] =
    [("to", "do!"), ("unimple", "mented!"), ("db", "g!("), ("TO", "DO"), ("FIX", "ME"), ("XX", "X")];

/// Crate names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "common", "model", "helpers", "misc"];

/// Every text file of the repository that git knows or would add, with its text.
fn texts() -> BTreeMap<String, String> {
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let names = String::from_utf8(listing.stdout).unwrap();
    let text = |name: &str| std::fs::read_to_string(repository().join(name)).ok();
    names.lines().filter_map(|name| Some((name.to_owned(), text(name)?))).collect()
}

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    Path::new(name).extension().is_some_and(|end| extensions.iter().any(|wanted| end == *wanted))
}

/// Our own Rust files: generated ones are another's style.
fn rust_files() -> BTreeMap<String, String> {
    let ours = |name: &String| has_extension(name, &["rs"]) && !name.contains("/generated/");
    texts().into_iter().filter(|(name, _)| ours(name)).collect()
}

#[track_caller]
fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}: {} places\n  {}", broken.len(), broken.join("\n  "));
}

/// `file:line` of each line of `text` that `is_bad`.
fn places(name: &str, text: &str, is_bad: impl Fn(&str) -> bool) -> Vec<String> {
    let bad = text.lines().enumerate().filter(|(_, line)| is_bad(line));
    bad.map(|(index, line)| format!("{name}:{}: {}", index + 1, line.trim())).collect()
}

fn packages() -> Vec<Value> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Names of a package's dependencies that its product code sees.
fn dependencies(package: &Value) -> Vec<String> {
    let all = package["dependencies"].as_array().unwrap().iter();
    let normal = all.filter(|dependency| dependency["kind"] != "dev");
    normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_crate_inherits_the_lints() {
    let missing = packages().into_iter().filter_map(|package| {
        let path = package["manifest_path"].as_str().unwrap().to_owned();
        let manifest = std::fs::read_to_string(&path).unwrap();
        (!manifest.contains("[lints]\nworkspace = true")).then_some(path)
    });
    assert_none("a Cargo.toml has no `[lints] workspace = true`", &missing.collect::<Vec<_>>());
}

#[test]
fn arrows_point_downwards() {
    let mut broken = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
            let is_test = matches!(name, "spantally-tests" | "spantally-bench" | "spantally-fuzz");
            broken.extend((!is_test).then(|| format!("{name} is not in the list of crates")));
            continue;
        };
        for dependency in dependencies(&package) {
            if dependency.starts_with("spantally-") && !allowed.contains(&dependency.as_str()) {
                broken.push(format!("{name} -> {dependency}"));
            }
        }
    }
    assert_none("a crate depends on one above or beside it", &broken);
}

/// A crate is read from the bottom up, so a module names nothing that names it.
#[test]
fn arrows_between_modules_point_downwards() {
    let mut crates: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (name, text) in rust_files() {
        let below = name.strip_prefix("crates/").and_then(|name| name.split_once("/src/"));
        if let Some((crate_name, file)) = below.filter(|_| !is_test_file(&name)) {
            let code = without_tests(&code_only(&text)).to_owned();
            crates.entry(crate_name.to_owned()).or_default().insert(file.to_owned(), code);
        }
    }
    let mut broken = Vec::new();
    for (crate_name, files) in &crates {
        let files = files.iter().map(|(file, code)| (&**file, &**code)).collect();
        for arrow in circles(&files) {
            let way_back = arrow.way_back.join(" -> ");
            let places = arrow.places.iter().map(|place| format!("\n    crates/{crate_name}/src/{place}"));
            let places: String = places.collect();
            broken.push(format!("{crate_name}: {} -> {way_back}{places}", arrow.from));
        }
    }
    assert_none("modules of a crate go in a circle (move the noun to the verb that makes it)", &broken);
}

#[test]
fn pure_crates_depend_on_nothing_impure() {
    let mut broken = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        if PURE.iter().any(|pure| name == format!("spantally-{pure}")) {
            let impure = dependencies(&package).into_iter().filter(|d| IMPURE_CRATES.contains(&d.as_str()));
            broken.extend(impure.map(|dependency| format!("{name} -> {dependency}")));
        }
    }
    assert_none("a pure crate depends on the outside world", &broken);
}

#[test]
fn pure_crates_have_no_io_clock_or_chance() {
    let mut broken = Vec::new();
    for (name, text) in rust_files() {
        let is_pure = PURE.iter().any(|pure| name.starts_with(&format!("crates/{pure}/src/")));
        if is_pure && !is_test_file(&name) {
            let code = code_only(&text);
            let found = impurities(without_tests(&code)).into_iter();
            broken.extend(found.map(|(line, what)| format!("{name}:{line}: {what}")));
        }
    }
    assert_none("a pure crate reaches outside (give it an argument instead)", &broken);
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/")
}

#[test]
fn one_file_reads_the_clock() {
    let mut broken = Vec::new();
    let mut needed = Vec::new();
    for (name, text) in rust_files() {
        if !name.starts_with("crates/") || !name.contains("/src/") || is_test_file(&name) {
            continue;
        }
        let code = code_only(&text);
        let reads =
            places(&name, without_tests(&code), |line| CLOCK_READS.iter().any(|read| line.contains(read)));
        let is_exception = CLOCK_EXCEPTIONS.iter().any(|(file, _)| *file == name);
        match (name == CLOCK_FILE || is_exception, reads.is_empty()) {
            (true, true) => broken.push(format!("{name} is listed and does not read it")),
            (false, false) => broken.extend(reads),
            _ => needed.push(name),
        }
    }
    assert_none(&format!("the clock is read outside {CLOCK_FILE}"), &broken);
    assert!(needed.iter().any(|name| name == CLOCK_FILE), "{CLOCK_FILE} is gone: name the new one here");
}

/// Compares measured lengths with a limit and its exceptions, which may only shrink.
fn ratchet(rule: &str, measured: &BTreeMap<String, usize>, limit: usize, exceptions: &[(&str, usize)]) {
    let mut broken = Vec::new();
    for (name, &lines) in measured {
        let allowed = exceptions.iter().find(|(exception, _)| exception == name).map(|(_, lines)| *lines);
        match allowed {
            None if lines > limit => broken.push(format!("{name}: {lines} lines, at most {limit}")),
            Some(allowed) if lines > allowed => broken.push(format!("{name}: {lines} lines, was {allowed}")),
            Some(_) if lines <= limit => broken.push(format!("{name}: {lines} lines; take it off the list")),
            Some(allowed) if lines < allowed => broken.push(format!("{name}: set the list to {lines}")),
            _ => {}
        }
    }
    let gone = exceptions.iter().filter(|(name, _)| !measured.contains_key(*name));
    broken.extend(gone.map(|(name, _)| format!("{name}: is gone; take it off the list")));
    assert_none(rule, &broken);
}

#[test]
fn files_are_short() {
    let lengths = rust_files().into_iter().map(|(name, text)| (name, text.lines().count())).collect();
    ratchet("long file", &lengths, MAX_FILE_LINES, &LONG_FILES);
}

#[test]
fn functions_are_short() {
    let mut lengths = BTreeMap::new();
    for (name, text) in rust_files() {
        for function in functions(&code_only(&text)) {
            let longest = lengths.entry(format!("{name}::{}", function.name)).or_insert(0);
            *longest = function.lines.max(*longest);
        }
    }
    ratchet("long function", &lengths, MAX_FUNCTION_LINES, &LONG_FUNCTIONS);
}

/// Comments and code keep the limit; a text that a person will read may run over it where it stands last.
#[test]
fn lines_are_short() {
    let is_long = |line: &str| line.trim_end().chars().count() > MAX_COLUMNS;
    let mut broken = Vec::new();
    for (name, text) in rust_files() {
        let code = code_only(&text);
        let lines = text.lines().zip(code.lines()).enumerate();
        let long = lines.filter(|(_, (line, code))| {
            is_long(line) && (is_long(code) || line.trim_start().starts_with("//"))
        });
        broken.extend(long.map(|(index, (line, _))| format!("{name}:{}: {}", index + 1, line.trim())));
    }
    assert_none(&format!("a line has more than {MAX_COLUMNS} columns"), &broken);
}

#[test]
fn nothing_is_left_unfinished() {
    let words = UNFINISHED.map(|(first, second)| format!("{first}{second}"));
    let is_bad = |line: &str| words.iter().any(|word| line.contains(word));
    let files = texts()
        .into_iter()
        .filter(|(name, _)| has_extension(name, &["rs", "toml", "yaml", "py", "md", "sh"]));
    let broken: Vec<String> = files.flat_map(|(name, text)| places(&name, &text, is_bad)).collect();
    assert_none("unfinished work is marked and not done", &broken);
}

#[test]
fn every_module_says_what_it_is_for() {
    let undocumented = rust_files().into_iter().filter(|(name, text)| {
        !name.ends_with("/tests.rs") && !text.trim_start_matches("#!/").starts_with("//!")
    });
    let names: Vec<String> = undocumented.map(|(name, _)| name).collect();
    assert_none("a file does not begin with its module doc (`//!`)", &names);
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    // in halves, for this file is checked too
    let paths =
        [("/ro", "ot/"), ("/ho", "me/"), ("/wo", "rk/"), ("shared/", "design"), ("shared/", "reference")];
    let paths = paths.map(|(first, second)| format!("{first}{second}"));
    let is_bad = |line: &str| {
        let starts = paths.iter().flat_map(|path| line.match_indices(path.as_str()));
        // a URL's path follows a host name
        starts.into_iter().any(|(at, _)| {
            line[..at]
                .chars()
                .next_back()
                .is_none_or(|before| !before.is_alphanumeric() && !"._-~".contains(before))
        })
    };
    let broken: Vec<String> = texts().iter().flat_map(|(name, text)| places(name, text, is_bad)).collect();
    assert_none("a path of somebody's machine", &broken);
}

/// Names of files and folders in backticks, whole or by their end.
#[test]
fn the_map_names_files_that_exist() {
    let files: Vec<String> = texts().into_keys().map(|name| format!("/{name}")).collect();
    let exists = |name: &str| match name.strip_suffix('/') {
        Some(folder) => files.iter().any(|file| file.contains(&format!("/{folder}/"))),
        None => files.iter().any(|file| file.ends_with(&format!("/{name}"))),
    };
    let map = std::fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let quoted = map.split('`').skip(1).step_by(2);
    let named =
        quoted.filter(|name| has_extension(name, &["rs"]) || name.ends_with('/') && !name.contains(' '));
    let gone: Vec<String> = named.filter(|name| !exists(name)).map(str::to_owned).collect();
    assert_none("ARCHITECTURE.md names what is not there", &gone);
}

#[test]
fn crates_are_named_after_what_they_do() {
    let names = packages().into_iter().map(|package| package["name"].as_str().unwrap().to_owned());
    let broken: Vec<String> =
        names.filter(|name| name.split('-').any(|part| EMPTY_NAMES.contains(&part))).collect();
    assert_none("a crate's name says nothing", &broken);
}

#[test]
fn shipped_yaml_and_json_parse() {
    let mut broken = Vec::new();
    let mut parsed = 0;
    for (name, text) in texts() {
        if !["config/", "grafana/"].iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        let error = if has_extension(&name, &["json"]) {
            serde_json::from_str::<Value>(&text).err().map(|error| error.to_string())
        } else if has_extension(&name, &["yaml", "yml"]) {
            serde_saphyr::from_str::<Value>(&text).err().map(|error| error.to_string())
        } else {
            continue;
        };
        parsed += 1;
        broken.extend(error.map(|error| format!("{name}: {error}")));
    }
    assert_none("a file that we ship does not parse", &broken);
    assert!(parsed > 0, "no file found: were config/ and grafana/ moved?");
}
