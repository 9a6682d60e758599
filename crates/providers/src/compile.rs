//! Checked files to one lookup: host, then method and path, then a rule.
//!
//! [`crate::load`] has checked each file by itself; here files meet, and two rules that claim the same
//! requests are an error. Next: [`crate::recognise`].

use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::{SmallVec, smallvec};
use spantally_stitch::{Accepted, Answer, Role, TaskState, Verdict};

use crate::attributes::AttributeKeys;
use crate::config::CorrelationConfig;
use crate::error::{LoadError, Source};
use crate::facts::{self, FactSlot};
use crate::format::{
    CallRule, IdempotencyKey, OperationRule, Place, ProviderFile, StatusPattern, Webhooks, WordRule,
};
use crate::keys::{self, Slots};
use crate::load::LoadedFile;
use crate::masks::Masks;
use crate::pieces::{Pieces, Queries};
use crate::route::{Method, Routes, Template};
use crate::stand_in::SpanWord;

type Fixed = foldhash::fast::FixedState;

/// Everything that recognition needs, compiled from provider files and the user's configuration.
#[derive(Clone, Debug)]
pub struct Recogniser {
    pub(crate) keys: AttributeKeys,
    pub(crate) slots: Slots,
    pub(crate) providers: Vec<Provider>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) hosts: Vec<Host>,
    /// Host names, to an index of `hosts`.
    pub(crate) exact: HashMap<Box<str>, u32, Fixed>,
    /// Endings of host names after a dot, to an index of `hosts`.
    pub(crate) endings: HashMap<Box<str>, u32, Fixed>,
    /// Names and aliases of providers in lower case, to an index of `providers`.
    pub(crate) names: HashMap<Box<str>, u16, Fixed>,
    /// Paths at which the user's applications receive webhooks, to a rule.
    pub(crate) webhooks: Routes,
    pub(crate) facts: Vec<FactSlot>,
    pub(crate) masks: Masks,
    /// No span stands for a call.
    pub(crate) requests_only: bool,
}

/// What is known of a provider beside its calls.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) name: Arc<str>,
    pub(crate) operations: Vec<OperationRule>,
    pub(crate) words: Vec<WordRule>,
    /// Slots in which they stand, besides those of any provider.
    pub(crate) word_slots: Vec<u16>,
    pub(crate) spans: Vec<SpanWord>,
    pub(crate) tasks: Vec<Spot>,
    pub(crate) facts: Vec<FactSlot>,
    pub(crate) honours_idempotency_key: bool,
    pub(crate) webhooks: Webhooks,
    /// The rule of deliveries at a path that names the provider.
    pub(crate) webhook: u32,
}

/// One call with one of its path templates.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) provider: u16,
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    pub(crate) needs_result: bool,
    pub(crate) leg: Option<Arc<str>>,
    pub(crate) operation: Option<Arc<str>>,
    pub(crate) model: Pieces,
    pub(crate) family: Pieces,
    /// Query parameters that stand in them.
    pub(crate) queries: Queries,
    /// Positions of the captures that make the model and the family.
    pub(crate) shared: SmallVec<[u8; 4]>,
    /// Positions of the ids among the captures.
    pub(crate) task: Option<u8>,
    pub(crate) alias: Option<u8>,
    pub(crate) parent_task: Option<u8>,
    pub(crate) tasks: Vec<Spot>,
    pub(crate) aliases: Vec<Spot>,
    pub(crate) alias_after: Option<Box<str>>,
    pub(crate) callback: Option<Box<str>>,
    pub(crate) answers: Vec<Meaning>,
}

/// A place that holds a value, compiled.
#[derive(Clone, Debug)]
pub(crate) enum Spot {
    Query(Box<str>),
    Attribute(u16),
}

/// What some answers mean.
#[derive(Clone, Debug)]
pub(crate) struct Meaning {
    status: SmallVec<[StatusPattern; 2]>,
    accepted: Option<Accepted>,
    verdict: Option<Verdict>,
}

