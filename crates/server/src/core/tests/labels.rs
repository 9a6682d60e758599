//! A configuration that names other extra labels, over restarts on one ledger and one journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use spantally_stitch::{Client, Evidence, Job, State, TaskState};
use spantally_store::{Checkpoint, DataDir, JobFilter, Journal, Ledger};

use super::fixture::*;
use super::simulation::SimulatedJournal;
use crate::budgets::{BudgetDefinition, Budgets, Measure, PeriodKind, Scope};
use crate::commit::CommitMessage;
use crate::core::{Core, CoreOptions, recover};
use crate::export::{INVENTORY, Kind, MetricId, canonical, series_key};
use crate::label_history::LabelHistory;
use crate::record::encode_labelled;
use crate::verify::{Report, verify_ledger};

/// What the resource of every span says.
const RESOURCE: [(&str, &str); 2] = [("team", "red"), ("env", "blue")];

/// A server's life after life, each with labels of its own.
struct Lives {
    _dir: tempfile::TempDir,
    ledger: Ledger,
    journal: SimulatedJournal,
    second: u64,
}

impl Lives {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
        Self { _dir: dir, ledger, journal: SimulatedJournal::default(), second: 0 }
    }

    /// A process that has taken back what there is, with a budget for each team.
    fn start(&mut self, labels: &[&str]) -> Core {
        let extra_labels: Vec<Arc<str>> = labels.iter().map(|&label| label.into()).collect();
        let mut core = Core::new(&CoreOptions { extra_labels, ..CoreOptions::default() }, cards(), at(0));
        let budgets = ["red", "blue"].map(|team| BudgetDefinition {
            name: team.to_owned(),
            limit: Decimal::TEN,
            measure: Measure::Currency("USD".to_owned()),
            period: PeriodKind::Month,
            time_zone: TimeZone::UTC,
            scope: Scope { labels: vec![("team".to_owned(), team.to_owned())] },
        });
        let names: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        core.set_budgets(Budgets::new(budgets.into(), Vec::new(), &names));
        recover(&mut core, &self.ledger, &mut self.journal).unwrap();
        core.wake(at(self.second));
        core
    }

    /// Takes spans as a process with these labels does.
    fn take(&mut self, core: &mut Core, labels: &[&str], resource: &[(&str, &str)], spans: Vec<Evidence>) {
        let value =
            |label: &&str| resource.iter().find(|(name, _)| name == label).map_or("", |(_, value)| value);
        let labels: Vec<Arc<str>> = labels.iter().map(|&label| label.into()).collect();
        let values = labels.iter().map(|label| value(&&**label).into()).collect();
        let client = Arc::new(Client { service: "clips".into(), labels: values, ..Client::default() });
        let spans = spans.into_iter().map(|span| Evidence { client: Arc::clone(&client), ..span }).collect();
        let CommitMessage { batches, .. } = message(0, spans);
        let mut row = Vec::new();
        encode_labelled(&batches, &labels, &mut row);
        let seq = self.journal.append(&row).unwrap();
        core.apply(CommitMessage { seq, batches });
    }

    fn turn(&mut self, core: &mut Core) {
        self.second += 200;
        turn(core, &mut self.ledger, self.second);
    }

    /// What of the ledger's counters are not the sums of its rows.
    fn differences(&self) -> Vec<String> {
        let mut report = Report::default();
        verify_ledger(&self.ledger.reader().unwrap(), &mut report).unwrap();
        report.differences.iter().map(|found| format!("{found:?}")).collect()
    }
}

fn spent(core: &Core, team: &str) -> String {
    let own = format!("budget=\"{team}\"");
    let mut found = core.registry().values(MetricId::BudgetSpent).filter(|(labels, _)| labels.contains(&own));
    found.next().unwrap().1.normalize().to_string()
}

fn delivered(task: &str, second: u64) -> Vec<Evidence> {
    let mut evidence = unfinished(task, second);
    evidence.push(result(task, second, TaskState::Succeeded));
    evidence
}

/// No two series of a metric are one to who takes an empty label for none.
fn assert_no_series_stands_twice(core: &Core) {
    for metric in INVENTORY {
        let series: Vec<_> = core.registry().values(metric.id).map(|(labels, _)| labels).collect();
        let distinct: BTreeSet<_> =
            series.iter().map(|labels| canonical::of_series(metric, labels)).collect();
        assert_eq!(distinct.len(), series.len(), "{}", metric.name);
    }
}

#[test]
fn a_label_that_no_span_has_makes_no_second_series() {
    let mut lives = Lives::new();
    let mut sums = BTreeSet::new();
    for (life, labels) in [&[][..], &["team"], &["env", "team"], &[]].into_iter().enumerate() {
        let mut core = lives.start(labels);
        assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::from(2 * life));
        for number in 0..2 {
            let task = format!("task-{life}0{number}");
            lives.take(&mut core, labels, &[], delivered(&task, lives.second + number));
        }
        lives.turn(&mut core);
        assert_no_series_stands_twice(&core);
        let series = core.registry().values(MetricId::Jobs).filter(|(_, value)| !value.is_zero());
        assert_eq!(series.count(), 1);
        sums.insert(core.registry().values(MetricId::Cost).count());
        assert_eq!(lives.differences(), Vec::<String>::new());
    }
    assert_eq!(sums.len(), 1, "no series was added");
}

