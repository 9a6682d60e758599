//! Writing: by hand, from borrowed values, in the order of the field numbers.
//!
//! The tests hold it to the schema: what it writes is, byte for byte, what the generated messages write.

use std::io::Write as _;
use std::sync::Arc;

use prost::encoding::{WireType, encode_key, encode_varint};
use rust_decimal::Decimal;
use spantally_stitch::{
    Call, Came, Client, Correlation, Endpoint, Evidence, Fact, FactValue, Frame, SpanId, SpanKey, TaskId,
    TaskIdForm, TraceId, Verdict, What,
};

use super::codes::{Code, answer};
use super::table::{Shared, Table};
use crate::batch::Batch;

/// Writes batches without extra labels as one journal row. What `out` held is replaced; its room is used
/// again.
pub fn encode(batches: &[Batch], out: &mut Vec<u8>) {
    encode_labelled(batches, &[], out);
}

/// Writes batches as one journal row; `labels` are the names of the extra labels, in the order of the
/// clients' values. What `out` held is replaced; its room is used again.
pub(crate) fn encode_labelled(batches: &[Batch], labels: &[Arc<str>], out: &mut Vec<u8>) {
    let mut encoder = Encoder::new(labels, out);
    for batch in batches {
        encoder.message(1, |encoder| encoder.batch(batch));
    }
    encoder.tables();
}

/// Writes spans of an open job, and when they came, for a checkpoint; `labels` as in [`encode_labelled`].
/// What `out` held is replaced.
pub(crate) fn encode_carried(came: Came, evidence: &[&Evidence], labels: &[Arc<str>], out: &mut Vec<u8>) {
    let mut encoder = Encoder::new(labels, out);
    encoder.message(1, |encoder| {
        for one in evidence {
            encoder.message(1, |encoder| encoder.evidence(one));
        }
        encoder.fixed(6, came.first.0);
        encoder.fixed(7, came.last.0);
    });
    encoder.tables();
}

struct Encoder<'o, 'a> {
    out: &'o mut Vec<u8>,
    clients: Shared<'a, Client>,
    endpoints: Shared<'a, Endpoint>,
    agents: Table<u64>,
    texts: Table<&'a str>,
    /// Names of the extra labels.
    labels: &'a [Arc<str>],
    /// Trace and start of the span before.
    trace: Option<TraceId>,
    start: u64,
}

impl<'o, 'a> Encoder<'o, 'a> {
    fn new(labels: &'a [Arc<str>], out: &'o mut Vec<u8>) -> Self {
        out.clear();
        Self {
            out,
            clients: Shared::new(),
            endpoints: Shared::new(),
            agents: Table::new(),
            texts: Table::new(),
            labels,
            trace: None,
            start: 0,
        }
    }

    // What a field is made of. A zero or an empty text takes no room, as proto3 has it.

    /// All but two field numbers are below 16, where a key is one byte.
    #[inline]
    fn key(&mut self, tag: u32, wire_type: WireType) {
        if tag < 16 {
            self.out.push((tag << 3) as u8 | wire_type as u8);
        } else {
            encode_key(tag, wire_type, self.out);
        }
    }

    /// Written aside first: the buffer is asked for room once, not for each byte.
    #[inline]
    fn varint(&mut self, mut value: u64) {
        let (mut bytes, mut len) = ([0_u8; 10], 0);
        while value >= 0x80 {
            bytes[len] = value as u8 | 0x80;
            value >>= 7;
            len += 1;
        }
        bytes[len] = value as u8;
        self.out.extend_from_slice(&bytes[..=len]);
    }

    #[inline]
    fn number(&mut self, tag: u32, value: u64) {
        if value != 0 {
            self.some_number(tag, value);
        }
    }

    #[inline]
    fn some_number(&mut self, tag: u32, value: u64) {
        self.key(tag, WireType::Varint);
        if value < 0x80 {
            self.out.push(value as u8);
        } else {
            self.varint(value);
        }
    }