/// What is known of one host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) routes: Routes,
    /// The rule of a GET that no route takes, and the query parameter that it needs.
    pub(crate) output: Option<(u32, Option<Box<str>>)>,
    /// The host that it stands in for.
    pub(crate) stands_for: Option<Box<str>>,
}

impl Rule {
    /// Whether the call was accepted, and what its answer tells of the task.
    pub(crate) fn judge(&self, role: Role, answer: Answer) -> (Accepted, Option<Verdict>) {
        let own = |meaning: &&Meaning| meaning.status.iter().any(|pattern| pattern.matches(answer));
        let own = self.answers.iter().find(own);
        let accepted =
            own.and_then(|meaning| meaning.accepted).unwrap_or_else(|| crate::answer::accepted(answer));
        let verdict = own.and_then(|meaning| meaning.verdict);
        (accepted, verdict.or_else(|| crate::answer::verdict(role, answer, accepted)))
    }
}

impl Recogniser {
    /// Compiles provider files. `extra` is what the user's configuration adds.
    pub fn compile(files: &[LoadedFile], extra: &CorrelationConfig) -> Result<Self, Vec<LoadError>> {
        let mut keys = AttributeKeys::default();
        let slots = Slots::new(&mut keys, extra);
        let facts = facts::slots(&mut keys);
        let recogniser = Self {
            keys,
            slots,
            facts,
            masks: Masks::default(),
            requests_only: extra.requests_only,
            providers: Vec::new(),
            rules: Vec::new(),
            hosts: Vec::new(),
            exact: HashMap::default(),
            endings: HashMap::default(),
            names: HashMap::default(),
            webhooks: Routes::default(),
        };
        let mut compiler = Compiler { recogniser, findings: Vec::new() };
        for loaded in files {
            compiler.file(loaded);
        }
        compiler.webhooks(extra);
        let Compiler { mut recogniser, mut findings } = compiler;
        findings.extend(recogniser.add_backup_hosts(files));
        recogniser.masks = Masks::new(&recogniser.slots, &recogniser.facts, &recogniser.providers);
        if findings.is_empty() { Ok(recogniser) } else { Err(findings) }
    }
}

struct Compiler {
    recogniser: Recogniser,
    findings: Vec<LoadError>,
}

impl Compiler {
    fn file(&mut self, loaded: &LoadedFile) {
        let file = &loaded.file;
        let provider = self.recogniser.providers.len() as u16;
        let webhook = self.rule(Rule::webhook(provider, file.webhooks));
        let keys = &mut self.recogniser.keys;
        let compiled = Provider {
            name: file.provider.value.as_str().into(),
            operations: file.operations.clone(),
            words: file.words.clone(),
            word_slots: file.words_from.iter().filter_map(|from| keys::place(&from.value, keys)).collect(),
            spans: Vec::new(),
            tasks: spots(&file.task_from, keys),
            facts: provider_facts(file, keys),
            honours_idempotency_key: file.idempotency_key == IdempotencyKey::Honoured,
            webhooks: file.webhooks,
            webhook,
        };
        self.recogniser.providers.push(compiled);
        for name in std::iter::once(&file.provider.value).chain(&file.aliases) {
            let name = name.to_ascii_lowercase();
            if let Some(other) = self.recogniser.names.insert(name.as_str().into(), provider)
                && other != provider
            {
                let problem = format!("the provider `{}` has this name too", self.provider_name(other));
                self.findings
                    .push(loaded.source.finding(file.provider.referenced, "provider", problem).value(name));
            }
        }
        for call in &file.calls {
            let first = self.recogniser.rules.len() as u32;
            self.call(loaded, provider, call);
            self.spans(file, provider, call, first);
        }
        if !file.output_hosts.is_empty() {
            let rule = self.rule(Rule::plain(provider, "download", Role::Download));
            for output in &file.output_hosts {
                let host = self.host(&output.host.value);
                let query = output.query.as_deref().map(Box::from);
                self.recogniser.hosts[host].output.get_or_insert((rule, query));
            }
        }
    }

