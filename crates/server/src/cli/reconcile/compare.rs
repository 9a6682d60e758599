//! Jobs beside an export, one after the other, and what that comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde::Serialize;
use spantally_price::{Bound, RateCard};

use super::billed::{Billed, By, Theirs};
use super::booked::{Booked, Task};
use super::file::Place;
use super::policy::Policies;
use super::verdict::{Judged, Verdict, Why, judge};
use super::when::day_of;
use crate::cli::job_doc::{CostDoc, JobDoc};

/// A task, or a day and model, on which the two sides do not agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Finding {
    pub verdict: Verdict,
    pub why: Option<Why>,
    /// Empty where no job of ours is it, and for sums of a day.
    pub job_id: String,
    /// Empty for sums of a day, and for rows that name none.
    pub task_id: String,
    pub model: String,
    /// Day of the row, or of the job; by the zone of the export.
    pub day: Option<String>,
    pub outcome: String,
    pub failure_reason: Option<String>,
    pub currency: Arc<str>,
    pub ours: Option<CostDoc>,
    pub theirs: Option<Decimal>,
    /// Theirs less what we expected.
    pub difference: Option<Decimal>,
    pub our_quantity: Option<Decimal>,
    pub their_quantity: Option<Decimal>,
    /// The first row that it is about.
    pub row: Option<Place>,
}

/// Tasks with one verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Tally {
    /// How many.
    pub count: u64,
    /// Their money by currency.
    pub cost: BTreeMap<Arc<str>, Sides>,
}

/// Ours and theirs; none where no figure of that side is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Sides {
    pub ours: Option<CostDoc>,
    pub theirs: Option<Decimal>,
}

/// Tasks that are not compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Apart {
    pub count: u64,
    pub cost: BTreeMap<String, CostDoc>,
}

/// The comparison as far as it is.
pub(super) struct Comparison<'a> {
    pub provider: &'a str,
    pub tenant: Option<&'a str>,
    pub theirs: Theirs,
    pub zone: TimeZone,
    pub tolerance: Decimal,
    pub card: Option<&'a RateCard>,
    /// Settled jobs with an attempt at the provider.
    pub jobs: u64,
    /// Tasks whose time the export does not cover.
    pub outside: Apart,
    /// Attempts of which no span shows a task id: time-outs, mostly.
    pub nameless: Apart,
    pub tallies: BTreeMap<Verdict, Tally>,
    pub findings: Vec<Finding>,
    pub policies: Policies,
    days: BTreeMap<(Date, String), Booked>,
}

