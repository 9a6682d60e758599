//! Where a new span goes: its item, its pocket, its lane.
//!
//! # What ties
//!
//! A call becomes part of the item of its task, or an item of its own ([`super::index`]). The item shares a
//! pocket with all that its trace, its names (of its task, of what the client called it) and its links point
//! at, and with all that points at it. Whichever of two comes second ties them, so the pockets do not depend
//! on which came first. Frames tie as well: what they name, they name for the calls of their trace.
//!
//! # What does not
//!
//! A call without a parent is alone in its trace, as a rule, and is not kept with it. A later poll of a known
//! task does not tie its trace. A trace that has as many tasks as it may takes no new item into its pocket.
//!
//! # What is most
//!
//! Most spans are polls that tell nothing new of an open task: they move the times of their pocket, and that
//! is all. Most frames are of requests that never call a provider: they wait in case one does.
//!
//! # Late, twice
//!
//! What was seen before, and what belongs to a task that is forgotten, changes nothing. Anything else that
//! comes for a settled pocket opens it again, and it is looked at after the settle delay.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::call::{Call, Correlation, CorrelationKind, Role};
use crate::evidence::{Evidence, What};
use crate::frame::Frame;
use crate::id::{TaskId, UnixNanos};
use crate::rare::Rare;
use crate::solve::pool::call_of;
use crate::stitcher::index::Placed;
use crate::stitcher::item::{Item, NO_POCKET, has_neighbours, hash, task_name};
use crate::stitcher::owned_trace::OwnedTrace;
use crate::stitcher::pocket::{LaneKey, Pocket};
use crate::stitcher::trace::Trace;
use crate::stitcher::{Observed, Stitcher};

/// What placing a call needs to know of it after it was moved into the index.
struct Brief {
    role: Role,
    trace: Option<OwnedTrace>,
    names: SmallVec<[u64; 4]>,
    /// The traces that it links to.
    links: Vec<OwnedTrace>,
    start: UnixNanos,
    last: UnixNanos,
    /// The trace that it began, if it did and may be around another call.
    began: Option<OwnedTrace>,
    /// The lane in which it waits if it is loose.
    lane: Option<LaneKey>,
    /// The name of its task when it is new, for spans that name the task in an attribute.
    task: Option<u64>,
}

impl Brief {
    /// What is to be known of the call that was just placed, in a new item or not, from it or one that it is
    /// like.
    fn new(evidence: &Evidence, created: bool, (start, last): (UnixNanos, UnixNanos)) -> Option<Self> {
        let call = call_of(evidence)?;
        let tenant = &evidence.client.tenant;
        let alone = !evidence.parent.is_some();
        // A sync call too: the SDK's retry of it is a span, and a trace, of its own.
        let loose = match call.role {
            Role::Webhook => call.task.is_none(),
            Role::Session => false,
            // Its requests are looked for in its trace first ([`super::publish::loose`]).
            _ => alone && !call.rare.stands_in,
        };
        let (near, trace) = (has_neighbours(evidence), OwnedTrace::of(evidence));
        let ids = call.rare.correlations.iter().filter_map(|known| name_of(tenant, known));
        // Whoever knows a task by its second id must meet those who know it by the first.
        let alias = call.rare.alias.iter().map(|alias| task_name(tenant, alias));
        Some(Self {
            role: call.role,
            trace: near.then_some(trace),
            names: ids.chain(alias).collect(),
            links: linked(evidence).collect(),
            start,
            last,
            began: (call.role.starts() && alone && !near).then_some(trace),
            lane: loose.then(|| (tenant.clone(), call.endpoint.provider.clone())),
            task: call.task.as_ref().filter(|_| created).map(|task| task_name(tenant, task)),
        })
    }
}

impl Stitcher {
    /// Bounds on what a task and a trace keep, from the next span on; what is kept stays. For who gives back
    /// evidence that came under other bounds than those of now.
    pub fn set_bounds(&mut self, max_task_spans: usize, max_trace_tasks: usize) {
        self.settings.max_task_spans = max_task_spans;
        self.settings.max_trace_tasks = max_trace_tasks;
    }

