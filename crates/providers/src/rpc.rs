//! A client span of a remote procedure call: what is left where the request itself is not shown.
//!
//! # Who writes them
//!
//! - Instrumentations of AWS SDKs (`rpc.system` is `aws-api`): a span for each operation, by the id of its
//!   service. Python's hides the HTTP spans below it and Go's has none, so it is all that is seen of a call;
//!   below that of Node the HTTP client's span stands too, and stitching makes one call of both
//!   (`nested.rs` there). Java's has the URL besides.
//! - gRPC clients (Google's by default). They show which procedure was called, and neither the model nor the
//!   name of the operation.
//!
//! # Spellings
//!
//! Up to 1.38 the conventions have `rpc.service` and `rpc.method`, then `rpc.method` alone with both in it,
//! `Service/Method` (<https://opentelemetry.io/docs/specs/semconv/non-normative/rpc-migration>). So the two
//! are put together where a slash is missing. `rpc.system` tells nothing more, and is not read.

use spantally_stitch::{Answer, Call};

use crate::call::Request;
use crate::compile::Recogniser;
use crate::endpoint::EndpointCache;
use crate::keys::{Slots, integer};
use crate::lengths::LABEL_BYTES_MAX;
use crate::route::Captures;
use crate::span::SpanView;

/// What gRPC's UNAVAILABLE means.
pub(crate) const UNAVAILABLE: Answer = Answer::Status(503);

/// Names of gRPC's status codes, by number, and the HTTP status that each stands for
/// (`google/rpc/code.proto`). CANCELLED (499 there) and DEADLINE_EXCEEDED (504) are made by the client as a
/// rule, which stopped waiting for a call that may run on.
const CODES: [(&str, Answer); 17] = [
    ("OK", Answer::Status(200)),
    ("CANCELLED", Answer::TimedOut),
    ("UNKNOWN", Answer::Status(500)),
    ("INVALID_ARGUMENT", Answer::Status(400)),
    ("DEADLINE_EXCEEDED", Answer::TimedOut),
    ("NOT_FOUND", Answer::Status(404)),
    ("ALREADY_EXISTS", Answer::Status(409)),
    ("PERMISSION_DENIED", Answer::Status(403)),
    ("RESOURCE_EXHAUSTED", Answer::Status(429)),
    ("FAILED_PRECONDITION", Answer::Status(400)),
    ("ABORTED", Answer::Status(409)),
    ("OUT_OF_RANGE", Answer::Status(400)),
    ("UNIMPLEMENTED", Answer::Status(501)),
    ("INTERNAL", Answer::Status(500)),
    ("UNAVAILABLE", UNAVAILABLE),
    ("DATA_LOSS", Answer::Status(500)),
    ("UNAUTHENTICATED", Answer::Status(401)),
];

/// How a remote procedure call ended, by its status code: a number of gRPC's or its name.
pub(crate) fn answer(span: &SpanView<'_>, slots: &Slots) -> Option<Answer> {
    let known = if let Some(code) = integer(span, slots.rpc_status) {
        CODES.get(usize::try_from(code).ok()?)
    } else {
        let name = span.text(slots.rpc_status)?;
        CODES.iter().find(|(known, _)| *known == name)
    };
    known.map(|(_, answer)| *answer)
}

impl Recogniser {
    /// The call that a span shows, if a rule takes its procedure.
    pub(crate) fn remote_call(&self, span: &SpanView<'_>, cache: &mut EndpointCache) -> Option<Call> {
        let index = self.procedure(span, cache)?;
        let rule = &self.rules[index as usize];
        let captures = Captures::new();
        let request = Request::remote(&rule.name, self.named_model(span, rule, &captures));
        Some(self.read(span, index, request, &captures, cache))
    }

    /// The rule of the procedure that a span names.
    fn procedure(&self, span: &SpanView<'_>, cache: &mut EndpointCache) -> Option<u32> {
        let method = span.text(self.slots.rpc_method)?;
        let method = method.strip_prefix('/').unwrap_or(method);
        if method.contains('/') {
            return self.procedures.get(method).copied();
        }
        let service = span.text(self.slots.rpc_service)?;
        if service.len() + method.len() > LABEL_BYTES_MAX {
            return None;
        }
        cache.scratch.clear();
        cache.scratch.extend([service, "/", method]);
        self.procedures.get(cache.scratch.as_str()).copied()
    }
}
