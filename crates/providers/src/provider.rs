//! What is known of a provider and of a host, compiled.

use std::sync::Arc;

use spantally_price::Pattern;
use spantally_stitch::Role;

use crate::facts::FactSlot;
use crate::format::{Webhooks, WordRule};
use crate::route::Routes;
use crate::rule::Spot;
use crate::unrecognised::Ownership;

/// What is known of a provider beside its calls.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) name: Arc<str>,
    /// Operations by the model's name, first match wins.
    pub(crate) operations: Vec<(Pattern, Arc<str>)>,
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

/// A word by which a span stands for a call.
#[derive(Clone, Debug)]
pub(crate) struct SpanWord {
    pub(crate) word: Box<str>,
    pub(crate) rule: u32,
    pub(crate) role: Role,
}

/// What is known of one host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) routes: Routes,
    /// The rule of a GET that no route takes, and the query parameter that it needs.
    pub(crate) output: Option<(u32, Option<Box<str>>)>,
    /// Whose it is, where what no route takes is told.
    pub(crate) ownership: Ownership,
    /// The host that it stands in for.
    pub(crate) stands_for: Option<Box<str>>,
}