    /// Takes a call; `number` is given when it is restored.
    pub(super) fn gather_call(&mut self, evidence: Evidence, number: Option<u64>) -> Observed {
        self.spans_seen += 1;
        let (start, last) = (evidence.start, self.heard(evidence.end));
        let quiet = call_of(&evidence).is_some_and(is_quiet);
        self.thaw_for(&evidence);
        let Self { index, settings, .. } = &mut *self;
        // A poll that tells nothing new of its task is kept if there is room, whether its job has settled or
        // not: a process that begins anew does not know that yet when the poll comes again.
        let is_full = |item: &Item| quiet && item.len() >= settings.max_task_spans;
        let placed = match number {
            Some(number) => index.restore_call(number, evidence),
            None => index.add_call(evidence, is_full),
        };
        let (slot, created, observed) = match placed {
            Ok(Placed::New(slot)) => (slot, true, Observed::New),
            Ok(Placed::Added(slot)) => (slot, false, Observed::New),
            Ok(Placed::Surplus(slot)) => (slot, false, Observed::Surplus),
            Err(observed) => return observed,
        };
        self.hits.task_spans += u64::from(observed == Observed::Surplus);
        if let Some(item) = self.index.item_mut(slot) {
            item.last = item.last.max(last);
        }
        if let Some(pocket) = self.pocket_mut(slot).filter(|_| !created) {
            pocket.last = pocket.last.max(last);
            pocket.started = pocket.started.min(start);
            // Most calls are such polls, and nothing else is to be known of them. What is not kept changes no
            // job that has settled.
            if observed == Observed::Surplus || quiet && !pocket.settled {
                return observed;
            }
            pocket.settled = false;
        }
        let added = self.index.item(slot).map(Item::newest);
        let Some(brief) = added.and_then(|evidence| Brief::new(evidence, created, (start, last))) else {
            return Observed::New;
        };
        if created {
            self.open_pocket(slot, &brief);
        }
        self.tie(slot, created, &brief);
        self.wake(slot, brief.last);
        Observed::New
    }

    fn open_pocket(&mut self, slot: u32, brief: &Brief) {
        let opened = self.heard(brief.start);
        let host = brief.trace.and_then(|trace| self.host_in(trace, slot));
        let pocket = if let Some(host) = host {
            self.pockets.admit(host, slot, brief.start, opened, brief.last);
            host
        } else {
            self.pockets.create(slot, brief.start, opened, brief.last)
        };
        if let Some(item) = self.index.item_mut(slot) {
            item.pocket = pocket;
            item.opened = opened;
        }
        if brief.role == Role::Webhook && brief.lane.is_some() {
            self.pockets.mark_hook(pocket);
        }
        if let Some(lane) = &brief.lane {
            self.pockets.join_lane(pocket, lane.clone());
        }
    }

    /// The pocket to which its trace ties a new item, if it has room.
    fn host_in(&self, trace: OwnedTrace, slot: u32) -> Option<u32> {
        let items = self.index.joined_trace(trace, slot)?.items();
        let other = items.iter().copied().find(|&other| other != slot)?;
        let host = self.pocket_of(other)?;
        let has_room = self.pockets.get(host)?.members.len() < self.settings.max_trace_tasks;
        has_room.then_some(host)
    }

    /// Merges the pocket with those that its trace, its names and its links point at. A later poll of a known
    /// task does not tie its trace: a worker that polls many tasks in one trace would tie them all.
    fn tie(&mut self, slot: u32, created: bool, brief: &Brief) {
        if let Some(trace) = brief.trace {
            let followup = matches!(brief.role, Role::Poll | Role::Result | Role::Cancel);
            let others = self.index.joined_trace(trace, slot);
            let others = others.filter(|known| created || !followup || known.has_hooks());
            let mut others = others.into_iter().flat_map(Trace::items);
            if let Some(&other) = others.find(|&&other| other != slot) {
                self.tie_to(slot, other);
            }
            if created || !followup {
                self.tie_frames(trace, slot);
            }
        }
        if created {
            self.tie_root(slot, brief);
        }
        for &name in brief.names.iter().chain(&brief.task) {
            self.tie_name(slot, name);
        }
        self.tie_links(slot, &brief.links);
    }

