//! Reading: through the generated messages, with every reference and every number checked.

use std::sync::Arc;

use prost::Message;
use rust_decimal::Decimal;
use spantally_proto::journal as wire;
use spantally_stitch::{
    Answer, Call, CallRare, Came, Client, Correlation, Endpoint, Evidence, Fact, FactValue, Frame, FrameRare,
    Rare, SpanId, SpanKey, TaskId, TraceId, UnixNanos, Verdict, What,
};

use super::codes::{Code, answer};
use crate::batch::{Batch, Tally};

/// Why bytes are not a journal row of a version that this one can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not a protobuf message of this schema.
    #[error("not a journal record: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// A field that must be there is not.
    #[error("{field} is missing")]
    Missing {
        /// The field's name in the schema.
        field: &'static str,
    },
    /// A field has a value that cannot be.
    #[error("{field} is {found}, expected {expected}; if a newer Spantally wrote it, run that one")]
    Invalid {
        /// The field's name in the schema.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What it may hold.
        expected: &'static str,
    },
}

/// Reads what [`encode`](super::encode) wrote; values of extra labels are in the order in which they were
/// written.
pub fn decode(bytes: &[u8]) -> Result<Vec<Batch>, RecordError> {
    read(wire::JournalBatch::decode(bytes)?)
}

/// Reads what [`encode_labelled`](super::encode_labelled) wrote. Values of extra labels come in the order of
/// `labels`; one that the row does not have is empty.
pub(crate) fn decode_labelled(bytes: &[u8], labels: &[Arc<str>]) -> Result<Vec<Batch>, RecordError> {
    let mut row = wire::JournalBatch::decode(bytes)?;
    order_labels(&mut row, labels);
    read(row)
}

fn read(mut row: wire::JournalBatch) -> Result<Vec<Batch>, RecordError> {
    let requests = std::mem::take(&mut row.requests);
    let mut decoder = Decoder::new(row);
    requests.into_iter().map(|request| decoder.batch(request)).collect()
}

/// Reads what [`encode_carried`](super::encode_carried) wrote; `labels` as in [`decode_labelled`].
pub(crate) fn decode_carried(
    bytes: &[u8],
    labels: &[Arc<str>],
) -> Result<(Came, Vec<Evidence>), RecordError> {
    let mut row = wire::JournalBatch::decode(bytes)?;
    order_labels(&mut row, labels);
    let (mut came, mut evidence) = (Came::default(), Vec::new());
    let requests = std::mem::take(&mut row.requests);
    let mut decoder = Decoder::new(row);
    for request in requests {
        came = Came { first: UnixNanos(request.first_came), last: UnixNanos(request.last_came) };
        evidence.append(&mut decoder.batch(request)?.evidence);
    }
    Ok((came, evidence))
}

/// The tables of a row, and what the span before left.
struct Decoder {
    clients: Vec<Arc<Client>>,
    endpoints: Vec<Arc<Endpoint>>,
    agents: Vec<u64>,
    texts: Vec<Arc<str>>,
    nothing: Arc<str>,
    trace: Option<TraceId>,
    start: u64,
}

impl Decoder {
    fn new(row: wire::JournalBatch) -> Self {
        Self {
            clients: row.clients.into_iter().map(|client| Arc::new(read_client(client))).collect(),
            endpoints: row.endpoints.into_iter().map(|endpoint| Arc::new(read_endpoint(endpoint))).collect(),
            agents: row.agents,
            texts: row.texts.into_iter().map(Arc::from).collect(),
            nothing: Arc::from(""),
            trace: None,
            start: 0,
        }
    }

    fn batch(&mut self, request: wire::Request) -> Result<Batch, RecordError> {
        let mut tally = Tally { received: request.received, ignored: request.ignored, ..Tally::default() };
        let known = tally.rejected.len();
        if request.rejected.len() > known {
            return Err(RecordError::Invalid {
                field: "rejected",
                found: format!("a list of {} reasons", request.rejected.len()),
                expected: "no more reasons than are known",
            });
        }
        tally.rejected[..request.rejected.len()].copy_from_slice(&request.rejected);
        Ok(Batch {
            transport: read_code("transport", request.transport)?,
            tally,
            evidence: request
                .evidence
                .into_iter()
                .map(|evidence| self.evidence(evidence))
                .collect::<Result<_, _>>()?,
        })
    }

