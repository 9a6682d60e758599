//! `spantally explain`: what happened in one job, and why it costs what it does.

mod timeline;
mod words;

use std::fmt::Write as _;
use std::io::Write;

use anstyle::Style;
use spantally_stitch::{Confidence, JoinRule, Outcome as JobOutcome, Role, State};
use spantally_store::JobFilter;

use self::words::{basis_words, confidence_words, policy_words, rule_words};
use super::job_doc::{AttemptDoc, JobDoc};
use super::job_source::{ID_DIGITS, PAGE, ReadJob, Source, SourceArgs, seconds_between};
use super::{Exit, Failure, Format, Outcome, colors, stdout};
use crate::job_calls::JobCalls;
use crate::visible::{self, visible};

/// Fewest digits of a beginning of a job id.
const PREFIX_MIN: usize = 4;
/// Hexadecimal digits of a span id.
const SPAN_DIGITS: usize = 16;
/// Ids that are proposed when one is not found.
const PROPOSED: usize = 5;

/// Tell what happened in a job: its calls in order, how they were joined, what each attempt costs and why.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The job's id, or its first digits (at least 4); or a span of it, as `TRACE:SPAN`.
    #[arg(value_name = "JOB", value_parser = id)]
    job: String,
    #[command(flatten)]
    source: SourceArgs,
    /// How to write it; jsonl is as json, csv is not possible.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn id(text: &str) -> Result<String, String> {
    let id = text.to_ascii_lowercase();
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some((trace, span)) = id.split_once(':') {
        let is_span = trace.len() == ID_DIGITS && span.len() == SPAN_DIGITS && is_hex(trace) && is_hex(span);
        let wrong = "digits of its trace, `:`, and";
        return if is_span {
            Ok(id)
        } else {
            Err(format!("expected a span as {ID_DIGITS} {wrong} {SPAN_DIGITS} of its own"))
        };
    }
    let is_hex = is_hex(&id);
    if is_hex && (PREFIX_MIN..=ID_DIGITS).contains(&id.len()) {
        return Ok(id);
    }
    Err(format!("expected {PREFIX_MIN} to {ID_DIGITS} hexadecimal digits, as `spantally jobs` shows them"))
}

/// Finds the job and tells its story.
pub(super) fn run(args: &Args) -> Outcome {
    if args.format == Format::Csv {
        return Err(Failure::usage(miette::miette!(
            "--format csv: a story is no table; expected human or json (`spantally jobs` has csv)"
        )));
    }
    let source = args.source.open()?;
    let span = args.job.contains(':').then_some(&*args.job);
    let job = match span {
        Some(span) => find_span(&source, span)?,
        None => find(&source, &args.job)?,
    };
    let mut out = stdout();
    if args.format == Format::Human {
        let calls = source.calls(&job.doc.job_id);
        let color = colors(&std::io::stdout());
        out.write_all(story(&job.doc, span, calls.as_ref(), color).as_bytes())?;
    } else {
        writeln!(out, "{}", job.text)?;
    }
    out.flush()?;
    Ok(Exit::Success)
}

/// The job that a span is of.
fn find_span(source: &Source, span: &str) -> Result<ReadJob, Failure> {
    let mut found = None;
    source.visit(&JobFilter::default(), PAGE, |page| {
        found = page.into_iter().find(|job| job.doc.has_span(span));
        found.is_none()
    })?;
    found.ok_or_else(|| {
        let help = "a span that several jobs share is of none; a job that is still open may not be listed";
        Failure::failed(miette::miette!(help = help, "no job has the span {span}"))
    })
}

/// The one job whose id is, or begins with, `id`.
fn find(source: &Source, id: &str) -> Result<ReadJob, Failure> {
    if id.len() == ID_DIGITS
        && let Some(job) = source.get(id)?
    {
        return Ok(job);
    }
    let mut matches = Vec::new();
    let mut others = Vec::<String>::new();
    source.visit(&JobFilter::default(), PAGE, |page| {
        for job in page {
            if job.doc.job_id.starts_with(id) {
                matches.push(job);
            } else {
                others.push(job.doc.job_id);
            }
        }
        true
    })?;
    let mut matches = matches.into_iter();
    match (matches.next(), matches.len()) {
        (Some(job), 0) => Ok(job),
        (Some(job), more) => {
            let ids: Vec<_> = std::iter::once(job).chain(matches.take(PROPOSED)).collect();
            let ids = ids.iter().map(|job| job.doc.job_id.as_str()).collect::<Vec<_>>().join("\n");
            Err(Failure::failed(miette::miette!(
                help = format!("give more digits; among them are\n{ids}"),
                "{} jobs have ids that begin with {id}",
                more + 1
            )))
        }
        (None, _) => {
            // The nearest first; of equally near ones the newest, which is the order they came in.
            others.sort_by_key(|other| std::cmp::Reverse(common_digits(other, id)));
            others.truncate(PROPOSED);
            let help = if others.is_empty() {
                "there are no jobs at all".to_owned()
            } else {
                format!("the nearest are\n{}", others.join("\n"))
            };
            Err(Failure::failed(miette::miette!(help = help, "there is no job {id}")))
        }
    }
}

