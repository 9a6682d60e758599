//! What documents of jobs have in common, and what each has of its own.
//!
//! Of the 1.3 KB of a document, the ids of the job, its task and its spans, two times and a few margins
//! differ from job to job. The rest is the same for every job that was done alike: submitted, polled five
//! times, fetched, delivered, at the same price. So the ledger keeps the rest once, as a *form*, and of each
//! job a list of *parts*. A form is the document cut into pieces, with the number of a part between each two.
//!
//! - [`content`] is everything of a job that goes into its form, its counters and its charges, in bytes that
//!   are cheap to make: equal bytes, equal form.
//! - [`pieces`] makes the form, once: it writes the document with marks where the parts go.
//! - [`parts`] writes what fills it, and says how many there are: no form is filled with more or fewer than
//!   it has room for ([`own_parts`]).
//!
//! Parts 0, 1 and 2 are the job's id, start and end, which the ledger has in columns; the row's own begin
//! at 3. A trace that several spans of a job share is one part. Tests hold that a filled form is the
//! document, byte for byte.

use std::fmt::Write as _;

use hashbrown::HashMap;
use rust_decimal::Decimal;
use smallvec::SmallVec;
use spantally_price::{Bill, Bound};
use spantally_stitch::{Attempt, CallRef, Fact, FactValue, Job, Role, SpanKey, TaskId, TraceId, hex_digits};

use super::{JobDocument, JobFields, Show, other_day};

/// Stands for text. No other text of a document has this character in it; if one has, there is no form.
pub(super) const TEXT_MARK: &str = "\u{1}";
/// Stands for a span.
pub(super) const SPAN_MARK: &str = "\u{1}:\u{1}";
/// Stands, with its quotes, for a number.
pub(super) const NUMBER_MARK: &str = "\u{2}";

/// The marks as JSON writes them.
const TEXT_MARK_JSON: &str = "\\u0001";
const NUMBER_MARK_JSON: &str = "\"\\u0002\"";

/// Part 0 is the id, 1 the start, 2 the end.
const FIRST_OWN: usize = 3;

/// The shape of the document and of the content; forms of another one are not used. The number changes with
/// either, and a release may change what a document has in it.
pub(crate) const SHAPE: &str = concat!(env!("CARGO_PKG_VERSION"), " 4");

/// What a job has of its own, in the order of the document.
enum Own<'a> {
    Id,
    Start,
    End,
    Task(&'a TaskId),
    Span(SpanKey),
    Margin(f64),
}

/// Goes through what a job has of its own, in the order of the document.
fn walk<'a>(job: &'a Job, visit: &mut impl FnMut(Own<'a>)) {
    visit(Own::Id);
    job.spans.iter().for_each(|&span| visit(Own::Span(span)));
    visit(Own::Start);
    visit(Own::End);
    for attempt in &job.attempts {
        attempt.task_id.iter().for_each(|task| visit(Own::Task(task)));
        spans_by_role(attempt).for_each(|span| visit(Own::Span(span)));
        for join in &attempt.joins {
            join.margin.into_iter().for_each(|margin| visit(Own::Margin(margin)));
            join.span.into_iter().chain(join.instead).for_each(|span| visit(Own::Span(span)));
        }
    }
    job.parent_task.iter().for_each(|task| visit(Own::Task(task)));
}

fn spans_by_role(attempt: &Attempt) -> impl Iterator<Item = SpanKey> {
    let seen = attempt.calls.iter().fold(0, |seen, call| seen | 1_u32 << call.role as u8);
    let roles = Role::ALL.into_iter().filter(move |&role| seen >> role as u8 & 1 == 1);
    let of = |role| attempt.calls.iter().filter(move |call: &&CallRef| call.role == role);
    roles.flat_map(of).map(|call| call.span)
}

/// Traces of a job, in the order in which its document shows them.
#[derive(Default)]
struct Traces {
    few: SmallVec<[TraceId; 4]>,
    /// Where each stands, once there are many: a client whose polls are traces of their own has hundreds.
    many: HashMap<TraceId, usize, foldhash::fast::RandomState>,
}

/// So many traces are looked through faster than a table is asked.
const FEW_TRACES: usize = 16;