/// What a finding is about.
#[derive(Default)]
struct About<'a> {
    task: Option<&'a Task<'a>>,
    task_id: &'a str,
    model: &'a str,
    day: Option<Date>,
    ours: Option<&'a Booked>,
    theirs: Option<&'a Billed>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(
        provider: &'a str,
        theirs: Theirs,
        zone: TimeZone,
        tolerance: Decimal,
        card: Option<&'a RateCard>,
    ) -> Self {
        Self {
            provider,
            tenant: None,
            theirs,
            zone,
            tolerance,
            card,
            jobs: 0,
            outside: Apart::default(),
            nameless: Apart::default(),
            tallies: BTreeMap::new(),
            findings: Vec::new(),
            policies: Policies::default(),
            days: BTreeMap::new(),
        }
    }

    /// Takes a settled job in.
    pub(super) fn add(&mut self, job: &JobDoc) {
        if self.tenant.is_some_and(|tenant| tenant != job.tenant) {
            return;
        }
        let tasks = Task::all(job, self.provider);
        self.jobs += u64::from(!tasks.is_empty());
        for task in &tasks {
            match self.theirs.by {
                By::Task => self.add_task(task),
                By::Day => self.add_to_day(task),
            }
        }
    }

    fn add_task(&mut self, task: &Task<'_>) {
        let ours = task.booked();
        let rows = task.id.and_then(|id| self.theirs.tasks.get_mut(id));
        let is_twice = rows.as_ref().is_some_and(|rows| rows.is_taken);
        let rows = rows.map(|rows| {
            rows.is_taken = true;
            rows.clone()
        });
        let is_outside = match &rows {
            Some(rows) => !rows.is_inside,
            None => !self.covers(task),
        };
        if is_outside {
            return self.outside.add(&ours);
        }
        if task.id.is_none() && !ours.is_nothing() {
            return self.nameless.add(&ours);
        }
        let rows = rows.as_ref().filter(|_| !is_twice);
        let mut judged = judge(&ours, rows, self.tolerance);
        if is_twice {
            let only_ours = judged.iter_mut().filter(|judged| judged.verdict == Verdict::OnlyOurs);
            only_ours.for_each(|judged| judged.why = Some(Why::ClaimedTwice));
        } else if task.id.is_some() {
            self.policies.hear(task, &ours, rows, &judged, self.card);
        }
        let about = About {
            task: Some(task),
            task_id: task.id.unwrap_or_default(),
            model: task.model(),
            day: task.span().map(|(from, _)| day_of(from, &self.zone)),
            ours: Some(&ours),
            theirs: rows,
        };
        self.book(judged, &about);
    }

    /// Whether the export would have a row, had the task been billed.
    fn covers(&self, task: &Task<'_>) -> bool {
        let both = self.theirs.period.zip(task.span());
        both.is_some_and(|(period, (from, until))| period.from <= from && until <= period.until)
    }

    fn add_to_day(&mut self, task: &Task<'_>) {
        let ours = task.booked();
        // Providers book a job when it begins.
        let from = task.span().map(|(from, _)| from);
        match from.filter(|from| self.theirs.period.is_some_and(|period| period.contains(*from))) {
            None => self.outside.add(&ours),
            Some(from) => {
                let key = (day_of(from, &self.zone), task.model().to_owned());
                self.days.entry(key).or_default().add(ours);
            }
        }
    }

    /// Says what is left: days, and rows that no job is.
    pub(super) fn finish(&mut self) {
        match self.theirs.by {
            By::Day => self.finish_days(),
            By::Task => self.finish_rows(),
        }
        self.findings.sort_by(|a, b| {
            let weight = |finding: &Finding| {
                let figures = [finding.difference, finding.theirs, finding.ours.map(|ours| ours.expected)];
                figures.into_iter().flatten().next().unwrap_or_default().abs()
            };
            let names = |finding: &'_ Finding| [&finding.task_id, &finding.job_id].map(String::clone);
            let last = || (&a.day, names(a)).cmp(&(&b.day, names(b)));
            weight(b).cmp(&weight(a)).then_with(last)
        });
    }

    /// Where a model is not known on one side, the day is compared as a whole.
    fn finish_days(&mut self) {
        let mut theirs = std::mem::take(&mut self.theirs.days);
        let mut ours = std::mem::take(&mut self.days);
        let nameless = ours.keys().chain(theirs.keys()).filter(|(_, model)| model.is_empty());
        let whole: BTreeSet<Date> = nameless.map(|(day, _)| *day).collect();
        theirs.retain(|_, billed| billed.is_inside);
        let key = |(day, model): (Date, String)| {
            if whole.contains(&day) { (day, String::new()) } else { (day, model) }
        };
        let mut days = BTreeMap::<(Date, String), (Booked, Option<Billed>)>::new();
        for (at, booked) in std::mem::take(&mut ours) {
            days.entry(key(at)).or_default().0.add(booked);
        }
        for (at, billed) in theirs {
            let so_far = &mut days.entry(key(at)).or_default().1;
            *so_far = Some(match so_far.take() {
                Some(sum) => sum.and(billed),
                None => billed,
            });
        }
        for ((day, model), (booked, billed)) in &days {
            let about = About {
                model,
                day: Some(*day),
                ours: Some(booked),
                theirs: billed.as_ref(),
                ..About::default()
            };
            let mut judged = judge(booked, billed.as_ref(), self.tolerance);
            let has_jobs = !booked.quantities.is_empty() || booked.is_unpriced;
            let only_theirs = |judged: &&mut Judged| !has_jobs && judged.verdict == Verdict::AmountDiffers;
            for judged in judged.iter_mut().filter(only_theirs) {
                (judged.verdict, judged.why, judged.ours) = (Verdict::OnlyTheirs, None, None);
            }
            self.book(judged, &about);
        }
    }

    fn finish_rows(&mut self) {
        let tasks = std::mem::take(&mut self.theirs.tasks);
        let nameless = std::mem::take(&mut self.theirs.nameless);
        let named = tasks.iter().map(|(task, billed)| (task.as_str(), billed));
        let rows = named.chain(nameless.iter().map(|billed| ("", billed)));
        for (task_id, billed) in rows.filter(|(_, billed)| billed.is_inside && !billed.is_taken) {
            let verdict = if billed.is_nothing() { Verdict::Free } else { Verdict::OnlyTheirs };
            let judged = |(currency, theirs): (&Arc<str>, &Bound)| Judged {
                verdict,
                why: None,
                currency: Arc::clone(currency),
                ours: None,
                theirs: Some(*theirs),
            };
            let mut judged: Vec<Judged> = billed.cost.iter().map(judged).collect();
            if judged.is_empty() {
                let currency = Arc::default();
                judged.push(Judged { verdict, why: None, currency, ours: None, theirs: None });
            }
            let (model, day) = (billed.model.as_str(), billed.day);
            let about = About { task_id, model, day, theirs: Some(billed), ..About::default() };
            self.book(judged, &about);
        }
    }

    fn book(&mut self, judged: Vec<Judged>, about: &About<'_>) {
        let mut counted = BTreeSet::new();
        for judged in judged {
            let tally = self.tallies.entry(judged.verdict).or_default();
            tally.count += u64::from(counted.insert(judged.verdict));
            if judged.ours.or(judged.theirs).is_some() && !judged.currency.is_empty() {
                tally.cost.entry(Arc::clone(&judged.currency)).or_default().add(judged.ours, judged.theirs);
            }
            if !judged.verdict.agrees() {
                self.findings.push(finding(&judged, about));
            }
        }
    }
}

