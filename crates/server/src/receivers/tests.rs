//! The receivers over real sockets: what OTLP asks for, and every bad input with its answer and its counter.

mod abuse;
mod cors;
mod gone;
mod grpc;
mod http;
mod json;
mod raw;
mod rules;
mod tenants;
pub(crate) mod tls;
mod whole;
