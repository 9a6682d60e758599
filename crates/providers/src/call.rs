//! A client span that a rule takes: one API call.

use std::sync::Arc;

use spantally_stitch::{Call, CallRare, Correlation, CorrelationKind, Endpoint, Rare, Role, TaskId};

use crate::answer;
use crate::callback;
use crate::endpoint::EndpointCache;
use crate::fingerprint::Fingerprint;
use crate::keys::{integer, model};
use crate::placeholder::is_placeholder;
use crate::recognise::id_in;
use crate::recogniser::Recogniser;
use crate::route::{Captures, Method};
use crate::rule::Rule;
use crate::span::SpanView;
use crate::url::{Target, decode, parameters};
use crate::words;

/// A request as a span shows it.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) target: Target<'a>,
    /// Equal requests have equal values, however the URL is spread over attributes.
    fingerprint: u64,
    /// It went to a backup host, so it was sent before.
    is_resent: bool,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: Method, target: Target<'a>) -> Self {
        Self::to(Fingerprint::new().part(method.as_str()).part(target.host), target)
    }

    /// A call of a procedure, whose request is not seen.
    pub(crate) fn remote(procedure: &str, model: Option<&str>) -> Self {
        let begun = Fingerprint::new().part(procedure).part(model.unwrap_or_default());
        Self::to(begun, Target { host: "", path: "", query: "" })
    }

    /// A request of which method and host are in the fingerprint already.
    fn to(begun: Fingerprint, target: Target<'a>) -> Self {
        let fingerprint = begun.part(target.path).part(target.query).value();
        Self { target, fingerprint, is_resent: false }
    }
}

impl Recogniser {
    /// The call that a span shows, by its request or by its procedure.
    pub(crate) fn call(&self, span: &SpanView<'_>, cache: &mut EndpointCache) -> Option<Call> {
        self.requested(span, cache).or_else(|| self.remote_call(span, cache))
    }

    /// The call that a request is, if a rule takes its host, method and path.
    fn requested(&self, span: &SpanView<'_>, cache: &mut EndpointCache) -> Option<Call> {
        cache.unrecognised = None;
        let method = Method::parse(span.text(self.slots.method)?)?;
        let target = self.target(span)?;
        let known = cache.hosts.get(target.host, |name| self.known_host(name))?;
        let host = self.hosts.get(known.index? as usize)?;
        let begun = known.begun(method);
        let taken = host.routes.find(method, target.path).or_else(|| {
            let (rule, query) = host.output.as_ref().filter(|_| method == Method::Get)?;
            let fits = query.as_deref().is_none_or(|name| target.parameter(name).is_some());
            fits.then(|| (*rule, Captures::new()))
        });
        let Some((index, mut captures)) = taken else {
            cache.unrecognised = host.ownership.unrecognised(method, target.path);
            return None;
        };
        let queries = self.rules[index as usize].queries.iter();
        let shown = |name: &str| target.parameter(name).filter(|value| !is_placeholder(value));
        captures.extend(queries.map(|name| shown(name).unwrap_or_default()));
        let is_resent = host.stands_for.is_some();
        let request = Request { is_resent, ..Request::to(begun, target) };
        Some(self.read(span, index, request, &captures, cache))
    }

    /// Reads a call by its rule.
    pub(crate) fn read(
        &self,
        span: &SpanView<'_>,
        index: u32,
        request: Request<'_>,
        captures: &Captures<'_>,
        cache: &mut EndpointCache,
    ) -> Call {
        let target = request.target;
        let rule = &self.rules[index as usize];
        let provider = self.provider(rule.provider);
        let answer = answer::answer(span, &self.slots);
        let mut correlations = self.correlations(span, cache);
        if let Some(key) = span.text(self.slots.idempotency).filter(|key| !is_placeholder(key)) {
            let honoured = provider.honours_idempotency_key;
            let kind = if honoured { CorrelationKind::Idempotency } else { CorrelationKind::Job };
            correlations.push(Correlation { kind, value: cache.cuts.id(key).into() });
        }
        let callback = rule.callback.as_deref().and_then(|name| target.parameter(name)).map(|url| {
            if is_placeholder(url) {
                return cache.text("");
            }
            let url = decode(url, true);
            let url = Target::parse(&url);
            callback::correlations(url.query, &mut correlations, &mut cache.cuts);
            callback::place(url.path, cache)
        });
        // What would be the answer is delivered later.
        let role = if rule.role == Role::Sync && callback.is_some() { Role::Submit } else { rule.role };
        let (accepted, told) = rule.judge(role, answer);
        let told = answer::unnamed_error(span, &self.slots, role, answer, told);
        let task = captured(captures, rule.task, cache)
            .or_else(|| id_in(&rule.tasks, span, target, cache))
            .or_else(|| id_in(&provider.tasks, span, target, cache))
            .or_else(|| self.task_attribute(span, cache));
        let alias = captured(captures, rule.alias, cache)
            .or_else(|| id_in(&rule.aliases, span, target, cache))
            .or_else(|| end_of(task.as_ref()?, rule.alias_after.as_deref()?));
        let resend = integer(span, self.slots.resend).and_then(|count| u16::try_from(count).ok());
        Call {
            role,
            endpoint: self.endpoint(index, rule, captures, self.named_model(span, rule, captures), cache),
            task,
            answer,
            accepted,
            verdict: words::better(self.worded(span, Some(rule.provider)), told),
            request: request.fingerprint,
            agent: self.agent(span, role, target, cache),
            rare: Rare::new(CallRare {
                links: span.links.clone(),
                alias,
                parent_task: captured(captures, rule.parent_task, cache),
                correlations,
                resend: resend.or(request.is_resent.then_some(1)),
                callback,
                facts: self.facts(span, Some(rule.provider), cache),
                stands_in: false,
            }),
        }
    }

