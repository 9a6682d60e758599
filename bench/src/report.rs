//! What the runs say: medians, and medians of the ratios of neighbouring runs.
//!
//! A machine has bad spells of tens of seconds. So each repeat runs every server once, a ratio is taken
//! within the repeat, and the median of the ratios is the figure; absolute figures are for orientation only.

use std::fmt::Write as _;

use serde::Serialize;

use crate::load::Mix;
use crate::process::Subject;

/// One run of one server.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The load.
    pub mix: Mix,
    /// Which repeat.
    pub repeat: usize,
    /// The server.
    pub subject: Subject,
    /// Spans acknowledged.
    pub spans: u64,
    /// Requests acknowledged.
    pub requests: u64,
    /// Refusals that were sent again.
    pub refusals: u64,
    /// Spans a second, from the first request to the last answer.
    pub spans_per_second: f64,
    /// CPU seconds for a million spans until the last answer.
    pub loaded_cpu_seconds_per_million: f64,
    /// CPU seconds for a million spans until the server was quiet: with all that it had put off.
    pub cpu_seconds_per_million: f64,
    /// Whether it became quiet within the limit.
    pub quiet: bool,
    /// Largest resident set.
    pub peak_rss_bytes: u64,
    /// What the product counted, by its own metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
}

/// What became of the spans, by the product's `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Received.
    pub received: u64,
    /// Kept.
    pub accepted: u64,
    /// Dropped as already known.
    pub duplicate: u64,
    /// Of a job that was forgotten.
    pub late: u64,
    /// Not a generation call.
    pub ignored: u64,
    /// Refused.
    pub rejected: u64,
}

/// One figure with its aim.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    /// The load.
    pub mix: Mix,
    /// The product's CPU divided by this server's.
    pub to: Subject,
    /// Median over the repeats.
    pub median: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Must not be above this.
    pub must: f64,
    /// Should not be above this.
    pub aim: f64,
}

/// Bounds of the product's CPU per span, relative to each reference server: (must, aim).
const BOUNDS: [(Subject, f64, f64); 2] = [(Subject::Discard, 8.0, 5.0), (Subject::Prost, 0.40, 0.25)];

/// Median, least and most.
pub fn spread(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    let (first, last) = (*values.first()?, *values.last()?);
    let half = values.len() / 2;
    let median =
        if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) };
    Some((median, first, last))
}

/// The product's ratios to the reference servers, load by load.
pub fn ratios(runs: &[Run]) -> Vec<Ratio> {
    let mut out = Vec::new();
    for mix in mixes(runs) {
        for (to, must, aim) in BOUNDS {
            let products = runs.iter().filter(|run| run.mix == mix && run.subject == Subject::Spantally);
            let values = products.filter_map(|product| {
                let same = |run: &&Run| run.mix == mix && run.repeat == product.repeat && run.subject == to;
                let reference = runs.iter().find(same)?.cpu_seconds_per_million;
                (reference > 0.0).then(|| product.cpu_seconds_per_million / reference)
            });
            if let Some((median, min, max)) = spread(values.collect()) {
                out.push(Ratio { mix, to, median, min, max, must, aim });
            }
        }
    }
    out
}

fn mixes(runs: &[Run]) -> Vec<Mix> {
    let mut mixes: Vec<Mix> = runs.iter().map(|run| run.mix).collect();
    mixes.dedup();
    mixes
}

/// The report for people.
pub fn text(runs: &[Run]) -> String {
    let mut out = String::new();
    for mix in mixes(runs) {
        let _ = writeln!(out, "\n{} load", mix.as_str());
        let _ = writeln!(
            out,
            "  {:<16} {:>28} {:>14} {:>12} {:>9}",
            "server", "CPU-s per million spans", "under load", "spans/s", "RSS MiB"
        );
        for subject in [Subject::Discard, Subject::Prost, Subject::Spantally] {
            let of: Vec<&Run> = runs.iter().filter(|run| run.mix == mix && run.subject == subject).collect();
            let pick = |value: fn(&Run) -> f64| spread(of.iter().map(|run| value(run)).collect());
            let Some((cpu, min, max)) = pick(|run| run.cpu_seconds_per_million) else { continue };
            let middle = |value| pick(value).map_or(0.0, |(median, _, _)| median);
            let _ = writeln!(
                out,
                "  {:<16} {:>28} {:>14.3} {:>12.0} {:>9.0}",
                subject.as_str(),
                format!("{cpu:.3} [{min:.3}-{max:.3}]"),
                middle(|run| run.loaded_cpu_seconds_per_million),
                middle(|run| run.spans_per_second),
                middle(|run| run.peak_rss_bytes as f64 / f64::from(1 << 20)),
            );
        }
    }
    let ratios = ratios(runs);
    if !ratios.is_empty() {
        let _ = writeln!(out, "\nCPU of spantally serve, with all that it puts off, as a multiple of");
    }
    for ratio in ratios {
        let verdict = match ratio.median {
            median if median <= ratio.aim => "within the aim",
            median if median <= ratio.must => "within the bound",
            _ => "ABOVE the bound",
        };
        let Ratio { mix, to, median, min, max, must, aim } = ratio;
        let _ = writeln!(
            out,
            "  {:<16} {:<6} {median:>8.2}  [{min:.2}-{max:.2}]  must <= {must}, aim <= {aim}: {verdict}",
            to.as_str(),
            mix.as_str(),
        );
    }
    let _ = write!(out, "{}", notes(runs));
    out
}

