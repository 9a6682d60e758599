#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use spantally_providers::{Column, Export, ExportRow};

use super::*;
use crate::cli::reconcile::billed::Reading;
use crate::cli::reconcile::file::Rows;
use crate::cli::reconcile::fixture::job;

/// A row: task, day or time, model, and cost in dollars; empty where it does not tell.
fn row([task_id, time, model, cost]: [&str; 4]) -> ExportRow {
    let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ExportRow {
        task_id: told(task_id),
        time: told(time),
        model: told(model),
        cost: cost.parse().ok(),
        currency: Some("USD".to_owned()),
        ..ExportRow::default()
    }
}

/// Verdicts of jobs beside rows: each with its task or model, and what was billed.
fn verdicts(rows: &[[&str; 4]], jobs: &[JobDoc]) -> Vec<String> {
    let by_task = rows.iter().any(|[task, ..]| !task.is_empty());
    let column = if by_task { Column::TaskId } else { Column::Time };
    let export = Export { columns: [(column, "id".to_owned())].into(), ..Export::default() };
    let mut read = Rows::default();
    for (line, cells) in (1..).zip(rows) {
        read.take(Ok(row(*cells)), Place { file: "bill".to_owned(), line });
    }
    let zone = TimeZone::UTC;
    let theirs = Theirs::of(&export, &mut read, &Reading { card: None, zone: &zone, period: None });
    let mut comparison = Comparison::new("clips", theirs, zone, Decimal::new(1, 4), None);
    for job in jobs {
        comparison.add(job);
    }
    comparison.finish();
    let shown = |finding: &Finding| {
        let why = finding.why.map(|why| format!(" {}", why.as_str())).unwrap_or_default();
        let theirs = finding.theirs.map(|theirs| theirs.to_string()).unwrap_or_default();
        let name = if by_task { &finding.task_id } else { &finding.model };
        format!("{}{why} {name} {theirs}", finding.verdict.as_str())
    };
    let mut found: Vec<String> = comparison.findings.iter().map(shown).collect();
    let counted = |(verdict, tally): (&Verdict, &Tally)| format!("{} x{}", verdict.as_str(), tally.count);
    found.extend(comparison.tallies.iter().filter(|(verdict, _)| verdict.agrees()).map(counted));
    found
}

/// A job of one sure charge, at ten in the morning of the 20th.
fn sure(task: &str, cost: &str) -> JobDoc {
    job(&[(task, cost, "documented")], [cost, cost, cost])
}

const TEN: &str = "2026-11-20T10:00:00Z";
const ELEVEN: &str = "2026-11-20T11:00:00Z";

#[test]
fn rows_and_tasks_find_each_other() {
    let a = || sure("a", "0.25");
    for (rows, jobs, expected) in [
        (&[["a", TEN, "", "0.25"]][..], &[a()][..], &["matched x1"][..]),
        // Several rows of a task are added up, a refund too.
        (&[["a", TEN, "", "0.50"], ["a", ELEVEN, "", "-0.25"]], &[a()], &["matched x1"]),
        (&[["a", TEN, "", "0.50"], ["a", ELEVEN, "", "-0.50"]], &[a()], &["amount_differs unknown a 0.00"]),
        // One task of two jobs is billed once.
        (&[["a", TEN, "", "0.25"]], &[a(), a()], &["only_ours claimed_twice a 0", "matched x1"]),
        // Rows of no job: of a task, and of none.
        (
            &[["a", TEN, "", "0.25"], ["b", ELEVEN, "", "0.40"], ["", ELEVEN, "", "9"], ["c", TEN, "", "0"]],
            &[a()],
            &["only_theirs  9", "only_theirs b 0.40", "matched x1", "free x1"],
        ),
        // What the export covers is from its first row to its last.
        (&[["b", TEN, "", "0"], ["c", ELEVEN, "", "0"]], &[a()], &["only_ours a 0", "free x2"]),
        (&[["b", ELEVEN, "", "0"]], &[a()], &["free x1"]),
        (&[["b", "", "", "0"]], &[a()], &["free x1"]),
        // A row that tells no cost and no quantity.
        (&[["a", TEN, "", ""]], &[a()], &["not_comparable a "]),
    ] {
        assert_eq!(verdicts(rows, jobs), expected, "{rows:?}");
    }
}

#[test]
fn a_day_is_compared_by_model_where_both_sides_name_it() {
    let day = "2026-11-20";
    let a = || sure("a", "0.25");
    let unseen = || JobDoc { model: String::new(), ..a() };
    let other = || JobDoc { model: "n".to_owned(), ..a() };
    for (rows, jobs, expected) in [
        (&[["", day, "m", "0.50"]][..], &[a(), a()][..], &["matched x1"][..]),
        (&[["", day, "m", "0.25"], ["", day, "n", "0.25"]], &[a(), other()], &["matched x2"]),
        (
            &[["", day, "m", "0.40"], ["", day, "n", "0.10"]],
            &[a(), other()],
            &["amount_differs unknown m 0.40", "amount_differs unknown n 0.10"],
        ),
        // One job whose model no span names may be of any of them.
        (&[["", day, "m", "0.40"], ["", day, "n", "0.10"]], &[a(), unseen()], &["matched x1"]),
        (&[["", day, "", "0.50"]], &[a(), other()], &["matched x1"]),
        (&[["", day, "m", "0.25"], ["", day, "n", "2"]], &[a()], &["only_theirs n 2", "matched x1"]),
        (&[["", day, "n", "0"]], &[a()], &["only_ours m 0", "free x1"]),
        // A moment is of its day; other days are not covered.
        (&[["", "2026-11-20T23:59:59Z", "", "0.25"]], &[a()], &["matched x1"]),
        (&[["", "2026-11-21", "", "0"]], &[a()], &["free x1"]),
    ] {
        assert_eq!(verdicts(rows, jobs), expected, "{rows:?}");
    }
}
