//! A span to evidence: is it a call, a delivery, or a frame above calls?
//!
//! The span comes from the decoder ([`crate::span`]) with the attributes that some rule names. Calls are read
//! by [`crate::call`] and [`crate::rpc`], deliveries by [`crate::webhook`], frames by [`crate::frame`]. What
//! comes out goes to the journal and then to stitching (`spantally-stitch`). A span of another kind costs a
//! look at a few bits ([`crate::masks`]) and, when it is an HTTP request, one at its host
//! ([`crate::recent`]).

use std::sync::Arc;

use spantally_stitch::{Client, Correlation, CorrelationKind, Evidence, Fact, TaskId, Verdict, What};

use crate::attributes::{AttributeKeys, Value};
use crate::endpoint::EndpointCache;
use crate::lengths::LABEL_BYTES_MAX;
use crate::placeholder::is_placeholder;
use crate::provider::Provider;
use crate::recogniser::Recogniser;
use crate::rule::Spot;
use crate::span::{ResourceView, SpanKind, SpanView};
use crate::unrecognised::Unrecognised;
use crate::url::{Target, decode, host_of};
use crate::words::{self, Vocabulary};

impl Recogniser {
    /// The name of the provider to which a request went that no rule takes.
    pub fn provider_of(&self, request: Unrecognised) -> &str {
        self.providers.get(usize::from(request.provider)).map(|provider| &*provider.name).unwrap_or_default()
    }

    /// The attribute keys that any rule names: what the decoder keeps of a span and of a resource.
    pub fn keys(&self) -> &AttributeKeys {
        &self.keys
    }

