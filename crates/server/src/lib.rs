//! The server: receivers, decode, pipeline, export, API and command line.

pub mod batch;
pub mod export;
pub mod job_json;