    fn call(&mut self, loaded: &LoadedFile, provider: u16, call: &CallRule) {
        let hosts = if call.hosts.is_empty() { &loaded.file.hosts } else { &call.hosts };
        for path in &call.paths {
            let (Ok(template), Some(method)) =
                (Template::parse(&path.value), Method::parse(&call.method.value))
            else {
                continue; // the loader refuses such a file
            };
            let rule = Rule::new(provider, call, &template, &mut self.recogniser.keys);
            let rule = self.rule(rule);
            for host in hosts {
                let host = self.host(&host.value);
                let routes = &mut self.recogniser.hosts[host].routes;
                if let Err(earlier) = routes.insert(&template, method, rule) {
                    self.shadowed(&loaded.source, path.referenced, &path.value, earlier);
                }
            }
        }
    }

    /// The spans that stand for a call, of which this is the first rule.
    fn spans(&mut self, file: &ProviderFile, provider: u16, call: &CallRule, rule: u32) {
        for span in file.spans.iter().filter(|span| span.call.value == call.name.value) {
            let role = span.role.as_ref().unwrap_or(&call.role).value.0;
            let words = span.is.iter().map(|word| SpanWord { word: word.value.as_str().into(), rule, role });
            self.recogniser.providers[usize::from(provider)].spans.extend(words);
        }
    }

    fn shadowed(&mut self, source: &Source, at: serde_saphyr::Location, path: &str, earlier: u32) {
        let rule = &self.recogniser.rules[earlier as usize];
        let problem = format!(
            "this can never match: call `{}` of `{}` takes the same method and path",
            rule.name,
            self.provider_name(rule.provider),
        );
        self.findings.push(
            source
                .finding(at, "calls.paths", problem)
                .value(path)
                .help("templates that differ only in the names of their captures are equal; remove one"),
        );
    }

    fn webhooks(&mut self, extra: &CorrelationConfig) {
        for webhook in &extra.webhooks {
            let source = Source { name: "configuration".into(), text: "".into() };
            let unknown = serde_saphyr::Location::UNKNOWN;
            let provider = self.recogniser.names.get(webhook.provider.as_str()).copied();
            let Some(provider) = provider else {
                let names: Vec<_> = self.recogniser.providers.iter().map(|p| p.name.clone()).collect();
                let names: Vec<&str> = names.iter().map(|name| &**name).collect();
                let finding = source.finding(unknown, "webhooks.provider", "no provider file has this name");
                self.findings.push(finding.value(&webhook.provider).allowed(&webhook.provider, &names));
                continue;
            };
            match Template::parse(&webhook.path) {
                Ok(template) => {
                    let webhooks = self.recogniser.provider(provider).webhooks;
                    let mut rule = Rule::webhook(provider, webhooks);
                    rule.bind_ids(&template);
                    let rule = self.rule(rule);
                    if let Err(earlier) = self.recogniser.webhooks.insert(&template, Method::Post, rule) {
                        self.shadowed(&source, unknown, &webhook.path, earlier);
                    }
                }
                Err(problem) => {
                    let finding = source.finding(unknown, "webhooks.path", problem);
                    self.findings.push(finding.value(&webhook.path));
                }
            }
        }
    }

    fn rule(&mut self, rule: Rule) -> u32 {
        self.recogniser.rules.push(rule);
        self.recogniser.rules.len() as u32 - 1
    }

    fn host(&mut self, name: &str) -> usize {
        let new = self.recogniser.hosts.len() as u32;
        let (map, key) = match name.strip_prefix("*.") {
            Some(ending) => (&mut self.recogniser.endings, ending),
            None => (&mut self.recogniser.exact, name),
        };
        let index = *map.entry(key.into()).or_insert(new);
        if index == new {
            self.recogniser.hosts.push(Host::default());
        }
        index as usize
    }

