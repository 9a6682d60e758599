//! Values that many spans share, each kept once: endpoints, and short texts such as models.
//!
//! Every decoding thread has its own [`EndpointCache`], so there is no lock. It is bounded: at the bound it
//! is emptied and fills again, which costs allocations and nothing else.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{HashSet, HashTable};
use spantally_stitch::{Endpoint, TaskId};

use crate::lengths::{Cuts, LABEL_BYTES_MAX};
use crate::recent::{RecentEndpoints, RecentFingerprints, RecentHosts};
use crate::unrecognised::Unrecognised;

/// One thread's shared values.
#[derive(Debug)]
pub struct EndpointCache {
    endpoints: HashTable<Cached>,
    texts: HashSet<Arc<str>, foldhash::fast::FixedState>,
    empty: Arc<str>,
    capacity: usize,
    pub(crate) hosts: RecentHosts,
    /// Of instrumentation scope and user agent.
    pub(crate) libraries: RecentFingerprints,
    /// Of query shapes.
    pub(crate) shapes: RecentFingerprints,
    pub(crate) recent: RecentEndpoints,
    /// Where the text of a model and a family is put together; `model` first, `family` from `split`.
    pub(crate) scratch: String,
    pub(crate) cuts: Cuts,
    /// What the last request was that no rule takes.
    pub(crate) unrecognised: Option<Unrecognised>,
}

#[derive(Debug)]
struct Cached {
    hash: u64,
    rule: u32,
    endpoint: Arc<Endpoint>,
}

impl Default for EndpointCache {
    fn default() -> Self {
        Self::new(4096)
    }
}

impl EndpointCache {
    /// Whether the last span, of which nothing was made, was a request to a provider that no rule takes.
    pub fn take_unrecognised(&mut self) -> Option<Unrecognised> {
        self.unrecognised.take()
    }

    /// A cache of at most `capacity` endpoints and as many texts.
    pub fn new(capacity: usize) -> Self {
        Self {
            endpoints: HashTable::new(),
            texts: HashSet::default(),
            empty: Arc::from(""),
            capacity: capacity.max(1),
            hosts: RecentHosts::default(),
            libraries: RecentFingerprints::default(),
            shapes: RecentFingerprints::default(),
            recent: RecentEndpoints::default(),
            scratch: String::new(),
            cuts: Cuts::default(),
            unrecognised: None,
        }
    }

    /// What was cut since this was last asked.
    pub fn take_cuts(&mut self) -> Cuts {
        std::mem::take(&mut self.cuts)
    }

    /// The endpoint of a rule with the model and family in `scratch`, made by `make` if it is new.
    pub(crate) fn endpoint(
        &mut self,
        rule: u32,
        split: usize,
        make: impl FnOnce(&str, &str) -> Endpoint,
    ) -> Arc<Endpoint> {
        let split = if self.scratch.len() > LABEL_BYTES_MAX { self.cut_scratch(split) } else { split };
        let (model, family) = self.scratch.split_at(split);
        let hash = foldhash::fast::FixedState::default().hash_one((rule, model, family));
        let same = |cached: &Cached| {
            cached.rule == rule && *cached.endpoint.model == *model && *cached.endpoint.family == *family
        };
        if let Some(cached) = self.endpoints.find(hash, same) {
            return cached.endpoint.clone();
        }
        if self.endpoints.len() >= self.capacity {
            self.endpoints.clear();
        }
        let endpoint = Arc::new(make(model, family));
        let cached = Cached { hash, rule, endpoint: endpoint.clone() };
        self.endpoints.insert_unique(hash, cached, |cached| cached.hash);
        endpoint
    }

    /// Cuts what is put together in `scratch`, and gives back the room that it took. The new place of the
    /// split.
    #[cold]
    fn cut_scratch(&mut self, split: usize) -> usize {
        let whole = std::mem::take(&mut self.scratch);
        let (model, family) = whole.split_at(split);
        let model = self.cuts.label(model);
        self.scratch.push_str(&model);
        self.scratch.push_str(&self.cuts.label(family));
        model.len()
    }

    /// An id as it is kept.
    #[inline]
    pub(crate) fn task(&mut self, id: &str) -> TaskId {
        TaskId::new(&self.cuts.id(id))
    }

    /// A shared copy of a text, cut if it is long; one that is past what is usual is not worth finding again.
    pub(crate) fn text(&mut self, text: &str) -> Arc<str> {
        const LONG: usize = 128;
        if text.is_empty() {
            return self.empty.clone();
        }
        if let Some(shared) = self.texts.get(text) {
            return shared.clone();
        }
        let shared: Arc<str> = self.cuts.label(text).into();
        if text.len() <= LONG {
            if self.texts.len() >= self.capacity {
                self.texts.clear();
            }
            self.texts.insert(shared.clone());
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_kept_once_and_the_cache_is_bounded() {
        let mut cache = EndpointCache::new(2);
        let mut get = |rule: u32, model: &str| {
            cache.scratch.clear();
            cache.scratch.push_str(model);
            cache.endpoint(rule, model.len(), |model, _| Endpoint {
                model: model.into(),
                ..Endpoint::default()
            })
        };
        let first = get(0, "a");
        assert!(Arc::ptr_eq(&first, &get(0, "a")));
        assert!(!Arc::ptr_eq(&first, &get(1, "a")));
        assert_eq!(&*get(0, "b").model, "b");
        assert!(!Arc::ptr_eq(&first, &get(0, "a")), "emptied at the bound");
        let text = cache.text("x");
        assert!(Arc::ptr_eq(&text, &cache.text("x")));
        cache.text("y");
        cache.text("z");
        assert!(cache.texts.len() <= 2);
    }
}
