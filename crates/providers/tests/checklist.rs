//! What a rule language must be able to say, item by item, each with the real provider that needs it.
//!
//! Most tests price an attempt by the built-in file of that provider. Where a provider's rule depends on a
//! contract or an account (packs, discounts, exchange rates), the file is a user's own, written here.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod checklist {
    pub(crate) mod fixture;
    mod policies;
    mod units;
    mod unlisted;
}