    /// Names of the providers, in the order of their files.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.providers.iter().map(|provider| &*provider.name)
    }

    /// The client that a resource stands for.
    pub fn client(
        &self,
        resource: &ResourceView<'_>,
        tenant: &str,
        cache: &mut EndpointCache,
    ) -> Arc<Client> {
        let slots = &self.slots.resource;
        let mut text = |slot| text_of(resource.get(slot)).map(|text| cache.cuts.label(&text).into_owned());
        let service = text(slots.service).unwrap_or_else(|| "unknown_service".into());
        let instance = text(slots.instance).unwrap_or_else(|| match (text(slots.host), text(slots.pid)) {
            (Some(host), Some(pid)) => format!("{host}:{pid}"),
            (host, pid) => host.or(pid).unwrap_or_default(),
        });
        let label = |slot: &u16| Arc::from(text(*slot).unwrap_or_default());
        Arc::new(Client {
            tenant: tenant.into(),
            service: service.into(),
            instance: instance.into(),
            labels: slots.labels.iter().map(label).collect(),
        })
    }

    /// What a span tells, or none when it is neither a call nor a frame.
    pub fn recognise(
        &self,
        span: &SpanView<'_>,
        client: &Arc<Client>,
        cache: &mut EndpointCache,
    ) -> Option<Evidence> {
        let what = match span.kind {
            SpanKind::Client => match self.call(span, cache) {
                Some(call) => What::Call(call),
                None => What::Frame(self.generation_frame(span, cache)?),
            },
            SpanKind::Server => match self.delivery(span, cache) {
                Some(call) => What::Call(call),
                None => What::Frame(self.frame(span, cache)),
            },
            SpanKind::Unspecified => match self.call(span, cache) {
                Some(call) => What::Call(call),
                None => What::Frame(self.frame(span, cache)),
            },
            SpanKind::Internal | SpanKind::Producer | SpanKind::Consumer => {
                What::Frame(self.frame(span, cache))
            }
        };
        Some(Evidence {
            span: span.head.key,
            parent: span.head.parent,
            start: span.head.start,
            end: span.head.end,
            client: client.clone(),
            what,
        })
    }

    /// Where the request of a span went, from whichever attributes its instrumentation writes.
    pub(crate) fn target<'a>(&self, span: &SpanView<'a>) -> Option<Target<'a>> {
        let slots = &self.slots;
        // ASP.NET Core writes the question mark too.
        let query = || span.text(slots.query).map(|query| query.strip_prefix('?').unwrap_or(query));
        let host = || span.text(slots.host).map(host_of).unwrap_or_default();
        if let Some(url) = span.text(slots.url) {
            let target = Target::parse(url);
            return Some(if target.host.is_empty() { Target { host: host(), ..target } } else { target });
        }
        if let Some(path) = span.text(slots.path) {
            return Some(Target { host: host(), path, query: query().unwrap_or_default() });
        }
        let target = Target::parse(span.text(slots.target)?);
        Some(Target { host: host(), ..target })
    }

    /// The rules of a host in any case, with the dot of the root behind it or not: its own, else those of the
    /// longest ending of its name. An index of `hosts`.
    pub(crate) fn host(&self, name: &str) -> Option<u32> {
        self.host_in_small_letters(name)
            .or_else(|| {
                let has_capital = name.bytes().any(|byte| byte.is_ascii_uppercase());
                has_capital.then(|| self.host_in_small_letters(&name.to_ascii_lowercase()))?
            })
            .or_else(|| self.host(name.strip_suffix('.')?))
    }

    fn host_in_small_letters(&self, name: &str) -> Option<u32> {
        if let Some(index) = self.exact.get(name) {
            return Some(*index);
        }
        let dots = name.bytes().enumerate().filter(|(_, byte)| *byte == b'.');
        let mut endings = dots.map(|(at, _)| &name[at + 1..]);
        endings.find_map(|ending| self.endings.get(ending)).copied()
    }

    /// The provider that a name or an alias stands for, in any case, with hyphens or underscores. What stands
    /// behind its first dot may be the name of an interface of it (`openai.chat`, `google.generative-ai`).
    pub(crate) fn provider_named(&self, name: &str, cache: &mut EndpointCache) -> Option<u16> {
        if name.len() > LABEL_BYTES_MAX {
            return None;
        }
        cache.scratch.clear();
        cache.scratch.push_str(name);
        cache.scratch.make_ascii_lowercase();
        let of = |name: &str| self.names.get(name).copied();
        let known = |name: &str| of(name).or_else(|| of(&name.replace('-', "_")));
        let written = cache.scratch.as_str();
        known(written).or_else(|| known(written.split_once('.')?.0))
    }

    pub(crate) fn provider(&self, index: u16) -> &Provider {
        &self.providers[usize::from(index)]
    }

    /// The ids that the client chose, in attributes.
    pub(crate) fn correlations(&self, span: &SpanView<'_>, cache: &mut EndpointCache) -> Vec<Correlation> {
        if !span.attributes.has_any(&self.masks.correlations) {
            return Vec::new();
        }
        let read = |(slot, kind): &(u16, CorrelationKind)| {
            let value = text_of(span.get(*slot)).filter(|value| !is_placeholder(value))?;
            Some(Correlation { kind: *kind, value: cache.cuts.id(&value).into() })
        };
        self.slots.correlations.iter().filter_map(read).collect()
    }

    /// What status words in attributes tell.
    pub(crate) fn worded(&self, span: &SpanView<'_>, provider: Option<u16>) -> Option<Verdict> {
        if !span.attributes.has_any(&self.masks.words) {
            return None;
        }
        let provider = provider.map(|index| self.provider(index));
        let own = provider.map(|provider| &*provider.words);
        let read = |(slot, kind): (u16, Vocabulary)| match span.get(slot)? {
            Value::Text(word) => words::verdict(kind, own, word),
            // Some providers' words are numbers (Kling's 1301), and an application writes them as such.
            Value::Int(number) => words::verdict(kind, own, &number.to_string()),
            Value::Double(_) | Value::Bool(_) => None,
        };
        let places = provider.into_iter().flat_map(|provider| &provider.word_slots);
        let places = places.map(|slot| (*slot, Vocabulary::Provider));
        self.slots.words.iter().copied().chain(places).map(read).fold(None, words::better)
    }

    /// Whether an application says in a word of its own how it went, and nobody knows the word.
    pub(crate) fn is_worded_unknown(&self, span: &SpanView<'_>) -> bool {
        let is_unknown = |&(slot, kind): &(u16, Vocabulary)| {
            kind == Vocabulary::Application
                && span.text(slot).is_some_and(|word| words::verdict(kind, None, word).is_none())
        };
        span.attributes.has_any(&self.masks.words) && self.slots.words.iter().any(is_unknown)
    }

    /// The task id in one of our own or a GenAI attribute.
    pub(crate) fn task_attribute(&self, span: &SpanView<'_>, cache: &mut EndpointCache) -> Option<TaskId> {
        let text = |slot: &u16| span.text(*slot).filter(|id| !is_placeholder(id));
        self.slots.tasks.iter().find_map(text).map(|id| cache.task(id))
    }

    /// Every fact that the span shows.
    pub(crate) fn facts(
        &self,
        span: &SpanView<'_>,
        provider: Option<u16>,
        cache: &mut EndpointCache,
    ) -> Vec<Fact> {
        if !span.attributes.has_any(&self.masks.facts) {
            return Vec::new();
        }
        let own = provider.map(|index| &*self.provider(index).facts).unwrap_or_default();
        let has_further = span.attributes.has_any(&self.masks.further);
        let further = if has_further { &*self.further } else { &[] };
        let seen = self.facts.iter().chain(own).chain(further).filter(|fact| fact.is_in(span));
        seen.filter_map(|fact| fact.read(span, cache)).collect()
    }
}

/// The id in the first of some places that has one.
pub(crate) fn id_in(
    spots: &[Spot],
    span: &SpanView<'_>,
    target: Target<'_>,
    cache: &mut EndpointCache,
) -> Option<TaskId> {
    spots.iter().find_map(|spot| match spot {
        Spot::Query(name) => {
            target.parameter(name).filter(|id| !is_placeholder(id)).map(|id| cache.task(&decode(id, true)))
        }
        Spot::Attribute(slot) => span.text(*slot).filter(|id| !is_placeholder(id)).map(|id| cache.task(id)),
    })
}

fn text_of(value: Option<Value<'_>>) -> Option<String> {
    match value? {
        Value::Text(text) => Some(text.into()),
        Value::Int(number) => Some(number.to_string()),
        Value::Double(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
    }
}

#[cfg(test)]
mod tests;
