//! The receivers over real sockets: what OTLP asks for, and every bad input with its answer and its counter.

mod grpc;
mod http;