impl Traces {
    /// The place of a trace, and whether it is new.
    fn place(&mut self, trace: TraceId) -> (usize, bool) {
        if self.many.is_empty() {
            if let Some(place) = self.few.iter().position(|&known| known == trace) {
                return (place, false);
            }
            self.few.push(trace);
            if self.few.len() == FEW_TRACES {
                self.many = self.few.iter().copied().zip(0..).collect();
            }
            return (self.few.len() - 1, true);
        }
        let next = self.many.len();
        let place = *self.many.entry(trace).or_insert(next);
        (place, place == next)
    }
}

/// The form of a document: a JSON array of texts and of numbers of parts. None when marks cannot be told from
/// the document's own text.
pub(crate) fn pieces(document: JobDocument<'_>) -> Option<String> {
    let text = serde_json::to_string(&JobFields::new(document, Show::Marks)).ok()?;
    let mut numbers = numbers(document.job).into_iter();
    let mut pieces = String::with_capacity(text.len() + 64);
    let mut left = &*text;
    pieces.push('[');
    while let Some((at, mark)) = next_mark(left) {
        push_json_text(&mut pieces, &left[..at]);
        // Writing to a string cannot fail.
        let _ = write!(pieces, ",{},", numbers.next()?);
        left = &left[at + mark.len()..];
    }
    push_json_text(&mut pieces, left);
    pieces.push(']');
    numbers.next().is_none().then_some(pieces)
}

fn next_mark(text: &str) -> Option<(usize, &'static str)> {
    let found = |mark: &'static str| text.find(mark).map(|at| (at, mark));
    [found(TEXT_MARK_JSON), found(NUMBER_MARK_JSON)].into_iter().flatten().min_by_key(|&(at, _)| at)
}

fn push_json_text(out: &mut String, text: &str) {
    // A text is always JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// How many parts of its own a job has, as its form needs them.
pub(crate) fn own_parts(job: &Job) -> usize {
    let next = numbers(job).into_iter().max().map_or(0, |last| last + 1);
    next.saturating_sub(FIRST_OWN)
}

/// The number of the part behind each mark.
fn numbers(job: &Job) -> Vec<usize> {
    let (mut numbers, mut next) = (Vec::new(), FIRST_OWN);
    let mut traces = Traces::default();
    let mut of_trace = SmallVec::<[usize; 4]>::new();
    let mut take = || {
        next += 1;
        next - 1
    };
    walk(job, &mut |own| match own {
        Own::Id => numbers.push(0),
        Own::Start => numbers.push(1),
        Own::End => numbers.push(2),
        Own::Task(_) | Own::Margin(_) => numbers.push(take()),
        Own::Span(span) => {
            let (place, is_new) = traces.place(span.trace);
            if is_new {
                of_trace.push(take());
            }
            numbers.push(of_trace[place]);
            numbers.push(take());
        }
    });
    numbers
}

/// Writes the parts of a job from 3 on, as a JSON array of texts, and says how many; none when one of them is
/// not plain text, which JSON would have to escape.
pub(crate) fn parts(job: &Job, out: &mut Vec<u8>) -> Option<usize> {
    let mut traces = Traces::default();
    let (mut plain, mut count) = (true, 0);
    out.push(b'[');
    walk(job, &mut |own| match own {
        Own::Id | Own::Start | Own::End => {}
        Own::Task(task) => {
            count += 1;
            let from = out.len() + 1;
            push_part(out, format_args!("{task}"));
            let text = &out[from..out.len() - 2];
            plain &= text.iter().all(|&byte| byte >= b' ' && byte != b'"' && byte != b'\\');
        }
        // The shortest text that reads back as the same number, as in the document.
        Own::Margin(margin) => match serde_json::to_string(&margin) {
            Ok(text) => {
                count += 1;
                push_part(out, format_args!("{text}"));
            }
            Err(_) => plain = false,
        },
        Own::Span(span) => {
            if traces.place(span.trace).1 {
                count += 1;
                push_hex(out, span.trace.0);
            }
            count += 1;
            push_hex(out, span.span.0);
        }
    });
    match out.last_mut() {
        Some(last) if *last == b',' => *last = b']',
        _ => out.push(b']'),
    }
    plain.then_some(count)
}

fn push_part(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    out.push(b'"');
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
    out.extend_from_slice(b"\",");
}

/// An id as a part.
fn push_hex<const BYTES: usize>(out: &mut Vec<u8>, id: [u8; BYTES]) {
    out.push(b'"');
    out.extend_from_slice(id.map(hex_digits).as_flattened());
    out.extend_from_slice(b"\",");
}

/// Writes everything of a first revision but its parts. Texts are preceded by their length, lists by their
/// number, so that no two contents run together.
pub(crate) fn content(job: &Job, bill: &Bill, out: &mut Vec<u8>) {
    let mut content = Content(out);
    for text in [&job.tenant, &job.service, &job.provider, &job.model, &job.operation] {
        content.text(text);
    }
    content.byte(job.outcome as u8);
    content.option(job.failure_reason, |content, reason| content.byte(reason as u8));
    content.list(&job.labels, |content, label| content.text(label));
    content.traces(job);
    content.list(&job.attempts, Content::attempt);
    content.list(&job.attempts, |content, attempt| {
        content.number(other_day(job, attempt).map_or(0, |day| day.0 as usize));
    });
    content.byte(u8::from(job.parent_task.is_some()));
    content.bill(bill);
}

struct Content<'o>(&'o mut Vec<u8>);