    fn evidence(&mut self, record: wire::EvidenceRecord) -> Result<Evidence, RecordError> {
        if let Some(trace) = &record.trace {
            self.trace = Some(TraceId(read_id("trace", trace)?));
        }
        let trace = self.trace.ok_or(RecordError::Missing { field: "trace" })?;
        let start = self.start.wrapping_add(record.start_delta.cast_unsigned());
        self.start = start;
        let links = record.links.iter().map(read_link).collect::<Result<_, _>>()?;
        Ok(Evidence {
            span: SpanKey { trace, span: read_span(record.span) },
            parent: read_span(record.parent),
            start: UnixNanos(start),
            end: UnixNanos(start.wrapping_add(record.duration.cast_unsigned())),
            client: look_up("client", &self.clients, record.client)?,
            what: match record.what.ok_or(RecordError::Missing { field: "what" })? {
                wire::evidence_record::What::Call(call) => What::Call(self.call(call, links)?),
                wire::evidence_record::What::Frame(frame) => What::Frame(self.frame(frame, links)?),
            },
        })
    }

    fn call(&self, record: wire::CallRecord, links: Vec<SpanKey>) -> Result<Call, RecordError> {
        use wire::call_record::Task;
        Ok(Call {
            role: read_code("role", record.role)?,
            endpoint: look_up("endpoint", &self.endpoints, record.endpoint)?,
            task: match record.task {
                None => None,
                Some(Task::TaskUuid(uuid)) => Some(TaskId::from_uuid(read_id("task_uuid", &uuid)?)),
                Some(Task::TaskText(text)) => Some(TaskId::new(&text)),
            },
            answer: read_answer(record.answer)?,
            accepted: read_code("accepted", record.accepted)?,
            verdict: read_verdict(record.state, record.reason)?,
            request: record.request,
            agent: look_up("agent", &self.agents, record.agent)?,
            rare: Rare::new(CallRare {
                links,
                alias: read_task("alias", record.alias)?,
                parent_task: read_task("parent_task", record.parent_task)?,
                correlations: read_correlations(record.correlations)?,
                resend: record.resend.map(read_resend).transpose()?,
                callback: record.callback.map(Arc::from),
                facts: self.facts(record.facts)?,
                stands_in: record.stands_in,
            }),
        })
    }

    fn frame(&self, record: wire::FrameRecord, links: Vec<SpanKey>) -> Result<Frame, RecordError> {
        let call = record.call.map(|call| self.call(call, links.clone())).transpose()?;
        Ok(Frame {
            kind: read_code("kind", record.kind)?,
            verdict: read_verdict(record.state, record.reason)?,
            rare: Rare::new(FrameRare {
                links,
                name: self.word("name", record.name)?,
                task: read_task("task", record.task)?,
                correlations: read_correlations(record.correlations)?,
                provider: self.word("provider", record.provider)?,
                model: self.word("model", record.model)?,
                operation: self.word("operation", record.operation)?,
                facts: self.facts(record.facts)?,
                call: call.map(Box::new),
            }),
        })
    }

    /// The word of an index plus one; the empty one for zero.
    fn word(&self, field: &'static str, index: u32) -> Result<Arc<str>, RecordError> {
        match index.checked_sub(1) {
            None => Ok(self.nothing.clone()),
            Some(at) => look_up(field, &self.texts, at),
        }
    }

    fn facts(&self, records: Vec<wire::FactRecord>) -> Result<Vec<Fact>, RecordError> {
        use wire::fact_record::Value;
        let read = |record: wire::FactRecord| {
            Ok(Fact {
                name: look_up("fact name", &self.texts, record.name)?,
                value: match record.value.ok_or(RecordError::Missing { field: "fact value" })? {
                    Value::Number(text) => FactValue::Number(read_decimal(&text)?),
                    Value::Text(at) => FactValue::Text(look_up("fact text", &self.texts, at)?),
                },
                source: read_code("fact source", record.source)?,
            })
        };
        records.into_iter().map(read).collect()
    }
}

