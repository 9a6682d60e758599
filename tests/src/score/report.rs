//! Prints a score, one figure or group of figures a line.

use std::fmt;

use super::Score;
use super::pairs::Pairs;

/// What billing policies a bill could be scored against; the job JSON carries charges, not policies.
const POLICIES: [&str; 3] = ["create", "success", "create_partial"];

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clusterings = [
            ("media_core", &self.media_core),
            ("media_all", &self.media_all),
            ("everything", &self.everything),
        ];
        for (name, Pairs { precision, recall, f1, bcubed_f1, spans, pairs }) in clusterings {
            write!(f, "pairs {name:<11} P {precision:.4}  R {recall:.4}  F1 {f1:.4}  B3 {bcubed_f1:.4}  ")?;
            writeln!(f, "({spans} spans, {pairs} true pairs)")?;
        }
        let s = &self.stitch;
        write!(f, "stitch exact jobs {:.4} of {}; ", s.exact_jobs, s.intents)?;
        write!(f, "polls with their submit {:.4} of {}; ", s.polls_with_their_submit, s.polls)?;
        writeln!(f, "retries together {:.4} of {}", s.retries_together, s.retried_intents)?;
        let j = &self.jobs;
        write!(f, "jobs truth {} predicted {} error {:.4}; ", j.truth, j.predicted, j.error)?;
        write!(f, "noise-only clusters {}; ", j.noise_only)?;
        write!(f, "unmatched truth/predicted {}/{}; ", j.unmatched_truth, j.unmatched_predicted)?;
        writeln!(f, "span ids unknown {}, in two clusters {}", j.unknown_spans, j.spans_in_two_jobs)?;
        for (name, counts) in &self.counts {
            match counts {
                None => writeln!(f, "{name:<10} not given")?,
                Some(c) => {
                    write!(f, "{name:<10} truth {} predicted {} ", c.truth, c.predicted)?;
                    write!(f, "total error {:.4} exact {:.4} ", c.total_error, c.exact)?;
                    writeln!(f, "mean abs error {:.4}", c.mean_abs_error)?;
                }
            }
        }
        for policy in POLICIES {
            writeln!(f, "units {policy}: not given")?;
        }
        if let Some(accuracy) = self.outcome_accuracy {
            writeln!(f, "outcome accuracy {accuracy:.4}")?;
        }
        if let Some(t) = &self.task_ids {
            write!(f, "provider job ids {{'precision': '{:.4}', ", t.precision)?;
            write!(f, "'recall_of_discoverable': '{:.4}', ", t.recall_of_discoverable)?;
            write!(f, "'recall_of_all': '{:.4}', ", t.recall_of_all)?;
            writeln!(f, "'discoverable': '{}', 'all': '{}'}}", t.discoverable, t.all)?;
        }
        if let Some((by, groups)) = &self.groups {
            for (name, group) in groups {
                let share = |part: usize| part as f64 / group.intents as f64;
                write!(f, "  {} {name:<24} intents {:<4} ", by.as_str(), group.intents)?;
                writeln!(f, "exact {:.4} matched {:.4}", share(group.exact), share(group.matched))?;
            }
        }
        Ok(())
    }
}