    /// Ties a call that began its trace, and is not kept with it since most such are alone, to the calls
    /// below it: a mesh or a gateway shows a request once more ([`crate::solve::nested`]).
    fn tie_root(&mut self, slot: u32, brief: &Brief) {
        let other = match (brief.began, brief.trace) {
            (Some(trace), _) => {
                self.thaw_named(trace.root_name());
                let below = self.index.in_trace(trace).first().copied();
                if below.is_none() {
                    // Of two that began one trace the first is found: they have nothing else in common.
                    self.index.name(trace.root_name(), slot);
                }
                below
            }
            (None, Some(trace)) => {
                self.thaw_named(trace.root_name());
                self.index.holder(trace.root_name())
            }
            (None, None) => None,
        };
        if let Some(other) = other {
            self.tie_to(slot, other);
        }
    }

    fn tie_name(&mut self, slot: u32, name: u64) {
        self.thaw_named(name);
        if let Some(other) = self.index.name(name, slot) {
            self.tie_to(slot, other);
        }
    }

    fn tie_links(&mut self, slot: u32, links: &[OwnedTrace]) {
        for &link in links {
            self.thaw_trace(link);
            if let Some(&other) = self.index.in_trace(link).first() {
                self.tie_to(slot, other);
            } else {
                self.tie_name(slot, link.link_name());
            }
        }
    }

    /// The names and links of the frames of a trace hold for its calls.
    fn tie_frames(&mut self, trace: OwnedTrace, slot: u32) {
        let mut names = vec![];
        let mut links = vec![];
        let near = || Some((self.index.joined_trace(trace, slot)?, self.index.item(slot)?.newest()));
        for frame in near().into_iter().flat_map(|(known, call)| known.frames_near(call)) {
            names.extend(frame_names(frame));
            links.extend(linked(frame));
        }
        self.thaw_named(trace.link_name());
        if let Some(other) = self.index.holder(trace.link_name()) {
            self.tie_to(slot, other);
        }
        for name in names {
            self.tie_name(slot, name);
        }
        self.tie_links(slot, &links);
    }

    /// Takes a frame; `number` is given when it is restored.
    pub(super) fn gather_frame(&mut self, evidence: Evidence, number: Option<u64>) -> Observed {
        self.spans_seen += 1;
        let trace = OwnedTrace::of(&evidence);
        let last = self.heard(evidence.end);
        self.thaw_trace(trace);
        let added = match number {
            Some(number) => self.index.restore_frame(number, last, evidence),
            None => self.index.add_frame(last, evidence),
        };
        match added {
            // Most frames are of requests that never call a provider.
            Ok(false) => return Observed::New,
            Ok(true) => {}
            Err(observed) => return observed,
        }
        let known = self.index.trace(trace);
        let frame = known.and_then(|known| Some(&known.frames().last()?.evidence));
        let names = frame.map(frame_names).unwrap_or_default();
        let links: Vec<OwnedTrace> = frame.into_iter().flat_map(linked).collect();
        if let Some(&slot) = known.and_then(|known| known.items().first()) {
            for name in names {
                self.tie_name(slot, name);
            }
            self.tie_links(slot, &links);
        }
        self.wake_trace(trace, last);
        Observed::New
    }

    /// Takes a span that is above calls, and stands for one itself if none of them is seen: from here on it
    /// is two pieces of evidence.
    pub(super) fn gather_stand_in(&mut self, evidence: Evidence) -> Observed {
        let Evidence { span, parent, start, end, client, what: What::Frame(Frame { kind, verdict, rare }) } =
            evidence
        else {
            return self.gather_call(evidence, None);
        };
        let mut rare = rare.into_inner();
        let call = rare.call.take();
        let piece = |what| Evidence { span, parent, start, end, client: client.clone(), what };
        let frame = piece(What::Frame(Frame { kind, verdict, rare: Rare::new(rare) }));
        let observed = match call {
            Some(call) => self.gather_call(piece(What::Call(*call)), None),
            None => Observed::New,
        };
        if observed == Observed::New { self.gather_frame(frame, None) } else { observed }
    }