/// Brings the label values of a row's clients into the order of today's names. A row without names is one
/// without labels, or of a version that did not write them: its values are taken to be in today's order.
fn order_labels(row: &mut wire::JournalBatch, labels: &[Arc<str>]) {
    let names = std::mem::take(&mut row.label_names);
    if names.iter().map(String::as_str).eq(labels.iter().map(|name| &**name)) {
        return;
    }
    if names.is_empty() {
        row.clients.iter_mut().for_each(|client| client.labels.resize(labels.len(), String::new()));
        return;
    }
    let places: Vec<Option<usize>> =
        labels.iter().map(|label| names.iter().position(|name| **name == **label)).collect();
    for client in &mut row.clients {
        let value = |place: &Option<usize>| client.labels.get((*place)?).cloned();
        client.labels = places.iter().map(|place| value(place).unwrap_or_default()).collect();
    }
}

fn read_client(client: wire::Client) -> Client {
    Client {
        tenant: client.tenant.into(),
        service: client.service.into(),
        instance: client.instance.into(),
        labels: client.labels.into_iter().map(Arc::from).collect(),
    }
}

fn read_endpoint(endpoint: wire::Endpoint) -> Endpoint {
    Endpoint {
        provider: endpoint.provider.into(),
        rule: endpoint.rule.into(),
        family: endpoint.family.into(),
        model: endpoint.model.into(),
        operation: endpoint.operation.into(),
        needs_result: endpoint.needs_result,
        leg: endpoint.leg.map(Arc::from),
    }
}

fn look_up<T: Clone>(field: &'static str, table: &[T], index: u32) -> Result<T, RecordError> {
    table.get(index as usize).cloned().ok_or_else(|| RecordError::Invalid {
        field,
        found: format!("index {index} of a table with {} rows", table.len()),
        expected: "an index in the table",
    })
}

fn read_code<T: Code>(field: &'static str, code: i32) -> Result<T, RecordError> {
    T::from_code(code).ok_or_else(|| RecordError::Invalid {
        field,
        found: code.to_string(),
        expected: "a value of its enum",
    })
}

fn read_answer(code: u32) -> Result<Answer, RecordError> {
    answer::from_code(code).ok_or_else(|| RecordError::Invalid {
        field: "answer",
        found: code.to_string(),
        expected: "0 to 4, or 16 and an HTTP status",
    })
}

fn read_id<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], RecordError> {
    bytes.try_into().map_err(|_| RecordError::Invalid {
        field,
        found: format!("{} bytes", bytes.len()),
        expected: "16 bytes",
    })
}

fn read_span(number: u64) -> SpanId {
    SpanId(number.to_le_bytes())
}

pub(super) fn read_link(link: &wire::SpanLink) -> Result<SpanKey, RecordError> {
    Ok(SpanKey { trace: TraceId(read_id("link trace", &link.trace)?), span: read_span(link.span) })
}

fn read_task(field: &'static str, task: Option<wire::TaskReference>) -> Result<Option<TaskId>, RecordError> {
    use wire::task_reference::Task;
    let Some(reference) = task else { return Ok(None) };
    match reference.task.ok_or(RecordError::Missing { field })? {
        Task::Uuid(uuid) => Ok(Some(TaskId::from_uuid(read_id(field, &uuid)?))),
        Task::Text(text) => Ok(Some(TaskId::new(&text))),
    }
}

fn read_correlations(records: Vec<wire::CorrelationRecord>) -> Result<Vec<Correlation>, RecordError> {
    let read = |record: wire::CorrelationRecord| {
        Ok(Correlation { kind: read_code("correlation kind", record.kind)?, value: record.value.into() })
    };
    records.into_iter().map(read).collect()
}

fn read_verdict(state: i32, reason: i32) -> Result<Option<Verdict>, RecordError> {
    if state == wire::TaskState::None as i32 {
        return Ok(None);
    }
    let reason = match reason {
        0 => None,
        code => Some(read_code("reason", code)?),
    };
    Ok(Some(Verdict { state: read_code("state", state)?, reason }))
}

fn read_resend(count: u32) -> Result<u16, RecordError> {
    u16::try_from(count).map_err(|_| RecordError::Invalid {
        field: "resend",
        found: count.to_string(),
        expected: "a count up to 65535",
    })
}

fn read_decimal(text: &str) -> Result<Decimal, RecordError> {
    Decimal::from_str_exact(text).map_err(|error| RecordError::Invalid {
        field: "fact number",
        found: format!("`{text}` ({error})"),
        expected: "a decimal number",
    })
}