/// Before labels without a value were left out, an older process wrote them.
#[test]
fn what_an_older_process_wrote_with_empty_labels_is_added_up_and_can_be_revised() {
    let mut lives = Lives::new();
    let mut core = lives.start(&[]);
    lives.take(&mut core, &[], &[], unfinished("task-001", 0));
    lives.take(&mut core, &[], &[], delivered("task-002", 50));
    lives.second = 4000;
    core.advance(at(lives.second));
    core.refresh();
    lives.ledger.checkpoint(&older(core.checkpoint())).unwrap();
    let before: Vec<_> = INVENTORY.iter().filter(|metric| metric.kind != Kind::Gauge).collect();
    let sums = |core: &Core| before.iter().map(|metric| net(core, metric.id, &[])).collect::<Vec<_>>();
    let (page, counted) = (sums(&core), core.registry().values(MetricId::Calls).count());
    for life in 0..3 {
        let mut again = lives.start(&[]);
        assert_eq!(sums(&again), page, "{life}");
        assert_eq!(again.registry().values(MetricId::Calls).count(), counted);
        lives.turn(&mut again);
        assert_eq!(lives.differences(), Vec::<String>::new(), "{life}");
    }
    // The first job is revised: what it had added is found by the keys of the older process.
    let mut last = lives.start(&[]);
    lives.take(&mut last, &[], &[], vec![result("task-001", 0, TaskState::Succeeded)]);
    lives.turn(&mut last);
    assert_eq!(net(&last, MetricId::Jobs, &["outcome=\"succeeded\""]), Decimal::TWO);
    assert_eq!(net(&last, MetricId::Jobs, &[]), Decimal::TWO);
    assert_eq!(lives.differences(), Vec::<String>::new());
}

/// A checkpoint as the older process wrote it: series by other texts, and their keys in rows and forms.
fn older(mut checkpoint: Checkpoint) -> Checkpoint {
    let mut keys = BTreeMap::new();
    for row in checkpoint.counters.iter_mut().filter(|row| row.labels.contains("tenant=\"\"")) {
        let labels: Arc<str> = row.labels.replace("tenant=\"\"", "tenant=\"\",team=\"\"").into();
        keys.insert(
            series_key(&row.name, &row.labels).to_le_bytes().to_vec(),
            series_key(&row.name, &labels),
        );
        row.labels = labels;
    }
    let of_jobs = checkpoint.jobs.iter_mut().map(|job| &mut job.booked);
    for booked in of_jobs.chain(checkpoint.forms.iter_mut().map(|form| &mut form.booked)) {
        for entry in booked.chunks_mut(24) {
            if let Some(key) = keys.get(&entry[..8]) {
                entry[..8].copy_from_slice(&key.to_le_bytes());
            }
        }
    }
    checkpoint
}

/// A row that takes a job back has none in its document: budgets have them by the names of their time.
#[test]
fn what_is_taken_back_has_the_labels_that_it_was_booked_with() {
    let mut lives = Lives::new();
    let [first, second] = [["team", "env"], ["env", "team"]];
    let mut core = lives.start(&first);
    lives.take(&mut core, &first, &RESOURCE, delivered("task-001", 0));
    let id = core.advance(at(200))[0].job.id;
    core.refresh();
    lives.ledger.checkpoint(&core.checkpoint()).unwrap();
    let taken_back = |core: &mut Core| {
        let gone = Job { id, state: State::Superseded, ..Job::default() };
        core.books.publish(Box::new(gone), 0, at(300)).unwrap().unwrap();
        core.books.labels.from(0).iter().map(|labels| labels.join(", ")).collect::<Vec<_>>()
    };
    lives.second = 250;
    let mut again = lives.start(&second);
    again.set_archive(Box::new(lives.ledger.reader().unwrap()));
    assert_eq!(taken_back(&mut again), ["blue, red"]);
    assert_eq!(taken_back(&mut core), ["red, blue"], "by the process that has booked it");
}

/// Jobs settled, open, and in the journal alone: each value stays with its name.
#[test]
fn labels_in_another_order_keep_their_values() {
    let mut lives = Lives::new();
    let [first, second] = [["team", "env"], ["env", "team"]];
    let mut core = lives.start(&first);
    for task in ["task-001", "task-002", "task-003"] {
        lives.take(&mut core, &first, &RESOURCE, delivered(task, 0));
    }
    lives.take(&mut core, &first, &RESOURCE, unfinished("task-004", 0));
    lives.turn(&mut core);
    assert_eq!((spent(&core, "red"), spent(&core, "blue")), ("0.075".to_owned(), "0".to_owned()));
    lives.take(&mut core, &first, &RESOURCE, delivered("task-005", lives.second));

    let mut again = lives.start(&second);
    assert_eq!((spent(&again, "red"), spent(&again, "blue")), ("0.075".to_owned(), "0".to_owned()));
    lives.take(&mut again, &second, &RESOURCE, vec![result("task-004", 0, TaskState::Succeeded)]);
    // Alike to those of the first process but for the order of their labels.
    for task in ["task-006", "task-007"] {
        lives.take(&mut again, &second, &RESOURCE, delivered(task, lives.second));
    }
    lives.turn(&mut again);
    let reader = lives.ledger.reader().unwrap();
    let names = LabelHistory::of(&reader).unwrap();
    let listed = reader.list(&JobFilter::default(), None, 100).unwrap();
    assert_eq!(listed.len(), 7);
    for job in listed {
        let text = names.name(job.position, job.job.detail.into_text());
        assert!(text.contains(r#","labels":{"env":"blue","team":"red"}"#), "{text}");
    }
    let last = lives.start(&["env", "team", "region"]);
    for core in [&again, &last] {
        assert_eq!(net(core, MetricId::Jobs, &["env=\"blue\",team=\"red\""]), Decimal::from(7));
        assert_eq!(net(core, MetricId::Jobs, &[]), Decimal::from(7));
        assert_eq!((spent(core, "red"), spent(core, "blue")), ("0.175".to_owned(), "0".to_owned()));
    }
    assert_eq!(lives.differences(), Vec::<String>::new());
}
