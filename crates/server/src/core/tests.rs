//! The core on hand-made evidence, with a real ledger file where a file matters.

mod accounting;
mod archive;
mod bounds;
mod budgets;
mod cut;
mod exposure;
mod extremes;
mod fixture;
mod forgetting;
mod labels;
mod late;
mod limits;
mod matched;
mod removal;
mod restart;
mod revision;
mod search;
mod simulation;
mod tenants;
mod turns;
