//! A capture as messages that can be changed, with its truth.
//!
//! The six captures are the set that stitching was developed on. What they cannot show is whether it depends
//! on them: on their seeds, hosts, status codes, attribute names, and on jobs that take seconds. So the tests
//! change one of these at a time ([`variant`]) and score the product on what comes of it. The truth stays
//! true: it names spans by their ids, and these are kept.

mod change;
mod lineage;
pub mod steps;
mod time;
pub mod variant;

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::capture::{Request, read_capture};
use crate::fixtures::capture_dir;
use crate::truth::{Role, Truth, read_truth};

/// Requests with their arrival in milliseconds, and what is true of them.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Arrival after the first, and the message.
    pub requests: Vec<(u32, ExportTraceServiceRequest)>,
    /// What is true.
    pub truth: Truth,
}

/// What the truth says of a span.
#[derive(Clone, Debug)]
struct Label {
    intent: Option<String>,
    role: Role,
}

impl Traffic {
    /// Reads a capture of the fixtures.
    ///
    /// # Errors
    /// It cannot be read, or a record is no export request.
    pub fn read(capture: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let directory = capture_dir(capture);
        let requests = read_capture(&directory)?;
        let decoded = requests
            .iter()
            .map(|request| Ok((request.at_ms, ExportTraceServiceRequest::decode(&*request.body)?)));
        let requests = decoded.collect::<Result<_, prost::DecodeError>>()?;
        Ok(Self { requests, truth: read_truth(&directory)? })
    }

    /// The requests as they would be sent.
    pub fn encode(&self) -> Vec<Request> {
        let encode = |(at_ms, message): &(u32, ExportTraceServiceRequest)| Request {
            at_ms: *at_ms,
            body: message.encode_to_vec(),
        };
        self.requests.iter().map(encode).collect()
    }

    fn spans(&self) -> impl Iterator<Item = &Span> {
        let resources = self.requests.iter().flat_map(|(_, message)| &message.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans)
    }

    fn spans_mut(&mut self) -> impl Iterator<Item = &mut Span> {
        let resources = self.requests.iter_mut().flat_map(|(_, message)| &mut message.resource_spans);
        resources.flat_map(|resource| &mut resource.scope_spans).flat_map(|scope| &mut scope.spans)
    }

    /// Keeps the spans that are chosen, and of the truth what is left.
    fn retain(&mut self, keep: impl Fn(&Span) -> bool) {
        for (_, message) in &mut self.requests {
            for resource in &mut message.resource_spans {
                for scope in &mut resource.scope_spans {
                    scope.spans.retain(&keep);
                }
            }
        }
        let left: BTreeSet<String> = self.spans().map(|span| hex(&span.span_id)).collect();
        self.truth.spans.retain(|span| left.contains(&span.span_id));
        for intent in &mut self.truth.intents {
            intent.spans.retain(|span| left.contains(span));
        }
        self.truth.intents.retain(|intent| !intent.spans.is_empty());
        let known: BTreeSet<&str> = self.truth.intents.iter().map(|intent| &*intent.intent).collect();
        self.truth.jobs.retain(|job| known.contains(&*job.intent));
    }

    /// What the truth says of each span, by its id in hex.
    fn labels(&self) -> BTreeMap<String, Label> {
        let label = |span: &crate::truth::Span| {
            (span.span_id.clone(), Label { intent: span.intent.clone(), role: span.role })
        };
        self.truth.spans.iter().map(label).collect()
    }
}

fn hex(id: &[u8]) -> String {
    use std::fmt::Write as _;
    id.iter().fold(String::new(), |mut text, byte| {
        // Writing to memory cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A number without pattern for a name: FNV-1a, then SplitMix64's last step.
fn scramble(seed: u64, name: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let mut mixed = name.iter().fold(0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), step);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