fn finding(judged: &Judged, about: &About<'_>) -> Finding {
    let bearer = about.task.map(Task::bearer);
    let (ours, theirs) = (judged.ours, judged.theirs.map(|theirs| theirs.expected));
    let unit = about.theirs.and_then(|theirs| theirs.unit.as_deref());
    Finding {
        verdict: judged.verdict,
        why: judged.why,
        job_id: about.task.map(|task| task.job.job_id.clone()).unwrap_or_default(),
        task_id: about.task_id.to_owned(),
        model: about.model.to_owned(),
        day: about.day.map(|day| day.to_string()),
        outcome: bearer.map(|attempt| attempt.outcome.clone()).unwrap_or_default(),
        failure_reason: bearer.and_then(|attempt| attempt.failure_reason.clone()),
        currency: Arc::clone(&judged.currency),
        ours: ours.map(cost),
        theirs,
        difference: theirs.zip(ours).map(|(theirs, ours)| theirs.saturating_sub(ours.expected)),
        our_quantity: about.ours.and_then(|ours| ours.quantity(unit)),
        their_quantity: about.theirs.and_then(|theirs| theirs.quantity),
        row: about.theirs.and_then(|theirs| theirs.place.clone()),
    }
}

fn cost(bound: Bound) -> CostDoc {
    CostDoc { min: bound.min, expected: bound.expected, max: bound.max }
}

fn sum(a: CostDoc, b: Bound) -> CostDoc {
    cost(Bound { min: a.min, expected: a.expected, max: a.max } + b)
}

impl Sides {
    fn add(&mut self, ours: Option<Bound>, theirs: Option<Bound>) {
        if let Some(ours) = ours {
            self.ours = Some(self.ours.map_or_else(|| cost(ours), |sum_so_far| sum(sum_so_far, ours)));
        }
        if let Some(theirs) = theirs {
            self.theirs = Some(self.theirs.unwrap_or_default().saturating_add(theirs.expected));
        }
    }

    /// Adds another to it.
    pub(super) fn and(&mut self, other: &Self) {
        let ours = other.ours.map(|ours| Bound { min: ours.min, expected: ours.expected, max: ours.max });
        self.add(ours, other.theirs.map(Bound::exactly));
    }
}

impl Apart {
    fn add(&mut self, booked: &Booked) {
        self.count += 1;
        for (currency, bound) in &booked.cost {
            let so_far = self.cost.get(currency).copied();
            let sum = so_far.map_or_else(|| cost(*bound), |so_far| sum(so_far, *bound));
            self.cost.insert(currency.clone(), sum);
        }
    }
}

#[cfg(test)]
mod tests;
