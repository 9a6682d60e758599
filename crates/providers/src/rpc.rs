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

use spantally_stitch::Call;

use crate::call::Request;
use crate::endpoint::EndpointCache;
use crate::lengths::LABEL_BYTES_MAX;
use crate::recogniser::Recogniser;
use crate::route::Captures;
use crate::span::SpanView;

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