impl Content<'_> {
    fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    fn number(&mut self, value: usize) {
        self.0.extend_from_slice(&(value as u32).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn list<T>(&mut self, values: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.number(values.len());
        for value in values {
            write(self, value);
        }
    }

    /// Which spans share a trace.
    fn traces(&mut self, job: &Job) {
        self.number(job.spans.len());
        let mut traces = Traces::default();
        walk(job, &mut |own| {
            if let Own::Span(span) = own {
                self.number(traces.place(span.trace).0);
            }
        });
    }

    fn attempt(&mut self, attempt: &Attempt) {
        self.byte(u8::from(attempt.task_id.is_some()));
        for text in [&attempt.provider, &attempt.model, &attempt.operation] {
            self.text(text);
        }
        self.option(attempt.leg.as_deref(), Self::text);
        for code in [attempt.accepted as u8, attempt.outcome as u8, attempt.cause as u8] {
            self.byte(code);
        }
        self.option(attempt.failure_reason, |content, reason| content.byte(reason as u8));
        let own = |call: &CallRef| (call.role, call.status.map(|status| status / 100), call.failure);
        for run in attempt.calls.chunk_by(|one, next| own(one) == own(next)) {
            let (role, class, failure) = own(&run[0]);
            self.byte(1 + role as u8);
            self.byte(class.map_or(0, |class| 1 + class.min(254) as u8));
            self.byte(failure.map_or(0, |failure| 1 + failure as u8));
            self.number(run.len());
        }
        self.byte(0);
        self.number(attempt.status().map_or(0, usize::from));
        self.byte(u8::from(attempt.canceled_before_start));
        self.option(attempt.seconds(Role::Session), Self::decimal);
        self.list(&attempt.facts, Self::fact);
        self.list(&attempt.joins, |content, join| {
            content.byte(join.rule as u8);
            content.byte(join.confidence as u8);
            let own = [join.margin.is_some(), join.span.is_some(), join.instead.is_some()];
            content.byte(own.into_iter().fold(0, |bits, is| bits << 1 | u8::from(is)));
        });
    }

    fn fact(&mut self, fact: &Fact) {
        self.text(&fact.name);
        self.byte(fact.source as u8);
        match &fact.value {
            FactValue::Number(number) => self.decimal(*number),
            FactValue::Text(text) => self.text(text),
        }
    }

    fn bill(&mut self, bill: &Bill) {
        self.list(&bill.charges, |content, charge| {
            content.number(charge.attempt);
            for text in [&charge.unit, &charge.currency, &charge.rule, &charge.policy] {
                content.text(text);
            }
            content.byte(charge.cause as u8);
            content.byte(charge.basis as u8);
            content.bound(charge.quantity);
            content.bound(charge.cost);
            content.option(charge.unit_price, Self::decimal);
            content.option(charge.consumed.as_ref(), |content, consumed| {
                content.text(&consumed.unit);
                content.bound(consumed.quantity);
            });
        });
        self.list(&bill.unpriced, |content, unpriced| {
            content.number(unpriced.attempt);
            content.text(unpriced.reason.as_str());
        });
    }

    fn bound(&mut self, bound: Bound) {
        for value in [bound.min, bound.expected, bound.max] {
            self.decimal(value);
        }
    }

    fn decimal(&mut self, value: Decimal) {
        self.0.extend_from_slice(&value.serialize());
    }
}

#[cfg(test)]
mod tests;
