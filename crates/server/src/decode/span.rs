//! One `Span` message: its fields, its status, links and exception event, and whether it can be used at all.

use spantally_providers::{AttributeKeys, Attributes, SpanHead, SpanKind, SpanStatus, SpanView};
use spantally_stitch::{SpanId, SpanKey, TraceId, UnixNanos};

use super::attribute::{Texts, key_of, read_attribute, value_of};
use super::wire::{FIXED32, FIXED64, LEN, Result, Shape, VARINT, fields, key};
use crate::batch::RejectReason;

const SPAN: Shape = Shape {
    name: "Span",
    fields: &[
        ("trace_id", LEN),
        ("span_id", LEN),
        ("trace_state", LEN),
        ("parent_span_id", LEN),
        ("name", LEN),
        ("kind", VARINT),
        ("start_time_unix_nano", FIXED64),
        ("end_time_unix_nano", FIXED64),
        ("attributes", LEN),
        ("dropped_attributes_count", VARINT),
        ("events", LEN),
        ("dropped_events_count", VARINT),
        ("links", LEN),
        ("dropped_links_count", VARINT),
        ("status", LEN),
        ("flags", FIXED32),
    ],
};
const TRACE_ID: u32 = key(1, LEN);
const SPAN_ID: u32 = key(2, LEN);
const TRACE_STATE: u32 = key(3, LEN);
const PARENT_SPAN_ID: u32 = key(4, LEN);
const NAME: u32 = key(5, LEN);
const KIND: u32 = key(6, VARINT);
const START: u32 = key(7, FIXED64);
const END: u32 = key(8, FIXED64);
const ATTRIBUTES: u32 = key(9, LEN);
const EVENTS: u32 = key(11, LEN);
const LINKS: u32 = key(13, LEN);
const STATUS: u32 = key(15, LEN);

/// Field 1 was an earlier status code and is reserved.
const STATUS_SHAPE: Shape =
    Shape { name: "Status", fields: &[("", LEN), ("message", LEN), ("code", VARINT)] };
const STATUS_MESSAGE: u32 = key(2, LEN);
const STATUS_CODE: u32 = key(3, VARINT);

const LINK: Shape = Shape {
    name: "Span.Link",
    fields: &[
        ("trace_id", LEN),
        ("span_id", LEN),
        ("trace_state", LEN),
        ("attributes", LEN),
        ("dropped_attributes_count", VARINT),
        ("flags", FIXED32),
    ],
};

const EVENT: Shape = Shape {
    name: "Span.Event",
    fields: &[
        ("time_unix_nano", FIXED64),
        ("name", LEN),
        ("attributes", LEN),
        ("dropped_attributes_count", VARINT),
    ],
};
const EVENT_NAME: u32 = key(2, LEN);
const EVENT_ATTRIBUTES: u32 = key(3, LEN);

/// How far a span may end before it starts: a day covers every step of a host's clock that is not plain
/// nonsense. Such spans are kept, since their call was made all the same.
const CLOCK_STEP_MAX_NS: u64 = 24 * 3600 * 1_000_000_000;
/// The last moment that the ledger can write down, as a signed number of nanoseconds: in the year 2262.
const LATEST_NS: u64 = i64::MAX as u64;

/// Most links that are kept of a span: as many as OpenTelemetry's SDKs write unless told otherwise.
pub(crate) const LINKS_MAX: usize = 128;

/// Reads spans one after the other into the same [`SpanView`].
pub(super) struct SpanReader<'a> {
    view: SpanView<'a>,
    /// How many fields of the last span have a number below that of attributes: ids, name, kind and times.
    own_fields: u32,
    /// Links of the last span that were left out.
    links_over: u64,
}

/// What is checked only when the whole span has been read, since a later field may replace an earlier one.
#[derive(Default)]
struct Raw<'a> {
    ids: RawIds<'a>,
    start: u64,
    end: u64,
    name: &'a [u8],
    message: &'a [u8],
    texts: Texts,
}

/// Ids as they stand on the wire.
#[derive(Default)]
pub(super) struct RawIds<'a> {
    pub(super) trace: &'a [u8],
    pub(super) span: &'a [u8],
    pub(super) parent: &'a [u8],
}

impl<'a> SpanReader<'a> {
    pub(super) fn new(keys: &AttributeKeys) -> Self {
        let view = SpanView { attributes: Attributes::new(keys), ..SpanView::default() };
        Self { view, own_fields: 0, links_over: 0 }
    }

    /// How many fields of the last span have a number below that of attributes: ids, name, kind and times.
    #[inline]
    pub(super) fn own_fields(&self) -> u32 {
        self.own_fields
    }

    /// How many links of the last span are past [`LINKS_MAX`], and were left out.
    #[inline]
    pub(super) fn links_over(&self) -> u64 {
        self.links_over
    }

    /// Sets the scope of the spans that follow.
    pub(super) fn scope(&mut self, name: &'a str) {
        self.view.scope = name;
    }

