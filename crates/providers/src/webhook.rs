//! Deliveries: requests that the user's own application serves for a provider.
//!
//! The application chose the path, so the rule is a habit of naming: a segment says webhook, callback or
//! hook, and a segment or a parameter names the provider. Other paths are configured
//! ([`crate::CorrelationConfig::webhooks`]).

use spantally_stitch::{Answer, Call, Rare};

use crate::answer;
use crate::call::Request;
use crate::callback::{self, TASK};
use crate::endpoint::EndpointCache;
use crate::placeholder::is_placeholder;
use crate::recogniser::Recogniser;
use crate::route::{Captures, Method};
use crate::span::SpanView;
use crate::url::{Target, decode, parameters};
use crate::words;

/// Words that make a path segment that of a webhook.
const HOOK: &[&str] = &["webhook", "webhooks", "callback", "callbacks", "hook", "hooks"];

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
        callback::correlations(target.query, &mut rare.correlations, &mut cache.cuts);
        rare.correlations.dedup();
        rare.callback = Some(callback::place(target.path, cache));
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
