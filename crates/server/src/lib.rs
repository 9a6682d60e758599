//! The server: receivers, decode, pipeline, export, API and command line.

pub mod batch;
pub mod cli;
pub mod clock;
pub mod commit;
pub mod config;
pub mod core;
pub mod decode;
pub mod demo;
pub mod export;
pub mod job_json;
pub mod provider_files;
pub mod record;
pub mod telemetry;