    /// The model that the span itself names, of a call whose path and query name none.
    #[inline]
    pub(crate) fn named_model<'a>(
        &self,
        span: &SpanView<'a>,
        rule: &Rule,
        captures: &Captures<'_>,
    ) -> Option<&'a str> {
        let slots = &self.slots;
        let shown = |slot| model(span, slot);
        let named = shown(slots.response_model).or_else(|| shown(slots.request_model))?;
        rule.model.is_silent(captures).then_some(named)
    }

    /// The shared endpoint of a rule with what a path captured, or with the model that a span named.
    pub(crate) fn endpoint(
        &self,
        index: u32,
        rule: &Rule,
        captures: &Captures<'_>,
        named: Option<&str>,
        cache: &mut EndpointCache,
    ) -> Arc<Endpoint> {
        let shared = rule.shared.iter().map(|&at| captures.get(usize::from(at)).copied().unwrap_or_default());
        let captured = shared.chain(named);
        if let Some(endpoint) = cache.recent.get(index, &captured) {
            return endpoint.clone();
        }
        cache.scratch.clear();
        match named {
            Some(model) => cache.scratch.push_str(model),
            None => rule.model.write(captures, &mut cache.scratch),
        }
        let split = cache.scratch.len();
        rule.family.write(captures, &mut cache.scratch);
        let provider = self.provider(rule.provider);
        let endpoint = cache.endpoint(index, split, |model, family| {
            let by_model = || {
                let mut known = provider.operations.iter();
                known.find(|(of, _)| !model.is_empty() && of.matches(model)).map(|(_, name)| name.clone())
            };
            Endpoint {
                provider: provider.name.clone(),
                rule: rule.name.clone(),
                family: family.into(),
                model: model.into(),
                operation: rule.operation.clone().or_else(by_model).unwrap_or_default(),
                needs_result: rule.needs_result,
                leg: rule.leg.clone(),
            }
        });
        cache.recent.keep(index, &captured, &endpoint);
        endpoint
    }

    /// What tells one client library from another, as [`spantally_stitch::Call::agent`] wants it: scope and
    /// user agent in the upper half; of polls the shape of the query (`logs=false` of one SDK, `logs=0` of
    /// another) in the lower. Values longer than a flag are ids and left out.
    pub(crate) fn agent(
        &self,
        span: &SpanView<'_>,
        role: Role,
        target: Target<'_>,
        cache: &mut EndpointCache,
    ) -> u64 {
        let (scope, agent) = (span.scope, span.text(self.slots.agent).unwrap_or_default());
        let make = || Fingerprint::new().part(scope).part(agent).value();
        let library = cache.libraries.get(scope, agent, make);
        let mut shape = 0;
        if role == Role::Poll && !target.query.is_empty() {
            shape = cache.shapes.get("", target.query, || query_shape(target.query));
        }
        library >> 32 << 32 | shape >> 32
    }
}

/// The id that a path has at a place.
fn captured(captures: &Captures<'_>, at: Option<u8>, cache: &mut EndpointCache) -> Option<TaskId> {
    let text = captures.get(usize::from(at?)).filter(|text| !text.is_empty())?;
    Some(cache.task(&decode(text, false)))
}

/// What stands in an id behind the last of some text, if it has it and does not end with it.
fn end_of(id: &TaskId, text: &str) -> Option<TaskId> {
    let id = id.to_string();
    let (_, end) = id.rsplit_once(text)?;
    (!end.is_empty()).then(|| TaskId::new(end))
}

/// The fingerprint of a query's parameters in the order of their names, without values that are ids.
fn query_shape(query: &str) -> u64 {
    const FLAG: usize = 8;
    let mut flags: smallvec::SmallVec<[(&str, &str); 4]> =
        parameters(query).map(|(name, value)| (name, if value.len() <= FLAG { value } else { "" })).collect();
    flags.sort_unstable();
    let add = |hash: Fingerprint, (name, value)| hash.part(name).part(value);
    flags.into_iter().fold(Fingerprint::new(), add).value()
}
