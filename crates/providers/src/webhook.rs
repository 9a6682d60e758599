//! Deliveries: requests that the user's own application serves for a provider.
//!
//! The application chose the path, so the rule is a habit of naming: a segment says webhook, callback or
//! hook, and a segment or a parameter names the provider. Other paths are configured
//! ([`crate::CorrelationConfig::webhooks`]).

use std::sync::Arc;

use spantally_stitch::{Answer, Call, Correlation, CorrelationKind, Rare};

use crate::answer;
use crate::call::Request;
use crate::compile::Recogniser;
use crate::endpoint::EndpointCache;
use crate::fingerprint::Fingerprint;
use crate::lengths::{CALLBACK_IDS_MAX, Cuts};
use crate::placeholder::is_placeholder;
use crate::route::{Captures, Method};
use crate::span::SpanView;
use crate::url::{Target, decode, parameters};
use crate::words;

/// What stands between several ids that make one name: it is in no URL.
const AND: &str = "\u{1f}";

/// Words that make a path segment that of a webhook.
const HOOK: &[&str] = &["webhook", "webhooks", "callback", "callbacks", "hook", "hooks"];

/// Parameters of a callback URL that hold an id which the client chose.
const CHOSEN: &[&str] = &[
    "order",
    "order_id",
    "job",
    "job_id",
    "jobId",
    "id",
    "ref",
    "reference",
    "external_id",
    "external_task_id",
    "correlation_id",
    "callback_id",
    "generation",
    "attempt_id",
];

/// Parameters that hold the provider's own id, or one that the client chose.
const TASK: &[&str] = &["request_id", "task_id", "prediction_id", "generation_id", "video_id"];

/// Adds the ids in a callback URL's query. Parameters of other names are not kept: they may be secrets.
///
/// What the client chose comes first, in whatever order the parameters stand: the provider adds its own id
/// to the URL that it was given, before or after them. Several ids that the client chose are one name: it
/// takes all of them to tell two attempts of a job apart.
pub(crate) fn correlations(query: &str, out: &mut Vec<Correlation>, cuts: &mut Cuts) {
    let (mut chosen, mut given) = (Vec::new(), Vec::new());
    let ids = parameters(query)
        .filter(|(name, value)| !is_placeholder(value) && (CHOSEN.contains(name) || TASK.contains(name)));
    for (at, (name, value)) in ids.enumerate() {
        if at >= CALLBACK_IDS_MAX {
            cuts.callback_ids += 1;
            continue;
        }
        let value = cuts.id(&decode(value, true)).into_owned();
        match CHOSEN.iter().position(|chosen| *chosen == name) {
            Some(place) => chosen.push((place, value)),
            None => given.push(value),
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    let chosen: Vec<String> = chosen.into_iter().map(|(_, value)| value).collect();
    let name = (!chosen.is_empty()).then(|| cuts.id(&chosen.join(AND)).into_owned());
    let values = name.into_iter().chain(given);
    out.extend(values.map(|value| Correlation { kind: CorrelationKind::Callback, value: value.into() }));
}

/// What tells one path of a callback URL from another. Not the path itself: who knows it may deliver, so
/// applications put secrets into it.
pub(crate) fn place(path: &str, cache: &mut EndpointCache) -> Arc<str> {
    cache.text(&format!("{:016x}", Fingerprint::new().part(path).value()))
}

impl Recogniser {
    /// The delivery that a server span shows, if its path is that of a webhook.
    pub(crate) fn delivery(&self, span: &SpanView<'_>, cache: &mut EndpointCache) -> Option<Call> {
        // Node's Lambda instrumentation writes neither a method nor a status on the span of an invocation.
        let written = span.text(self.slots.method);
        let method = Method::parse(written.unwrap_or("POST"))?;
        let route = || span.text(self.slots.route).map(Target::parse);
        let target = self.target(span).or_else(route)?;
        let (rule, captures) = match self.webhooks.find(method, target.path) {
            Some(found) => found,
            None => (self.named_in(target, cache)?, Captures::new()),
        };
        let mut call = self.read(span, rule, Request::new(method, target), &captures, cache);
        let mut rare = call.rare.into_inner();
        correlations(target.query, &mut rare.correlations, &mut cache.cuts);
        rare.correlations.dedup();
        rare.callback = Some(place(target.path, cache));
        call.rare = Rare::new(rare);
        if written.is_none() && call.answer == Answer::Missing && !answer::is_error(span, &self.slots) {
            call.answer = Answer::Status(200);
            let (accepted, told) = self.rules[rule as usize].judge(call.role, call.answer);
            (call.accepted, call.verdict) = (accepted, words::better(call.verdict, told));
        }
        call.task = call.task.or_else(|| {
            let id = TASK.iter().find_map(|name| target.parameter(name).filter(|id| !is_placeholder(id)))?;
            Some(cache.task(&decode(id, true)))
        });
        Some(call)
    }

    /// The webhook rule of the provider that a path or a query names, if the path says webhook.
    fn named_in(&self, target: Target<'_>, cache: &mut EndpointCache) -> Option<u32> {
        // A letter of every such word, and of few other paths.
        memchr::memchr2(b'k', b'K', target.path.as_bytes())?;
        let tokens = || target.path.split(['/', '-', '_', '.']).filter(|token| !token.is_empty());
        if !tokens().any(|token| HOOK.iter().any(|hook| hook.eq_ignore_ascii_case(token))) {
            return None;
        }
        let segments = target.path.split('/').filter(|segment| !segment.is_empty());
        let values = parameters(target.query).filter(|(name, _)| *name == "provider").map(|(_, value)| value);
        let mut names = segments.chain(tokens()).chain(values);
        let provider = names.find_map(|name| self.provider_named(name, cache))?;
        Some(self.provider(provider).webhook)
    }
}