fn common_digits(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// The story of a job, and what a span of it is in it.
fn story(job: &JobDoc, span: Option<&str>, calls: Option<&JobCalls>, color: bool) -> String {
    let mut text = String::new();
    header(&mut text, job);
    if let Some(span) = span {
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{:<8} {}", "Span", place(job, span));
    }
    let mut section = |title: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        let style = if color { Style::new().bold() } else { Style::new() };
        // Writing to memory cannot fail.
        let _ = writeln!(text, "\n{style}{title}{style:#}");
        for line in lines {
            let _ = writeln!(text, "  {}", visible(line.trim_end()));
        }
    };
    match calls {
        Some(calls) => section("Calls", timeline::timed(job, calls)),
        None => section("Calls (their times are in the traces)", timeline::untimed(job)),
    }
    section("Attempts", attempts(job));
    section("How they were joined", joins(job));
    section("Charges", charges(job));
    section("Not certain", uncertain(job));
    text
}

fn header(text: &mut String, job: &JobDoc) {
    let model =
        if job.model.is_empty() { "(model not in the spans)".into() } else { visible::name(&job.model) };
    let service = visible::name(&job.service);
    let took = seconds_between(&job.started_at, &job.ended_at).unwrap_or_default();
    let tenant = if job.tenant.is_empty() {
        String::new()
    } else {
        format!(" of tenant {}", visible::name(&job.tenant))
    };
    let lines = [
        ("Job", format!("{}, {}, revision {}", job.job_id, job.state, job.revision)),
        ("Asked", format!("{service}{tenant}, {} {model} {}", job.provider, job.operation)),
        ("Outcome", job.outcome_text()),
        ("Time", format!("{}, {took:.2} s", job.started_at)),
        ("Cost", job.cost_text()),
    ];
    for (name, line) in lines {
        let _ = writeln!(text, "{name:<8} {}", visible(line.trim_end()));
    }
    if !job.labels.is_empty() {
        let _ = writeln!(text, "{:<8} {}", "Labels", visible(&job.labels.text()));
    }
    if let Some(parent) = &job.parent_task {
        let _ = writeln!(text, "{:<8} the job of task {}", "From", visible(parent));
    }
}

/// What a span is in a job, and by which rules.
fn place(job: &JobDoc, span: &str) -> String {
    let mut attempts = job.attempts.iter().enumerate();
    let own = attempts.find_map(|(index, attempt)| Some((index, attempt, attempt.spans.role(span)?)));
    let Some((index, attempt, role)) = own else {
        return "above calls of this job, and of no other".to_owned();
    };
    let by_itself = attempt.joins.iter().filter(|join| join.span.as_deref() == Some(span));
    let mut rules: Vec<&str> = by_itself.map(|join| &*join.rule).collect();
    if rules.is_empty() {
        // What names no call ties the task's calls to one another.
        rules = attempt.joins.iter().filter(|join| join.span.is_none()).map(|join| &*join.rule).collect();
    }
    let rules = if rules.is_empty() { String::new() } else { format!(", by {}", rules.join(" and ")) };
    format!("{} of attempt {}{rules}", role.as_str(), index + 1)
}

fn attempts(job: &JobDoc) -> Vec<String> {
    let line = |(index, attempt): (usize, &AttemptDoc)| {
        let accepted = match attempt.accepted.as_str() {
            "yes" => "accepted",
            "no" => "refused",
            _ => "accepted or not, nobody knows",
        };
        let reason = attempt.failure_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let task = attempt.task_id.as_ref().map_or("task not seen".to_owned(), |task| format!("task {task}"));
        let leg = attempt.leg.as_ref().map(|leg| format!("{leg} leg: ")).unwrap_or_default();
        format!(
            "{}: {leg}{accepted}, {}{reason}, its money is {}; {task}",
            index + 1,
            attempt.outcome,
            attempt.cause
        )
    };
    job.attempts.iter().enumerate().map(line).collect()
}

