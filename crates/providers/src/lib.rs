//! The provider file format, and what it compiles to: a recogniser (span to call) and a rate card.
//!
//! Pure: text goes in, rules come out; reading files is the server's work. In reading order:
//! `format` (a file as it is written, in the words of `vocabulary`), `load` (text to a checked file),
//! `compile` (files to one `recogniser`, a lookup by host and path), `recognise` (a span to evidence).

pub mod builtin;

mod answer;
mod attributes;
mod backup;
mod call;
mod callback;
mod compile;
mod config;
mod endpoint;
mod error;
mod exports;
mod facts;
mod fingerprint;
mod format;
mod frame;
mod keys;
mod lengths;
mod lint;
mod load;
mod masks;
mod pieces;
mod placeholder;
mod provider;
pub mod rates;
mod recent;
mod recognise;
mod recogniser;
mod route;
mod rpc;
mod rpc_status;
mod rule;
mod sampling;
mod span;
mod stand_in;
mod unrecognised;
mod url;
mod vocabulary;
mod webhook;
mod words;

pub use attributes::{AttributeKeys, Attributes, Value};
pub use config::{CorrelationConfig, WebhookPath};
pub use endpoint::EndpointCache;
pub use error::LoadError;
pub use exports::{Column, ColumnsRule, Export, ExportRow, ExportRule, WrongCell};
pub use format::{
    AnswerRule, BackupHost, CallRule, FactOrigin, FactRule, IdempotencyKey, Leg, OperationRule, OutputHost,
    Place, ProviderFile, WordRule,
};
pub use lengths::{CALLBACK_IDS_MAX, Cuts, ID_BYTES_MAX, LABEL_BYTES_MAX};
pub use load::{LoadedFile, load};
pub use recogniser::Recogniser;
pub use span::{ResourceView, SpanHead, SpanKind, SpanStatus, SpanView};
pub use unrecognised::Unrecognised;
pub use vocabulary::{FACT_NAMES, StatusPattern, Word};
