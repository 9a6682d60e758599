//! The server: receivers, decode, pipeline, export, API and command line.

pub mod admin;
pub mod app;
pub mod batch;
pub mod budgets;
pub mod cli;
pub mod clock;
pub mod commit;
pub mod config;
mod connections;
pub mod core;
pub mod day_files;
pub mod decode;
pub mod demo;
pub mod export;
pub mod forward;
#[doc(hidden)]
pub mod fuzzing;
mod google_rpc;
pub mod intake;
pub mod job_calls;
pub mod job_json;
mod limits;
mod listen;
pub mod memory;
mod open_files;
mod pipeline;
pub mod provider_files;
pub mod receivers;
pub mod reconciliation;
pub mod record;
pub mod replay;
pub mod rules;
mod setup;
pub mod signals;
pub mod telemetry;
mod tls;
pub mod verify;
