use super::*;
use crate::config::CorrelationConfig;
use crate::recogniser::Recogniser;

/// A good file; tests replace one line of it.
const GOOD: &str = "\
provider: acme
title: Acme
hosts: [api.acme.example]
calls:
  - name: create
    role: submit
    method: POST
    paths: [\"/v1/{owner}/{name}\"]
    model: \"{owner}/{name}\"
    answers:
      - {status: [503], accepted: \"no\", state: failed, reason: capacity}
  - name: get
    role: poll
    method: GET
    paths: [\"/v1/tasks/{task}\"]
words:
  - {is: [busy], state: failed, reason: capacity}
facts:
  - {name: seconds, from: {response_header: x-seconds}, source: response}
spans:
  - {is: [a_clip, clips], call: create, role: sync}
";

/// The findings of the good file with one text replaced.
fn findings(old: &str, new: &str) -> Vec<LoadError> {
    assert!(GOOD.contains(old), "{old}");
    load("acme.yaml", &GOOD.replacen(old, new, 1)).err().unwrap_or_default()
}

#[test]
fn a_good_file_is_good() {
    assert_eq!(load("acme.yaml", GOOD).err(), None);
}

#[test]
fn findings_say_where_what_and_what_is_allowed() {
    let cases = include_str!("findings.txt").split("\n\n").skip(1);
    let mut wrong = Vec::new();
    for case in cases {
        let [old, new, expected] = case.trim_end().lines().collect::<Vec<_>>()[..] else { panic!("{case}") };
        let text = |line: &str, mark| line.strip_prefix(mark).unwrap().replace("\\n", "\n");
        let found = findings(&text(old, "old: "), &text(new, "new: "));
        if found.first().map(ToString::to_string).as_deref() != Some(expected) {
            wrong.push(format!("{new}\n  expected {expected}\n  found    {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Not a file of ours at all: one finding, no panic.
#[test]
fn what_is_no_provider_file_is_one_finding() {
    for text in ["", "x", "[]", "{", "provider: [", "a: &a [*a]", "provider: x\n\t- y", "\u{0}", "- - - -"] {
        let found = load("x.yaml", text).unwrap_err();
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        assert!(!found[0].problem.is_empty(), "{text:?}");
        assert!(!found[0].render().is_empty());
    }
}

#[test]
fn a_finding_is_shown_with_its_lines() {
    let found = findings("role: poll", "role: pol");
    let rendered = found[0].render();
    for part in ["acme.yaml:13:11", "role: pol", "─┬─", "did you mean `poll`?"] {
        assert!(rendered.contains(part), "{rendered}");
    }
}

#[test]
fn rules_of_two_files_that_claim_the_same_request_are_a_finding() {
    let compile = |texts: [(&str, String); 2]| {
        let files: Vec<_> = texts.iter().map(|(name, text)| load(name, text).unwrap()).collect();
        Recogniser::compile(&files, &CorrelationConfig::default())
    };
    let other = GOOD.replace("provider: acme", "provider: other").replace("{task}", "{id}");
    let found = compile([("acme.yaml", GOOD.into()), ("other.yaml", other)]).unwrap_err();
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        found[1],
        "other.yaml:15:13: calls.paths = `/v1/tasks/{id}`: this can never match: call `get` of `acme` \
         takes the same \
         method and path (templates that differ only in the names of their captures are equal; remove one)"
    );
    let elsewhere = GOOD.replace("provider: acme", "provider: other").replace("api.acme", "api.other");
    assert!(compile([("acme.yaml", GOOD.into()), ("other.yaml", elsewhere.clone())]).is_ok());
    let namesake = elsewhere.replace("title: Acme", "title: Other\naliases: [ACME]");
    let found = compile([("acme.yaml", GOOD.into()), ("other.yaml", namesake)]).unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "other.yaml:3:11: aliases = `ACME`: the provider `acme` has this name too"
    );
}

#[test]
fn a_procedure_is_of_one_call() {
    let compile = |of_create: &str, of_get: &str| {
        let text = GOOD.replacen("POST\n", &format!("POST\n    rpc: [{of_create}]\n"), 1);
        let text = text.replacen("GET\n", &format!("GET\n    rpc: [{of_get}]\n"), 1);
        Recogniser::compile(&[load("acme.yaml", &text).unwrap()], &CorrelationConfig::default())
    };
    assert!(compile("acme.Tasks/Create", "acme.Tasks/Get").is_ok());
    let found = compile("acme.Tasks/Get", "acme.Tasks/Get").unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0].to_string(),
        "acme.yaml:16:11: calls.rpc = `acme.Tasks/Get`: this can never match: call `create` of `acme` takes \
         the same procedure (a procedure is one call of one provider; remove one)"
    );
}

#[test]
fn a_backup_host_stands_in_for_a_host_of_calls() {
    let found = |backup: &str| {
        let text = GOOD.replace("calls:\n", &format!("backup_hosts: [{backup}]\ncalls:\n"));
        let files = [load("acme.yaml", &text).unwrap()];
        let found = Recogniser::compile(&files, &CorrelationConfig::default()).err();
        found.unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (backup, expected) in [
        ("{host: acme.net, of: api.acme.example}", None),
        (
            "{host: acme.net, of: api.acme.exampl}",
            Some(
                "acme.yaml:4:37: backup_hosts.of = `api.acme.exampl`: no call has this host \
                 (did you mean `api.acme.example`? Allowed: api.acme.example)",
            ),
        ),
        (
            "{host: api.acme.example, of: api.acme.example}",
            Some(
                "acme.yaml:4:23: backup_hosts.host = `api.acme.example`: a backup host is one host, of which no \
                 call is said already",
            ),
        ),
        (
            "{host: '*.acme.net', of: api.acme.example}",
            Some(
                "acme.yaml:4:23: backup_hosts.host = `*.acme.net`: a backup host is one host, of which no call is \
                 said already",
            ),
        ),
    ] {
        assert_eq!(found(backup), expected.into_iter().collect::<Vec<_>>(), "{backup}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// A built-in file with a hole or a splinter in it: good, or findings inside the file; never a panic.
    #[test]
    fn damaged_files_are_findings_or_good(
        which in 0..crate::builtin::TEXTS.len(),
        at in proptest::prelude::any::<proptest::sample::Index>(),
        cut in 0_usize..40,
        splinter in "[a-z{}\\[\\]:,*&#\"'\n\u{e9} -]{0,6}",
    ) {
        let (name, text) = crate::builtin::TEXTS[which];
        let start = text.floor_char_boundary(at.index(text.len()));
        let end = text.ceil_char_boundary((start + cut).min(text.len()));
        let damaged = format!("{}{splinter}{}", &text[..start], &text[end..]);
        for found in load(name, &damaged).err().unwrap_or_default() {
            proptest::prop_assert!(found.line <= damaged.lines().count() as u64 + 1, "{found}");
            proptest::prop_assert!(!found.render().is_empty());
        }
    }
}

/// The page that explains the format: its example is a good file, and it names every fact.
#[test]
fn the_documentation_is_true() {
    let page = include_str!("../../../../docs/providers.md");
    let example = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let file = load("docs/providers.md", example).unwrap_or_else(|found| panic!("{}", found[0].render()));
    assert_eq!(file.file.calls.len(), 3);
    for name in crate::vocabulary::FACT_NAMES {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn what_is_worth_a_look_is_told_and_stops_nothing() {
    let text = GOOD.replace("/v1/tasks/{task}", "/v1/tasks/{id}");
    let text =
        format!("{text}rates:\n  sources: {{page: {{url: 'https://acme.test', as_of: 2026-11-20}}}}\n");
    let lints = load("acme.yaml", &text).unwrap().lints();
    let lints: Vec<String> = lints.iter().map(ToString::to_string).collect();
    assert_eq!(lints.len(), 2, "{lints:?}");
    assert!(lints[0].contains("acme.yaml:15:13") && lints[0].contains("which task it is about"), "{lints:?}");
    assert!(lints[1].contains("acme.yaml:23:") && lints[1].contains("`page`"), "{lints:?}");
    for file in crate::builtin::files().unwrap() {
        assert!(file.lints().is_empty(), "a built-in file has nothing to look at: {:?}", file.lints());
    }
}