fn notes(runs: &[Run]) -> String {
    let mut out = String::new();
    for run in runs {
        if run.refusals > 0 {
            let _ = writeln!(out, "note: {}: {} refusals, sent again", name(run), run.refusals);
        }
        for fault in faults(run) {
            let _ = writeln!(out, "note: {fault}");
        }
    }
    out
}

fn name(run: &Run) -> String {
    format!("{} run {} of {}", run.mix.as_str(), run.repeat + 1, run.subject.as_str())
}

/// Why the figures of a run say less than they seem to.
fn faults(run: &Run) -> Vec<String> {
    let (name, mut faults) = (name(run), Vec::new());
    if !run.quiet {
        faults.push(format!("{name}: still busy at the end; its CPU is a lower bound"));
    }
    if run.subject == Subject::Spantally && run.counted.is_none() {
        faults.push(format!("{name}: /metrics did not answer within 30 s"));
    }
    if let Some(Counted { received, duplicate, rejected, .. }) = run.counted
        && (received != run.spans || duplicate + rejected > 0)
    {
        faults.push(format!(
            "{name}: {} spans acknowledged, {received} counted, {duplicate} as duplicates, \
             {rejected} rejected",
            run.spans
        ));
    }
    faults
}

/// Why runs with these loads do not show that the bounds are held: a ratio that is above its bound or was not
/// measured, and runs whose figures cannot be trusted. None if they are held.
pub fn problems(runs: &[Run], loads: &[Mix]) -> Vec<String> {
    let ratios = ratios(runs);
    let mut problems: Vec<String> = runs.iter().flat_map(faults).collect();
    for &mix in loads {
        for (to, must, _) in BOUNDS {
            let what = format!("{} load, CPU relative to {}", mix.as_str(), to.as_str());
            match ratios.iter().find(|ratio| ratio.mix == mix && ratio.to == to) {
                Some(ratio) if ratio.median <= must => {}
                Some(ratio) => problems.push(format!("{what}: {:.2}, at most {must}", ratio.median)),
                None => problems.push(format!("{what}: not measured")),
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(repeat: usize, subject: Subject, cpu: f64) -> Run {
        Run {
            mix: Mix::Media,
            repeat,
            subject,
            spans: 1_000_000,
            requests: 2_000,
            refusals: 0,
            spans_per_second: 1e6,
            loaded_cpu_seconds_per_million: cpu,
            cpu_seconds_per_million: cpu,
            quiet: true,
            peak_rss_bytes: 64 << 20,
            counted: None,
        }
    }

    #[test]
    fn ratios_are_taken_within_a_repeat() {
        // The machine is twice as slow in the second repeat, for both: the ratio does not move.
        let runs = [
            run(0, Subject::Discard, 0.1),
            run(0, Subject::Spantally, 0.5),
            run(1, Subject::Discard, 0.2),
            run(1, Subject::Spantally, 1.0),
            run(2, Subject::Discard, 0.1),
            run(2, Subject::Spantally, 0.9),
        ];
        let ratios = ratios(&runs);
        assert_eq!(ratios.len(), 1, "prost did not run");
        assert!((ratios[0].median - 5.0).abs() < 1e-9, "{ratios:?}");
        assert!((ratios[0].max - 9.0).abs() < 1e-9, "{ratios:?}");
        let text = text(&runs);
        assert!(text.contains("within the aim"), "{text}");
    }

    #[test]
    fn what_does_not_add_up_is_said() {
        let counted = Some(Counted { received: 999_999, duplicate: 3, ..Counted::default() });
        let text = text(&[Run { counted, refusals: 7, quiet: false, ..run(0, Subject::Spantally, 9.0) }]);
        for said in ["999999 counted, 3 as duplicates", "7 refusals", "a lower bound"] {
            assert!(text.contains(said), "{said} in {text}");
        }
    }

    #[test]
    fn a_check_without_data_finds_fault() {
        let counted = Some(Counted { received: 1_000_000, ..Counted::default() });
        let product = Run { counted, ..run(0, Subject::Spantally, 0.2) };
        let good = [run(0, Subject::Discard, 0.1), run(0, Subject::Prost, 1.0), product.clone()];
        assert_eq!(problems(&good, &[Mix::Media]), Vec::<String>::new());
        let found = |runs: &[Run], loads: &[Mix]| problems(runs, loads).join("\n");
        assert_eq!(problems(&[], &[Mix::Media]).len(), BOUNDS.len());
        assert!(found(&good, &[Mix::Media, Mix::Mixed]).contains("mixed load"), "a load was not measured");
        assert!(found(&good[1..], &[Mix::Media]).contains("tonic discard: not measured"));
        for (wrong, said) in [
            (Run { quiet: false, ..product.clone() }, "a lower bound"),
            (Run { counted: None, ..product.clone() }, "/metrics did not answer"),
            (Run { spans: 1_000_001, ..product.clone() }, "1000001 spans acknowledged"),
            (Run { cpu_seconds_per_million: 0.9, ..product }, "tonic discard: 9.00, at most 8"),
        ] {
            let found = found(&[good[0].clone(), good[1].clone(), wrong], &[Mix::Media]);
            assert!(found.contains(said), "{said} in {found}");
        }
    }
}