    /// A distance, in zigzag form: small in either direction is small on disk.
    #[inline]
    fn signed(&mut self, tag: u32, value: i64) {
        self.number(tag, ((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    #[inline]
    fn fixed(&mut self, tag: u32, value: u64) {
        if value != 0 {
            self.key(tag, WireType::SixtyFourBit);
            self.out.extend_from_slice(&value.to_le_bytes());
        }
    }

    #[inline]
    fn bytes(&mut self, tag: u32, value: &[u8]) {
        self.key(tag, WireType::LengthDelimited);
        if value.len() < 0x80 {
            self.out.push(value.len() as u8);
        } else {
            self.varint(value.len() as u64);
        }
        self.out.extend_from_slice(value);
    }

    #[inline]
    fn text(&mut self, tag: u32, value: &str) {
        if !value.is_empty() {
            self.bytes(tag, value.as_bytes());
        }
    }

    fn code(&mut self, tag: u32, value: impl Code) {
        self.number(tag, u64::from(value.code().cast_unsigned()));
    }

    /// A message inside: its length is known only after it. Room for a short one is left; for a long one
    /// the rest moves up.
    #[inline]
    fn message(&mut self, tag: u32, body: impl FnOnce(&mut Self)) {
        self.key(tag, WireType::LengthDelimited);
        let at = self.out.len();
        self.out.push(0);
        body(self);
        let len = self.out.len() - at - 1;
        if len < 0x80 {
            self.out[at] = len as u8;
        } else {
            self.long_length(at, len);
        }
    }

    #[cold]
    fn long_length(&mut self, at: usize, len: usize) {
        let more = prost::encoding::encoded_len_varint(len as u64) - 1;
        let end = self.out.len();
        self.out.resize(end + more, 0);
        self.out.copy_within(at + 1..end, at + 1 + more);
        encode_varint(len as u64, &mut &mut self.out[at..=at + more]);
    }

    // The messages.

    fn batch(&mut self, batch: &'a Batch) {
        for evidence in &batch.evidence {
            self.message(1, |encoder| encoder.evidence(evidence));
        }
        let tally = &batch.tally;
        self.number(2, tally.received);
        self.number(3, tally.ignored);
        let told = tally.rejected.iter().rposition(|&count| count != 0).map_or(0, |last| last + 1);
        if told > 0 {
            self.message(4, |encoder| {
                for &count in &tally.rejected[..told] {
                    encode_varint(count, encoder.out);
                }
            });
        }
        self.code(5, batch.transport);
    }

    fn evidence(&mut self, evidence: &'a Evidence) {
        if self.trace != Some(evidence.span.trace) {
            self.trace = Some(evidence.span.trace);
            self.bytes(1, &evidence.span.trace.0);
        }
        self.fixed(2, span_number(evidence.span.span));
        self.fixed(3, span_number(evidence.parent));
        let start = evidence.start.0;
        self.signed(4, start.wrapping_sub(self.start).cast_signed());
        self.start = start;
        self.signed(5, evidence.end.0.wrapping_sub(start).cast_signed());
        let client = self.clients.index_of(&evidence.client);
        self.number(6, client.into());
        for link in evidence.links() {
            self.message(7, |encoder| encoder.link(*link));
        }
        match &evidence.what {
            What::Call(call) => self.message(8, |encoder| encoder.call(call)),
            What::Frame(frame) => self.message(9, |encoder| encoder.frame(frame)),
        }
    }

    fn link(&mut self, link: SpanKey) {
        self.bytes(1, &link.trace.0);
        self.fixed(2, span_number(link.span));
    }

    fn call(&mut self, call: &'a Call) {
        self.code(1, call.role);
        let endpoint = self.endpoints.index_of(&call.endpoint);
        self.number(2, endpoint.into());
        if let Some(task) = &call.task {
            self.task(3, 4, task);
        }
        self.task_reference(5, call.rare.alias.as_ref());
        self.task_reference(6, call.rare.parent_task.as_ref());
        self.correlations(7, &call.rare.correlations);
        self.number(8, answer::code(call.answer).into());
        self.code(9, call.accepted);
        self.verdict(10, 11, call.verdict);
        if let Some(resend) = call.rare.resend {
            self.some_number(12, resend.into());
        }
        self.fixed(13, call.request);
        let agent = self.agents.index_of(call.agent);
        self.number(14, agent.into());
        if let Some(callback) = &call.rare.callback {
            self.bytes(15, callback.as_bytes());
        }
        self.facts(16, &call.rare.facts);
        self.number(17, call.rare.stands_in.into());
    }

    fn frame(&mut self, frame: &'a Frame) {
        self.code(1, frame.kind);
        self.word(2, &frame.rare.name);
        self.word(3, &frame.rare.provider);
        self.word(4, &frame.rare.model);
        self.word(5, &frame.rare.operation);
        self.task_reference(6, frame.rare.task.as_ref());
        self.correlations(7, &frame.rare.correlations);
        self.verdict(8, 9, frame.verdict);
        self.facts(10, &frame.rare.facts);
        if let Some(call) = &frame.rare.call {
            self.message(11, |encoder| encoder.call(call));
        }
    }

    /// The index of a word plus one; none for the empty one.
    fn word(&mut self, tag: u32, word: &'a str) {
        if !word.is_empty() {
            let at = self.texts.index_of(word);
            self.some_number(tag, u64::from(at) + 1);
        }
    }

    fn task(&mut self, uuid: u32, text: u32, task: &TaskId) {
        match task.form() {
            TaskIdForm::Uuid(bytes) => self.bytes(uuid, &bytes),
            TaskIdForm::Text(as_written) => self.bytes(text, as_written.as_bytes()),
        }
    }

    fn task_reference(&mut self, tag: u32, task: Option<&TaskId>) {
        if let Some(task) = task {
            self.message(tag, |encoder| encoder.task(1, 2, task));
        }
    }

    fn correlations(&mut self, tag: u32, correlations: &'a [Correlation]) {
        for correlation in correlations {
            self.message(tag, |encoder| {
                encoder.code(1, correlation.kind);
                encoder.text(2, &correlation.value);
            });
        }
    }

    fn verdict(&mut self, state: u32, reason: u32, verdict: Option<Verdict>) {
        if let Some(verdict) = verdict {
            self.code(state, verdict.state);
            if let Some(why) = verdict.reason {
                self.code(reason, why);
            }
        }
    }

    fn facts(&mut self, tag: u32, facts: &'a [Fact]) {
        for fact in facts {
            self.message(tag, |encoder| {
                let name = encoder.texts.index_of(&fact.name);
                encoder.number(1, name.into());
                match &fact.value {
                    FactValue::Number(number) => encoder.decimal(2, *number),
                    FactValue::Text(text) => {
                        let text = encoder.texts.index_of(text);
                        encoder.some_number(3, text.into());
                    }
                }
                encoder.code(4, fact.source);
            });
        }
    }

    fn decimal(&mut self, tag: u32, value: Decimal) {
        self.message(tag, |encoder| {
            let written = write!(encoder.out, "{value}");
            debug_assert!(written.is_ok(), "a buffer in memory takes everything");
        });
    }

    fn tables(&mut self) {
        for client in std::mem::take(&mut self.clients.values) {
            self.message(2, |encoder| encoder.client(client));
        }
        for endpoint in std::mem::take(&mut self.endpoints.values) {
            self.message(3, |encoder| encoder.endpoint(endpoint));
        }
        let agents = std::mem::take(&mut self.agents.rows);
        if !agents.is_empty() {
            self.message(4, |encoder| {
                for agent in agents {
                    encoder.out.extend_from_slice(&agent.to_le_bytes());
                }
            });
        }
        for text in std::mem::take(&mut self.texts.rows) {
            self.bytes(5, text.as_bytes());
        }
        for name in self.labels {
            self.bytes(6, name.as_bytes());
        }
    }

    fn client(&mut self, client: &Client) {
        self.text(1, &client.tenant);
        self.text(2, &client.service);
        self.text(3, &client.instance);
        for label in &client.labels {
            self.bytes(4, label.as_bytes());
        }
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        self.text(1, &endpoint.provider);
        self.text(2, &endpoint.rule);
        self.text(3, &endpoint.family);
        self.text(4, &endpoint.model);
        self.text(5, &endpoint.operation);
        self.number(6, endpoint.needs_result.into());
        if let Some(leg) = &endpoint.leg {
            self.bytes(7, leg.as_bytes());
        }
    }
}

/// A span id as a number whose bytes in memory are those of the id.
pub(super) fn span_number(id: SpanId) -> u64 {
    u64::from_le_bytes(id.0)
}
