//! Everything that recognition needs, in one place.
//!
//! [`crate::compile`] makes it; [`crate::recognise`] and what is below it read it.

use hashbrown::HashMap;

use crate::attributes::AttributeKeys;
use crate::facts::FactSlot;
use crate::keys::Slots;
use crate::masks::Masks;
use crate::provider::{Host, Provider};
use crate::route::Routes;
use crate::rule::Rule;

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
    /// Remote procedures, `Service/Method`, to a rule.
    pub(crate) procedures: HashMap<Box<str>, u32, Fixed>,
    /// Names and aliases of providers in lower case, to an index of `providers`.
    pub(crate) names: HashMap<Box<str>, u16, Fixed>,
    /// Paths at which the user's applications receive webhooks, to a rule.
    pub(crate) webhooks: Routes,
    pub(crate) facts: Vec<FactSlot>,
    /// Facts that few spans have: they are looked for where [`Masks::further`] says that there is one.
    pub(crate) further: Vec<FactSlot>,
    pub(crate) masks: Masks,
    /// No span stands for a call.
    pub(crate) requests_only: bool,
}