/// One line a join; equal ones of one attempt are folded.
fn joins(job: &JobDoc) -> Vec<String> {
    let mut lines = Vec::<(String, usize)>::new();
    for (index, attempt) in job.attempts.iter().enumerate() {
        for join in &attempt.joins {
            let role = join.span.as_deref().and_then(|span| attempt.spans.role(span)).map(Role::as_str);
            let what = role
                .map_or(format!("attempt {}", index + 1), |role| format!("{role} of attempt {}", index + 1));
            let margin = match (join.margin, &join.instead) {
                (Some(margin), Some(other)) => format!(" (margin {margin:.1}, nearest other {other})"),
                (Some(margin), None) => format!(" (margin {margin:.1})"),
                (None, _) => String::new(),
            };
            let line = format!(
                "{what} joined by {}, {}{margin}: {}, {}",
                join.rule,
                join.confidence,
                rule_words(&join.rule),
                confidence_words(&join.confidence)
            );
            match lines.iter_mut().find(|(known, _)| *known == line) {
                Some((_, times)) => *times += 1,
                None => lines.push((line, 1)),
            }
        }
    }
    let fold = |(line, times)| if times == 1 { line } else { format!("{line} [{times} times]") };
    lines.into_iter().map(fold).collect()
}

fn charges(job: &JobDoc) -> Vec<String> {
    let charges = job.charges.iter().map(|charge| {
        let money = match (charge.unit_price, charge.cost, &charge.currency) {
            (Some(price), Some(_), Some(currency)) => {
                format!(" x {price} = {currency} {}", charge.bound().unwrap_or_default().text())
            }
            _ if charge.quantity.is_zero() => ", which costs nothing".to_owned(),
            _ => ", no price".to_owned(),
        };
        let consumed = charge.consumed.as_ref();
        let consumed =
            consumed.map_or_else(String::new, |used| format!(" for {} {}", used.quantity, used.unit));
        format!(
            "attempt {}: {} {}{consumed}{money}, cause {}, {} ({}), by {}; {}",
            charge.attempt + 1,
            charge.quantity,
            charge.unit,
            charge.cause,
            charge.basis,
            basis_words(&charge.basis),
            charge.rule,
            policy_words(&charge.policy)
        )
    });
    charges.collect()
}

/// What a person should not rely on, and why.
fn uncertain(job: &JobDoc) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, attempt) in job.attempts.iter().enumerate() {
        let number = index + 1;
        if attempt.accepted == "ambiguous" {
            lines.push(format!(
                "attempt {number} got no clear answer: the provider may have run and billed it"
            ));
        }
        if job.state == State::Open.as_str() && attempt.outcome == JobOutcome::Unknown.as_str() {
            lines.push(format!("attempt {number}: the job is open, and nothing has told how it ends"));
        } else if attempt.cause == "unverified" {
            lines.push(format!(
                "attempt {number}: no span tells whether it succeeded; one with spantally.task.status would"
            ));
        }
        if attempt.joins.iter().any(|join| join.rule == JoinRule::GenaiSpan.as_str()) {
            lines.push(format!(
                "attempt {number}: no request was seen, so neither whether the provider got one nor how many"
            ));
        }
        let weak = [Confidence::Likely, Confidence::Guess].map(Confidence::as_str);
        for join in attempt.joins.iter().filter(|join| weak.contains(&join.confidence.as_str())) {
            lines.push(format!("attempt {number}: the join by {} is a {}", join.rule, match_word(join)));
        }
    }
    for charge in job.charges.iter().filter(|charge| charge.basis == "assumed") {
        let (number, rule) = (charge.attempt + 1, &charge.rule);
        lines.push(format!("attempt {number}: quantity, price or policy of {rule} is assumed, not seen"));
    }
    for (currency, cost) in job.cost.iter().filter(|(_, cost)| cost.min != cost.max) {
        let (min, max) = (cost.min, cost.max);
        lines.push(format!("the invoice may show anything from {min} to {max} {currency} for this job"));
    }
    for unpriced in &job.unpriced {
        let reason = words::unpriced_words(&unpriced.reason);
        lines.push(format!("attempt {} has no price: {reason}", unpriced.attempt + 1));
    }
    lines.dedup();
    lines
}

fn match_word(join: &super::job_doc::JoinDoc) -> &'static str {
    if join.confidence == Confidence::Guess.as_str() { "guess" } else { "likely match" }
}
