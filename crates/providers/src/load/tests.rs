use super::*;
use crate::compile::Recogniser;
use crate::config::CorrelationConfig;

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
facts:
  - {name: seconds, from: {response_header: x-seconds}, source: response}
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

/// What is replaced, by what, and the finding in one line.
#[test]
fn findings_say_where_what_and_what_is_allowed() {
    let table = [
        (
            "    role: poll",
            "    rule: poll",
            "acme.yaml:13:5: rule: unknown key (did you mean `role`? Allowed: name, role, method, hosts, \
             paths, model, \
             family, operation, needs_result, leg, task_from, alias_from, callback_query, answers)",
        ),
        (
            "role: poll",
            "role: pol",
            "acme.yaml:13:11: role = `pol`: not one of the words allowed here (did you mean `poll`? \
             Allowed: submit, poll, \
             result, cancel, webhook, download, sync, session)",
        ),
        (
            "reason: capacity",
            "reason: capacty",
            "acme.yaml:11:64: reason = `capacty`: not one of the words allowed here (did you mean \
             `capacity`? Allowed: \
             client_timeout, provider_timeout, rate_limit, invalid_input, invalid_media, moderation_input, \
             moderation_output, quality, capacity, webhook_delivery, empty_response, not_ready, canceled, \
             provider_error, unknown)",
        ),
        (
            "status: [503]",
            "status: [5x]",
            "acme.yaml:11:19: `5x`: not one of the words allowed here (allowed: 100..599, 4xx, not_sent, \
             timed_out, reset, missing)",
        ),
        (
            "title: Acme\n",
            "",
            "acme.yaml:15:1: title: this key is required, and missing in the mapping that ends here",
        ),
        (
            "title: Acme\n",
            "title: A\ntitle: B\n",
            "acme.yaml:3:1: title: the key occurs twice (keep one of the two)",
        ),
        (
            "name: get",
            "name: create",
            "acme.yaml:12:11: calls.name = `create`: line 5 has this name too (a charge names its call, \
             so give each \
             call a name of its own)",
        ),
        (
            "provider: acme",
            "provider: Acme AI",
            "acme.yaml:1:11: provider = `Acme AI`: a name has lower-case letters, digits and `_` only",
        ),
        (
            "api.acme.example",
            "\"https://api.acme.example\"",
            "acme.yaml:3:9: hosts = `https://api.acme.example`: not a host name (write `api.example.com` or \
             `*.example.com`: no scheme, port or path)",
        ),
        (
            "hosts: [api.acme.example]\n",
            "",
            "acme.yaml:4:11: calls.hosts: neither the file nor the call names a host, so the call can \
             never match",
        ),
        (
            "method: GET",
            "method: GETT",
            "acme.yaml:14:13: calls.method = `GETT`: not a method that rules can name (did you mean \
             `GET`? Allowed: \
             GET, POST, PUT, PATCH, DELETE)",
        ),
        (
            "/v1/tasks/{task}",
            "/v1//{task}",
            "acme.yaml:15:13: calls.paths = `/v1//{task}`: an empty segment can never match",
        ),
        (
            "\"{owner}/{name}\"",
            "\"{ownr}/{name}\"",
            "acme.yaml:9:12: calls.model = `{ownr}/{name}`: no path of the call captures `{ownr}` (did \
             you mean \
             `owner`? Allowed: owner, name)",
        ),
        (
            "    paths: [\"/v1/tasks/{task}\"]",
            "    paths: [\"/v1/tasks/{task}\"]\n    answers: [{status: [4xx], accepted: \"no\"}]",
            "acme.yaml:16:41: calls.answers.accepted: only submit and sync calls are accepted or not, \
             this one is a \
             poll",
        ),
        (
            "    paths: [\"/v1/tasks/{task}\"]",
            "    paths: [\"/v1/tasks/{task}\"]\n    answers: [{status: [4xx], state: canceled_queued}]",
            "acme.yaml:16:38: calls.answers.state: a poll call cannot tell this state",
        ),
        (
            "state: failed",
            "state: succeeded",
            "acme.yaml:11:67: calls.answers.reason: a reason belongs to state failed, rejected or partial",
        ),
        (
            "reason: capacity",
            "reason: moderation_input",
            "acme.yaml:11:48: calls.answers.state: what moderation refuses is `rejected`, not `failed`",
        ),
        (
            "accepted: \"no\", state: failed, reason: capacity",
            "",
            "acme.yaml:11:18: calls.answers: the rule says neither `accepted` nor `state`, so it does \
             nothing",
        ),
        (
            "name: seconds",
            "name: second",
            "acme.yaml:17:12: facts.name = `second`: no meter knows a fact of this name (did you mean \
             `seconds`? \
             Allowed: seconds, images, outputs, width, height, resolution, quality, size, audio, characters, \
             audio_seconds, input_tokens, output_tokens, cached_tokens, input_audio_tokens, \
             output_audio_tokens, \
             megapixels, billable_units, credits, cost_usd, predict_time_seconds, voice, tier, \
             reference_images, \
             input_seconds)",
        ),
    ];
    let mut wrong = Vec::new();
    for (old, new, expected) in table {
        let found = findings(old, new);
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
        "other.yaml:1:11: provider = `acme`: the provider `acme` has this name too"
    );
}