    /// Reads an encoded span. The inner error refuses this span alone.
    pub(super) fn read(
        &mut self,
        encoded: &'a [u8],
        keys: &AttributeKeys,
    ) -> Result<std::result::Result<&SpanView<'a>, RejectReason>> {
        self.clear();
        let mut raw = Raw::default();
        let (view, mut own, mut links_over) = (&mut self.view, 0, 0);
        fields(encoded, &SPAN, |key, cursor| {
            own += u32::from(key < ATTRIBUTES);
            match key {
                ATTRIBUTES => {
                    read_attribute(cursor.bytes()?, keys, &mut view.attributes, &mut raw.texts)?;
                }
                TRACE_ID => raw.ids.trace = cursor.bytes()?,
                SPAN_ID => raw.ids.span = cursor.bytes()?,
                TRACE_STATE => view.trace_state = cursor.bytes()?,
                PARENT_SPAN_ID => raw.ids.parent = cursor.bytes()?,
                NAME => raw.name = cursor.bytes()?,
                KIND => view.kind = kind(cursor.varint()?),
                START => raw.start = cursor.fixed64()?,
                END => raw.end = cursor.fixed64()?,
                EVENTS => read_event(cursor.bytes()?, view, &mut raw.texts)?,
                LINKS => links_over += keep_link(read_link(cursor.bytes()?)?, &mut view.links),
                STATUS => read_status(cursor.bytes()?, view, &mut raw)?,
                other => cursor.skip(other, &SPAN)?,
            }
            Ok(())
        })?;
        (self.own_fields, self.links_over) = (own, links_over);
        Ok(self.finish(raw).map(|()| &self.view))
    }

    fn clear(&mut self) {
        let view = &mut self.view;
        view.attributes.clear();
        view.links.clear();
        (view.kind, view.status) = (SpanKind::Unspecified, SpanStatus::Unset);
        (view.exception, view.exception_message, view.trace_state) = ("", "", &[]);
    }

    fn finish(&mut self, mut raw: Raw<'a>) -> std::result::Result<(), RejectReason> {
        let view = &mut self.view;
        view.head = head(&raw.ids, raw.start, raw.end)?;
        view.name = raw.texts.check(raw.name);
        view.status_message = raw.texts.check(raw.message);
        if raw.texts.invalid {
            return Err(RejectReason::Encoding);
        }
        Ok(())
    }
}

/// What is a span's own, if it is good.
pub(super) fn head(ids: &RawIds<'_>, start: u64, end: u64) -> std::result::Result<SpanHead, RejectReason> {
    let trace = TraceId(id(ids.trace).ok_or(RejectReason::TraceId)?);
    let span = SpanId(id(ids.span).ok_or(RejectReason::SpanId)?);
    // All zero is how some writers say "no parent".
    let parent = match ids.parent {
        [] => SpanId::default(),
        parent => SpanId(parent.try_into().map_err(|_| RejectReason::ParentId)?),
    };
    let is_no_time = |at| at == 0 || at > LATEST_NS;
    if is_no_time(start) || is_no_time(end) || start.saturating_sub(end) > CLOCK_STEP_MAX_NS {
        return Err(RejectReason::Time);
    }
    Ok(SpanHead { key: SpanKey { trace, span }, parent, start: UnixNanos(start), end: UnixNanos(end) })
}

/// An id of the right length that is not all zero.
fn id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok().filter(|id| *id != [0; N])
}

/// Enums are open in proto3: a value of a later OTLP version reads as the default.
fn kind(code: u64) -> SpanKind {
    match code as u32 {
        1 => SpanKind::Internal,
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

fn read_status<'a>(encoded: &'a [u8], view: &mut SpanView<'a>, raw: &mut Raw<'a>) -> Result<()> {
    fields(encoded, &STATUS_SHAPE, |key, cursor| {
        match key {
            STATUS_MESSAGE => raw.message = cursor.bytes()?,
            STATUS_CODE => {
                view.status = match cursor.varint()? as u32 {
                    1 => SpanStatus::Ok,
                    2 => SpanStatus::Error,
                    _ => SpanStatus::Unset,
                }
            }
            other => cursor.skip(other, &STATUS_SHAPE)?,
        }
        Ok(())
    })
}

/// The span that a link points to; none when its ids are not good ones (the span itself is still of use).
fn read_link(encoded: &[u8]) -> Result<Option<SpanKey>> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    fields(encoded, &LINK, |key, cursor| {
        match key {
            TRACE_ID => trace_id = cursor.bytes()?,
            SPAN_ID => span_id = cursor.bytes()?,
            other => cursor.skip(other, &LINK)?,
        }
        Ok(())
    })?;
    let link = id(trace_id).zip(id(span_id));
    Ok(link.map(|(trace, span)| SpanKey { trace: TraceId(trace), span: SpanId(span) }))
}

/// Keeps a link that is a good one and is not there yet. How many were left out for lack of room: past the
/// bound an equal one is not looked for, since many would cost more than the span.
fn keep_link(link: Option<SpanKey>, links: &mut Vec<SpanKey>) -> u64 {
    let Some(link) = link else { return 0 };
    if links.len() >= LINKS_MAX {
        return 1;
    }
    if !links.contains(&link) {
        links.push(link);
    }
    0
}

/// Keeps type and message of an `exception` event; of several such events the last one counts.
fn read_event<'a>(encoded: &'a [u8], view: &mut SpanView<'a>, texts: &mut Texts) -> Result<()> {
    let mut name: &[u8] = &[];
    fields(encoded, &EVENT, |key, cursor| {
        if key == EVENT_NAME {
            name = cursor.bytes()?;
            return Ok(());
        }
        cursor.skip(key, &EVENT)
    })?;
    if name != b"exception" {
        return Ok(());
    }
    (view.exception, view.exception_message) = ("", "");
    fields(encoded, &EVENT, |key, cursor| {
        if key != EVENT_ATTRIBUTES {
            return cursor.skip(key, &EVENT);
        }
        let attribute = cursor.bytes()?;
        let kept = match key_of(attribute)? {
            b"exception.type" => &mut view.exception,
            b"exception.message" => &mut view.exception_message,
            _ => return Ok(()),
        };
        *kept = match value_of(attribute, texts)? {
            Some(spantally_providers::Value::Text(text)) => text,
            _ => "",
        };
        Ok(())
    })
}