    fn provider_name(&self, provider: u16) -> Arc<str> {
        self.recogniser.providers.get(usize::from(provider)).map(|p| p.name.clone()).unwrap_or_default()
    }
}

impl Rule {
    fn plain(provider: u16, name: &str, role: Role) -> Self {
        Self {
            provider,
            name: name.into(),
            role,
            needs_result: false,
            leg: None,
            operation: None,
            model: Pieces::default(),
            family: Pieces::default(),
            queries: Queries::new(),
            shared: SmallVec::new(),
            task: None,
            alias: None,
            parent_task: None,
            tasks: Vec::new(),
            aliases: Vec::new(),
            alias_after: None,
            callback: None,
            answers: Vec::new(),
        }
    }

    fn webhook(provider: u16, webhooks: Webhooks) -> Self {
        let under_way = || Meaning {
            status: smallvec![StatusPattern::Class(2)],
            accepted: None,
            verdict: Some(Verdict { state: TaskState::Running, reason: None }),
        };
        Self {
            answers: (webhooks == Webhooks::EveryState).then(under_way).into_iter().collect(),
            ..Self::plain(provider, "webhook", Role::Webhook)
        }
    }

    fn new(provider: u16, call: &CallRule, template: &Template, keys: &mut AttributeKeys) -> Self {
        let mut queries = Queries::new();
        let mut pieces = |text: &Option<serde_saphyr::Spanned<String>>| {
            text.as_ref().map(|text| Pieces::bind(&text.value, template, &mut queries)).unwrap_or_default()
        };
        let mut rule = Self {
            needs_result: call.needs_result,
            leg: call.leg.map(|leg| leg.as_str().into()),
            operation: call.operation.as_deref().map(Arc::from),
            model: pieces(&call.model),
            family: pieces(&call.family),
            tasks: spots(&call.task_from, keys),
            aliases: spots(&call.alias_from, keys),
            alias_after: call.alias_after.as_deref().filter(|text| !text.is_empty()).map(Box::from),
            callback: call.callback_query.as_deref().map(Box::from),
            answers: call.answers.iter().map(Meaning::new).collect(),
            ..Self::plain(provider, &call.name.value, call.role.value.0)
        };
        rule.queries = queries;
        rule.shared = rule.model.captures().chain(rule.family.captures()).collect();
        rule.bind_ids(template);
        rule
    }

    fn bind_ids(&mut self, template: &Template) {
        let position = |id| template.captures().position(|name| name == id).map(|at| at as u8);
        self.task = position("task");
        self.alias = position("task_alias");
        self.parent_task = position("parent_task");
    }
}

impl Meaning {
    fn new(rule: &crate::format::AnswerRule) -> Self {
        let reason = rule.reason.as_ref().map(|reason| reason.value.0);
        Self {
            status: rule.status.value.iter().copied().collect(),
            accepted: rule.accepted.as_ref().map(|accepted| accepted.value.0),
            verdict: rule.state.as_ref().map(|state| Verdict { state: state.value.0, reason }),
        }
    }
}

/// The facts of a provider's own places, then those that any provider may have.
fn provider_facts(file: &ProviderFile, keys: &mut AttributeKeys) -> Vec<FactSlot> {
    let mut facts: Vec<FactSlot> = file.facts.iter().filter_map(|rule| facts::slot(rule, keys)).collect();
    facts.extend(facts::further(keys));
    facts
}

fn spots(places: &[Place], keys: &mut AttributeKeys) -> Vec<Spot> {
    let spot = |place: &Place| match place {
        Place::Query(name) => Some(Spot::Query(name.as_str().into())),
        place => keys::place(place, keys).map(Spot::Attribute),
    };
    places.iter().filter_map(spot).collect()
}