    /// From when what a span says of time is waited on: not before it came, and a clock that is ahead of ours
    /// makes nothing wait for longer than silence does.
    fn heard(&self, told: UnixNanos) -> UnixNanos {
        if self.now == UnixNanos::default() {
            return told;
        }
        told.min(self.now.plus_ms(self.settings.idle_timeout_ms)).max(self.now)
    }

    /// Makes the pocket of an item due when it has been quiet for the settle delay.
    fn wake(&mut self, slot: u32, last: UnixNanos) {
        let Some(at) = self.pocket_of(slot) else { return };
        let settle = last.plus_ms(self.settings.settle_delay_ms);
        if let Some(pocket) = self.pockets.get_mut(at) {
            pocket.last = pocket.last.max(last);
        }
        self.pockets.schedule(at, settle);
    }

    /// Makes one pocket of those of two items; false if they are in one already, or are not of one tenant:
    /// names are hashes, and who finds two that are equal must not tie others' calls to their own.
    pub(super) fn merge(&mut self, a: u32, b: u32) -> bool {
        let tenant = |slot: u32| self.index.item(slot).map(|item| &item.first().client.tenant);
        let is_one_tenant = tenant(a) == tenant(b);
        let (Some(a), Some(b)) = (self.pocket_of(a), self.pocket_of(b)) else { return false };
        if a == b || !is_one_tenant {
            return false;
        }
        let (into, moved) = self.pockets.merge(a, b);
        self.ties.merge(if into == a { b } else { a }, into);
        for slot in moved {
            if let Some(item) = self.index.item_mut(slot) {
                item.pocket = into;
            }
        }
        for &job in self.pockets.get(into).into_iter().flat_map(|pocket| &pocket.jobs) {
            self.known.set_home(job, into);
        }
        true
    }

    pub(super) fn pocket_of(&self, slot: u32) -> Option<u32> {
        self.index.item(slot).map(|item| item.pocket).filter(|&at| at != NO_POCKET)
    }

    fn pocket_mut(&mut self, slot: u32) -> Option<&mut Pocket> {
        let at = self.pocket_of(slot)?;
        self.pockets.get_mut(at)
    }
}

/// The traces that a span links to: those of its own tenant.
fn linked(evidence: &Evidence) -> impl Iterator<Item = OwnedTrace> {
    evidence.links().iter().map(|link| OwnedTrace::new(&evidence.client, link.trace))
}

/// One more poll that says nothing new of its task.
fn is_quiet(call: &Call) -> bool {
    use crate::call::TaskState::{NotReady, Running};
    let silent = call.verdict.is_none_or(|verdict| matches!(verdict.state, Running | NotReady));
    call.role == Role::Poll && silent && call.rare.alias.is_none()
}

/// By which name a correlation id ties. An empty id of a session is none.
fn name_of(tenant: &Arc<str>, known: &Correlation) -> Option<u64> {
    (known.kind != CorrelationKind::Session || !known.value.is_empty())
        .then(|| hash(&(tenant, known.kind, &known.value)))
}

/// What a frame names: a task, jobs (which may be the ids of tasks as well), and what the client called it.
fn frame_names(evidence: &Evidence) -> Vec<u64> {
    let What::Frame(frame) = &evidence.what else { return Vec::new() };
    let tenant = &evidence.client.tenant;
    let task = frame.rare.task.as_ref().map(|task| task_name(tenant, task));
    let jobs = frame.rare.correlations.iter().filter(|known| known.kind == CorrelationKind::Job);
    let as_task = jobs.map(|known| task_name(tenant, &TaskId::new(&known.value)));
    let names = frame.rare.correlations.iter().filter_map(|known| name_of(tenant, known));
    task.into_iter().chain(as_task).chain(names).collect()
}
