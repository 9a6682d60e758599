//! Which submit a delivery may come from, by the callback URL that both show.
//!
//! Some clients pass the URL in the query of the submit, where a span shows it; most pass it in the body,
//! where none does. A provider of which some submits show theirs calls back by those alone.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::solve::hooks::callback_value;
use crate::solve::pool::Pool;

/// The providers of which some submits show their callback URL.
#[derive(Debug)]
pub(crate) struct Callers<'a>(BTreeSet<&'a str>);

impl<'a> Callers<'a> {
    /// Those of a pool.
    pub(crate) fn new(pool: &Pool<'a>) -> Self {
        let shows = pool.shots.iter().filter(|shot| shot.call.callback_place().is_some());
        Self(shows.map(|shot| &*shot.call.endpoint.provider).collect())
    }

    /// Whether a submit may have asked to be called back.
    pub(crate) fn may_call_back(&self, submit: &Call) -> bool {
        submit.rare.callback.is_some() || !self.0.contains(&*submit.endpoint.provider)
    }

    /// Whether a delivery may come from a submit: where submits show their URL, it came by that very one.
    pub(crate) fn fits(&self, submit: &Call, delivery: &Call) -> bool {
        match (submit.callback_place(), &delivery.rare.callback) {
            (Some(asked), Some(came)) => asked == came && callback_value(submit) == callback_value(delivery),
            (None, Some(_)) => self.may_call_back(submit),
            _ => true,
        }
    }
}
