//! Attempts under construction: which parts of a pool make each.

use std::ops::Index;

use smallvec::SmallVec;

use crate::call::TaskState;
use crate::evidence::Evidence;
use crate::id::UnixNanos;
use crate::job::Join;
use crate::solve::pool::call_of;

/// Indices into the pool. Most attempts have one task, or one group of deliveries.
pub(crate) type Few = SmallVec<[usize; 2]>;

/// Indices into the pool that make one attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttemptDraft<'a> {
    pub(crate) shot: Option<usize>,
    pub(crate) tasks: Few,
    pub(crate) groups: Few,
    pub(crate) downloads: Few,
    pub(crate) joins: Vec<Join>,
    /// Every span of it, sorted by start, then span.
    pub(crate) parts: Vec<&'a Evidence>,
    /// The states that spans around one of its calls tell, with the ends of those calls.
    pub(super) around: Vec<(UnixNanos, TaskState)>,
}

impl AttemptDraft<'_> {
    /// The states that were seen, with the ends of the calls that show them.
    pub(super) fn states(&self) -> impl Iterator<Item = (UnixNanos, TaskState)> {
        let own = |part: &&Evidence| Some((part.end, call_of(part)?.verdict?.state));
        self.parts.iter().filter_map(own).chain(self.around.iter().copied())
    }

    /// When it had visibly ended without success, if it had. A refused submit has no task to end: its retry
    /// is found by the retry chains.
    pub(crate) fn failed_at(&self) -> Option<UnixNanos> {
        if self.states().any(|(_, state)| matches!(state, TaskState::Succeeded | TaskState::Partial)) {
            return None;
        }
        let failed = self.states().filter(|(_, state)| state.is_failure()).map(|(end, _)| end).min();
        failed.filter(|_| !(self.tasks.is_empty() && self.groups.is_empty()))
    }

    /// Whether the client canceled it.
    pub(crate) fn was_canceled(&self) -> bool {
        self.states().any(|(_, state)| matches!(state, TaskState::Canceled | TaskState::CanceledQueued))
    }
}

/// The attempts of a pool by their root: the smallest index of what was joined to make each. Most pools have
/// one or two, so this is a list with gaps and no tree.
#[derive(Debug)]
pub(crate) struct Drafts<'a>(Vec<Option<AttemptDraft<'a>>>);

impl<'a> Drafts<'a> {
    /// None yet, of a pool with so many parts that may be a root.
    pub(super) fn new(parts: usize) -> Self {
        let mut drafts = Vec::new();
        drafts.resize_with(parts, || None);
        Self(drafts)
    }

    /// The attempt of a root, made if there is none.
    pub(super) fn of(&mut self, root: usize) -> &mut AttemptDraft<'a> {
        self.0[root].get_or_insert_default()
    }

    /// The attempt of a root.
    pub(crate) fn get_mut(&mut self, root: usize) -> Option<&mut AttemptDraft<'a>> {
        self.0.get_mut(root)?.as_mut()
    }

    /// All, by root.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &AttemptDraft<'a>)> {
        self.0.iter().enumerate().filter_map(|(root, draft)| Some((root, draft.as_ref()?)))
    }

    /// All, by root.
    pub(crate) fn values(&self) -> impl Iterator<Item = &AttemptDraft<'a>> {
        self.0.iter().flatten()
    }

    /// All, by root.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut AttemptDraft<'a>> {
        self.0.iter_mut().flatten()
    }

    /// All, by root.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (usize, AttemptDraft<'a>)> {
        self.0.into_iter().enumerate().filter_map(|(root, draft)| Some((root, draft?)))
    }
}

impl<'a> Index<usize> for Drafts<'a> {
    type Output = AttemptDraft<'a>;

    fn index(&self, root: usize) -> &AttemptDraft<'a> {
        self.0[root].as_ref().expect("only roots of attempts are asked for")
    }
}
