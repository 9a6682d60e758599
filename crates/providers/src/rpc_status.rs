//! How a remote procedure call ended, by the status code of gRPC on its span.

use spantally_stitch::Answer;

use crate::keys::{Slots, integer};
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
