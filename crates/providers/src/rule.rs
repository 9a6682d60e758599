//! One call of a provider file, compiled: what a request is taken for once its path is found.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};
use spantally_stitch::{Accepted, Answer, Role, TaskState, Verdict};

use crate::attributes::AttributeKeys;
use crate::format::{AnswerRule, CallRule, Place, Webhooks};
use crate::keys;
use crate::pieces::{Pieces, Queries};
use crate::route::Template;
use crate::vocabulary::StatusPattern;

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

    /// A rule of a role, and nothing more.
    pub(crate) fn plain(provider: u16, name: &str, role: Role) -> Self {
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

    /// The rule of a delivery.
    pub(crate) fn webhook(provider: u16, webhooks: Webhooks) -> Self {
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

    /// The rule of a call at one of its paths.
    pub(crate) fn new(provider: u16, call: &CallRule, template: &Template, keys: &mut AttributeKeys) -> Self {
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

    /// Binds the ids to the captures of a path.
    pub(crate) fn bind_ids(&mut self, template: &Template) {
        let position = |id| template.captures().position(|name| name == id).map(|at| at as u8);
        self.task = position("task");
        self.alias = position("task_alias");
        self.parent_task = position("parent_task");
    }
}

impl Meaning {
    fn new(rule: &AnswerRule) -> Self {
        let reason = rule.reason.as_ref().map(|reason| reason.value.0);
        Self {
            status: rule.status.value.iter().copied().collect(),
            accepted: rule.accepted.as_ref().map(|accepted| accepted.value.0),
            verdict: rule.state.as_ref().map(|state| Verdict { state: state.value.0, reason }),
        }
    }
}

/// Places, compiled.
pub(crate) fn spots(places: &[Place], keys: &mut AttributeKeys) -> Vec<Spot> {
    let spot = |place: &Place| match place {
        Place::Query(name) => Some(Spot::Query(name.as_str().into())),
        place => keys::place(place, keys).map(Spot::Attribute),
    };
    places.iter().filter_map(spot).collect()
}
