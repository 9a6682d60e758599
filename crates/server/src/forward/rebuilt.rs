//! Requests made of spans that waited: each of one tenant, of a size that every destination takes, and with
//! what spans share written once.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use spantally_stitch::SpanKey;
use spantally_store::Seq;

use super::attributes;
use super::held::HeldSpan;
use super::item::REQUEST_BYTES;
use super::split::{put_resource, put_scope};

/// A span, with what its job has to say of it.
pub(super) type Going = (HeldSpan, Option<Arc<[KeyValue]>>);

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rebuilt {
    pub(super) tenant: Arc<str>,
    /// The spans in it, each with the row of the log that has it.
    pub(super) spans: Vec<(SpanKey, Seq)>,
    pub(super) body: Vec<u8>,
}

/// A span as it goes.
struct Ready {
    of: (SpanKey, Seq),
    bytes: Bytes,
}

/// Spans of one tenant and resource, by scope, in the order in which they came.
struct OfResource {
    tenant: Arc<str>,
    resource: Arc<[u8]>,
    scopes: Vec<(Arc<[u8]>, Vec<Ready>)>,
    /// By address: what is held has equal parts once.
    places: HashMap<usize, usize>,
}

/// Puts spans together, those of one resource and scope beside one another.
pub(super) fn requests(spans: Vec<Going>) -> Vec<Rebuilt> {
    let mut all: Vec<OfResource> = Vec::new();
    let mut places: HashMap<(Arc<str>, usize), usize> = HashMap::new();
    for (span, attributes) in spans {
        let of = (span.key, span.row);
        let HeldSpan { tenant, resource, scope, bytes, .. } = span;
        let bytes = match attributes {
            Some(attributes) => attributes::add(&bytes, &attributes).into(),
            None => bytes.into(),
        };
        let place = *places.entry((tenant.clone(), resource.as_ptr().addr())).or_insert_with(|| {
            all.push(OfResource { tenant, resource, scopes: Vec::new(), places: HashMap::new() });
            all.len() - 1
        });
        let OfResource { scopes, places, .. } = &mut all[place];
        let place = *places.entry(scope.as_ptr().addr()).or_insert_with(|| {
            scopes.push((scope, Vec::new()));
            scopes.len() - 1
        });
        scopes[place].1.push(Ready { of, bytes });
    }
    let mut requests = Vec::new();
    for one in all {
        one.write(&mut requests);
    }
    requests
}

impl OfResource {
    /// Writes it into the newest request where it fits, else into as many as it needs. However large resource
    /// and scope are, half a request is left for spans, so that few copies are written.
    fn write(&self, requests: &mut Vec<Rebuilt>) {
        let room = REQUEST_BYTES.saturating_sub(self.resource.len()).max(REQUEST_BYTES / 2);
        let (mut written, mut of) = (Vec::new(), Vec::new());
        for (scope, spans) in &self.scopes {
            let mut rest = &spans[..];
            while !rest.is_empty() {
                let (before, mut bytes) = (written.len() + scope.len(), 0);
                let fits = rest.iter().take_while(|span| {
                    bytes += span.bytes.len();
                    before + bytes <= room || written.is_empty() && bytes <= REQUEST_BYTES / 2
                });
                let fits = fits.count().max(usize::from(written.is_empty()));
                let (some, others) = rest.split_at(fits);
                if !some.is_empty() {
                    put_scope(scope, some.iter().map(|span| &*span.bytes), &mut written);
                    of.extend(some.iter().map(|span| span.of));
                }
                rest = others;
                if !rest.is_empty() {
                    self.end(&mut written, &mut of, requests);
                }
            }
        }
        self.end(&mut written, &mut of, requests);
    }

    fn end(&self, written: &mut Vec<u8>, of: &mut Vec<(SpanKey, Seq)>, requests: &mut Vec<Rebuilt>) {
        let bytes = self.resource.len() + written.len();
        let open =
            requests.pop_if(|open| open.tenant == self.tenant && open.body.len() + bytes <= REQUEST_BYTES);
        let new = || Rebuilt { tenant: self.tenant.clone(), spans: Vec::new(), body: Vec::new() };
        let mut request = open.unwrap_or_else(new);
        put_resource(&self.resource, written, &mut request.body);
        request.spans.append(of);
        written.clear();
        requests.push(request);
    }
}
