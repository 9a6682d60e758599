//! Whether each job's document says what its row and its charges say.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;

use rust_decimal::Decimal;
use serde::Deserialize;
use spantally_stitch::{State, UnixNanos};
use spantally_store::{ChargeRow, JobRow, LedgerReader, StoreError};

use super::Report;
use super::slices::{SLICE, read_slice};
use crate::core::windows::MINUTE_NANOS;
use crate::export::canonical::owner;
use crate::job_json::Rfc3339;

/// What the charges add up to.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// By name of the counter and the labels of its own, as text.
    pub(super) counters: BTreeMap<(&'static str, String), Decimal>,
    /// The same by owner, and the unit or the currency alone.
    pub(super) owned: BTreeMap<(&'static str, String), Decimal>,
    /// Jobs by outcome.
    pub(super) jobs: BTreeMap<String, u64>,
    /// First revisions.
    pub(super) first: u64,
    /// Cost by provider, model and currency, and by minute.
    pub(super) minutes: BTreeMap<([String; 3], u64), Decimal>,
}

/// A document, as far as the ledger says it twice.
#[derive(Deserialize)]
struct Document {
    job_id: String,
    revision: u32,
    state: String,
    tenant: String,
    service: String,
    provider: String,
    model: String,
    operation: String,
    outcome: String,
    failure_reason: Option<String>,
    started_at: String,
    ended_at: String,
    attempts: Vec<serde::de::IgnoredAny>,
    charges: Vec<DocumentCharge>,
}

#[derive(Deserialize)]
struct DocumentCharge {
    attempt: u32,
    unit: String,
    quantity: Decimal,
    unit_price: Option<Decimal>,
    cost: Option<Decimal>,
    currency: Option<String>,
    cause: String,
    basis: String,
    rule: String,
}

/// Attempt, unit, price, currency, cause, basis, rule: what makes two charges the same one.
type ChargeKey = (u32, String, Option<Decimal>, String, String, String, String);

/// Quantity and cost of each charge.
type Charges = BTreeMap<ChargeKey, [Decimal; 2]>;

/// Looks at every row that can be read; what the charges add up to.
pub(super) fn check(ledger: &LedgerReader, report: &mut Report) -> Result<Totals, StoreError> {
    let mut totals = Totals::default();
    let replaced: HashSet<u64> = ledger.replaced_rows()?.into_iter().collect();
    // Jobs of several revisions: the charges of those that were read.
    let mut revised = HashMap::<[u8; 16], Charges>::new();
    let removed = report.checked.removed_rows;
    let Some((first, last)) = ledger.row_range(0)? else { return Ok(totals) };
    let mut from = first;
    while from <= last {
        let slice = (from, last.min(from + SLICE - 1));
        let mut charges = charges_of(ledger, slice, report)?;
        let read = |rows, found: &mut Vec<_>| {
            ledger.visit_jobs(rows, true, |row, job| {
                found.push((row, job));
                ControlFlow::Continue(())
            })
        };
        for (row, job) in read_slice(slice, read, |row, error| report.unreadable(row, error))? {
            let own = charges.remove(&row).unwrap_or_default();
            totals.add(&job, &own, !replaced.contains(&row));
            let mut sums = revised.remove(&job.job_id).unwrap_or_default();
            for charge in &own {
                add(&mut sums, charge);
            }
            // Where older revisions are removed, nobody knows the sum of this one.
            let is_whole = job.revision == 1 || removed == 0 || !sums.is_empty();
            check_row(row, &job, is_whole.then_some(&sums), report);
            if replaced.contains(&row) {
                revised.insert(job.job_id, sums);
            }
        }
        from = slice.1 + 1;
    }
    Ok(totals)
}

fn charges_of(
    ledger: &LedgerReader,
    slice: (u64, u64),
    report: &mut Report,
) -> Result<HashMap<u64, Vec<ChargeRow>>, StoreError> {
    let read = |rows, found: &mut Vec<_>| {
        ledger.visit_charges(rows, |row, charge| {
            found.push((row, charge));
            ControlFlow::Continue(())
        })
    };
    let found = read_slice(slice, read, |row, error| report.unreadable(row, error))?;
    report.checked.charges += found.len() as u64;
    let mut charges = HashMap::<u64, Vec<ChargeRow>>::new();
    for (row, charge) in found {
        charges.entry(row).or_default().push(charge);
    }
    Ok(charges)
}

fn add(sums: &mut Charges, charge: &ChargeRow) {
    // Without a price a currency means nothing.
    let currency = charge.unit_price.map_or_else(String::new, |_| charge.currency.to_string());
    let words = [&*charge.unit, &*charge.cause, &*charge.basis, &*charge.rule].map(str::to_owned);
    let [unit, cause, basis, rule] = words;
    let price = charge.unit_price.map(|price| price.normalize());
    let sum = sums.entry((charge.attempt, unit, price, currency, cause, basis, rule)).or_default();
    sum[0] = sum[0].saturating_add(charge.quantity);
    sum[1] = sum[1].saturating_add(charge.cost_expected);
}

fn check_row(row: u64, job: &JobRow, charges: Option<&Charges>, report: &mut Report) {
    let at = || format!("row {row}, job {:032x}", u128::from_be_bytes(job.job_id));
    let text = job.detail.clone().into_text();
    let document: Document = match serde_json::from_str(&text) {
        Ok(document) => document,
        Err(error) => {
            return report.differs("document", at(), format!("not readable: {error}"), "a job as JSON");
        }
    };
    let moment = |nanos| Rfc3339(UnixNanos(nanos)).to_string();
    let reason = |text: Option<&str>| text.unwrap_or("none").to_owned();
    for (name, found, expected) in [
        ("job_id", document.job_id, format!("{:032x}", u128::from_be_bytes(job.job_id))),
        ("revision", document.revision.to_string(), job.revision.to_string()),
        ("state", document.state, job.state.to_string()),
        ("tenant", document.tenant, job.tenant.to_string()),
        ("service", document.service, job.service.to_string()),
        ("provider", document.provider, job.provider.to_string()),
        ("model", document.model, job.model.to_string()),
        ("operation", document.operation, job.operation.to_string()),
        ("outcome", document.outcome, job.outcome.to_string()),
        ("failure_reason", reason(document.failure_reason.as_deref()), reason(job.failure_reason.as_deref())),
        ("started_at", document.started_at, moment(job.started_at)),
        ("ended_at", document.ended_at, moment(job.ended_at)),
        ("attempts", document.attempts.len().to_string(), job.attempts.to_string()),
    ] {
        if found != expected {
            report.differs("document", at(), format!("{name} {found}"), format!("{expected}, as its row"));
        }
    }
    if let Some(charges) = charges {
        check_charges(&at(), charges, document.charges, report);
    }
}

/// The ledger has charges of its own for what was used apart from what is billed: they have no price, and
/// the document does not tell them.
fn check_charges(at: &str, charges: &Charges, told: Vec<DocumentCharge>, report: &mut Report) {
    let mut expected = Charges::new();
    for charge in told {
        let DocumentCharge { attempt, unit, quantity, unit_price, cost, currency, cause, basis, rule } =
            charge;
        let price = unit_price.map(|price| price.normalize());
        let key = (attempt, unit, price, currency.unwrap_or_default(), cause, basis, rule);
        let sum = expected.entry(key).or_default();
        sum[0] = sum[0].saturating_add(quantity);
        sum[1] = sum[1].saturating_add(cost.unwrap_or_default());
    }
    let priced: HashSet<_> =
        expected.keys().map(|key| (key.0, key.4.clone(), key.5.clone(), key.6.clone())).collect();
    for (key, sum) in charges {
        let is_consumed =
            key.2.is_none() && priced.contains(&(key.0, key.4.clone(), key.5.clone(), key.6.clone()));
        let should = expected.remove(key);
        if (should.is_none() && is_consumed) || should.unwrap_or_default() == *sum {
            continue;
        }
        report.differs(
            "charge",
            format!("{at}, {}", name(key)),
            shown(*sum),
            shown(should.unwrap_or_default()),
        );
    }
    for (key, should) in expected.into_iter().filter(|(_, sum)| *sum != [Decimal::ZERO; 2]) {
        report.differs("charge", format!("{at}, {}", name(&key)), "none", shown(should));
    }
}

fn name((attempt, unit, _, currency, cause, _, rule): &ChargeKey) -> String {
    format!("attempt {attempt} {unit} {currency} {cause} {rule}")
}

fn shown([quantity, cost]: [Decimal; 2]) -> String {
    format!("quantity {}, cost {}", quantity.normalize(), cost.normalize())
}

impl Totals {
    fn add(&mut self, job: &JobRow, charges: &[ChargeRow], is_newest: bool) {
        if is_newest && job.state == State::Settled.as_str() {
            *self.jobs.entry(job.outcome.to_string()).or_default() += 1;
        }
        self.first += u64::from(job.revision == 1);
        for charge in charges {
            self.add_charge(charge, (&job.service, &job.tenant));
            if charge.unit_price.is_some() {
                let key = [&charge.provider, &charge.model, &charge.currency].map(ToString::to_string);
                let minute = job.settled_at / MINUTE_NANOS;
                let sum = self.minutes.entry((key, minute)).or_default();
                *sum = sum.saturating_add(charge.cost_expected);
            }
        }
    }

    /// Adds what a charge of a service and tenant adds to the counters.
    pub(super) fn add_charge(&mut self, charge: &ChargeRow, (service, tenant): (&str, &str)) {
        let ChargeRow { unit, cause, basis, currency, .. } = charge;
        let owner = owner(service, tenant);
        let mut own = |name, label: String, amount| {
            let sum = self.owned.entry((name, format!("{owner} {label}"))).or_default();
            *sum = sum.saturating_add(amount);
        };
        own("spantally_billed_units", format!("unit={unit}"), charge.quantity);
        if charge.unit_price.is_some() {
            own("spantally_cost", format!("currency={currency}"), charge.cost_expected);
        }
        let mut add = |name, labels, amount| {
            let sum = self.counters.entry((name, labels)).or_default();
            *sum = sum.saturating_add(amount);
        };
        let units = format!("unit={unit} cause={cause} basis={basis}");
        add("spantally_billed_units", units, charge.quantity);
        if charge.unit_price.is_some() {
            let cost = format!("currency={currency} cause={cause} basis={basis}");
            add("spantally_cost", cost, charge.cost_expected);
            let bound = |bound| format!("currency={currency} bound={bound}");
            add("spantally_cost_bound", bound("min"), charge.cost_min);
            add("spantally_cost_bound", bound("max"), charge.cost_max);
        }
    }
}
