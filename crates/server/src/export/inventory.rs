//! Every metric that Spantally shows, in one table.
//!
//! The table is the contract with dashboards and rules: names, types, units, labels, and which label values
//! are known beforehand. Names are without `_total`; the writers ([`super::text`]) add what each format
//! wants. A counter that a later revision may have to lower has a *twin* for reversals, created in the same
//! moment, so that `rate(x) - rate(x_reversed)` always finds both sides. Values live in [`super::series`].

mod known;
mod page;

use known::{
    ATTEMPTS, CHECKPOINT_SECONDS, COMMIT_SECONDS, COST, DURATION_SECONDS, POLLS, SESSION_SECONDS,
    acceptances, attempt_causes, bases, bounds, causes, confidences, forward_results, job_attributes_results,
    join_rules, limits, money_bases, outcomes, reasons, refusals, reject_reasons, request_ends, results,
    sockets, span_outcomes, storage_faults, storage_files, three_bounds, transports, unpriced_reasons,
    verdicts,
};
pub(crate) use known::{JOB_ATTRIBUTES, REQUEST_RESULTS, SPAN_OUTCOMES};
pub use page::markdown;

/// What a metric measures over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Goes up and down. A metric whose labels are the information (`..._info`) is a gauge that is always 1.
    Gauge,
    /// A distribution, with its upper bucket bounds in ascending order, `+Inf` left out.
    Histogram(&'static [&'static str]),
}

/// A label of a metric beside the common set.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Values that exist from the start; none for a label whose values come from rate cards or spans.
    pub known: Option<fn() -> Vec<&'static str>>,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Which one it is; also its position in [`INVENTORY`].
    pub id: MetricId,
    /// Name without `_total`.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// OpenMetrics unit; the name ends with it.
    pub unit: Option<&'static str>,
    /// One sentence for people.
    pub help: &'static str,
    /// Whether it carries `provider, model, operation, service, tenant` and the configured extra labels.
    pub common: bool,
    /// Labels of its own, in the order in which values are given.
    pub labels: &'static [Label],
    /// The counter that takes what must be taken back.
    pub twin: Option<MetricId>,
}

const fn open(name: &'static str) -> Label {
    Label { name, known: None }
}

const fn known(name: &'static str, values: fn() -> Vec<&'static str>) -> Label {
    Label { name, known: Some(values) }
}

macro_rules! inventory {
    ($(
        $id:ident = $name:literal, $kind:expr, $unit:expr, $common:literal, [$($label:expr),*],
            $twin:expr, $help:literal;
    )+) => {
        /// A metric's place in the inventory.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum MetricId { $(#[doc = $help] $id),+ }

        /// Every metric, in the order in which pages show them.
        pub const INVENTORY: &[Metric] = &[$(Metric {
            id: MetricId::$id,
            name: $name,
            kind: $kind,
            unit: $unit,
            help: $help,
            common: $common,
            labels: &[$($label),*],
            twin: $twin,
        }),+];
    };
}

use Kind::{Counter, Gauge};

inventory! {
    Jobs = "spantally_jobs", Counter, None, true, [known("outcome", outcomes)],
        Some(MetricId::JobsReversed), "Jobs settled, by outcome.";
    JobsReversed = "spantally_jobs_reversed", Counter, None, true, [known("outcome", outcomes)],
        None, "Jobs taken back from an outcome by a later revision.";
    LateJobs = "spantally_late_jobs", Counter, None, true, [],
        None, "Jobs whose spans came again after they were forgotten: in the ledger, not counted again.";
    Attempts = "spantally_attempts", Counter, None, true,
        [known("cause", attempt_causes), known("accepted", acceptances)],
        Some(MetricId::AttemptsReversed),
        "Attempts of settled jobs, by cause and by whether the provider accepted.";
    AttemptsReversed = "spantally_attempts_reversed", Counter, None, true,
        [known("cause", attempt_causes), known("accepted", acceptances)],
        None, "Attempts taken back by a later revision.";
    Failures = "spantally_failures", Counter, None, true, [known("reason", reasons)],
        Some(MetricId::FailuresReversed),
        "Failures of attempts and of single calls in settled jobs, by reason.";
    FailuresReversed = "spantally_failures_reversed", Counter, None, true, [known("reason", reasons)],
        None, "Failures taken back by a later revision.";
    Calls = "spantally_calls", Counter, None, true, [open("call"), open("status")],
        Some(MetricId::CallsReversed), "API calls of settled jobs, by kind of call and class of HTTP status.";
    CallsReversed = "spantally_calls_reversed", Counter, None, true, [open("call"), open("status")],
        None, "Calls taken back by a later revision.";
    BilledUnits = "spantally_billed_units", Counter, None, true,
        [open("unit"), known("cause", causes), known("basis", bases)],
        Some(MetricId::BilledUnitsReversed),
        "Expected billed quantity of settled jobs, in the unit of the label.";
    BilledUnitsReversed = "spantally_billed_units_reversed", Counter, None, true,
        [open("unit"), known("cause", causes), known("basis", bases)],
        None, "Billed quantity taken back by a later revision.";
    Cost = "spantally_cost", Counter, None, true,
        [open("currency"), known("cause", causes), known("basis", money_bases)],
        Some(MetricId::CostReversed), "Expected cost of settled jobs, in the currency of the label.";
    CostReversed = "spantally_cost_reversed", Counter, None, true,
        [open("currency"), known("cause", causes), known("basis", money_bases)],
        None, "Cost taken back by a later revision.";
    CostBound = "spantally_cost_bound", Counter, None, true, [open("currency"), known("bound", bounds)],
        Some(MetricId::CostBoundReversed), "Least and most that settled jobs may have cost.";
    CostBoundReversed = "spantally_cost_bound_reversed", Counter, None, true,
        [open("currency"), known("bound", bounds)],
        None, "Least and most cost taken back by a later revision.";
    AmbiguousCost = "spantally_ambiguous_cost", Counter, None, true, [open("currency")],
        Some(MetricId::AmbiguousCostReversed),
        "Most that charges of settled jobs come to of which nobody knows whether they were billed at all.";
    AmbiguousCostReversed = "spantally_ambiguous_cost_reversed", Counter, None, true, [open("currency")],
        None, "Ambiguous cost taken back by a later revision.";
    DeliveredJobs = "spantally_delivered_jobs", Counter, None, true, [open("currency")],
        Some(MetricId::DeliveredJobsReversed),
        "Settled jobs that delivered something (succeeded, partial) for money of the currency.";
    DeliveredJobsReversed = "spantally_delivered_jobs_reversed", Counter, None, true, [open("currency")],
        None, "Delivered jobs taken back by a later revision.";
    UnpricedJobs = "spantally_unpriced_jobs", Counter, None, true, [known("reason", unpriced_reasons)],
        Some(MetricId::UnpricedJobsReversed), "Settled jobs with an attempt that has no price, by reason.";
    UnpricedJobsReversed = "spantally_unpriced_jobs_reversed", Counter, None, true,
        [known("reason", unpriced_reasons)], None, "Unpriced jobs taken back by a later revision.";
    JobDuration = "spantally_job_duration_seconds", DURATION_SECONDS, Some("seconds"), true,
        [open("outcome")],
        None, "From the first call of a job to its last; counted once, when the job first settles.";
    JobPolls = "spantally_job_polls", POLLS, None, true, [open("outcome")],
        None, "Polls of a job; counted once, when the job first settles.";
    JobAttempts = "spantally_job_attempts", ATTEMPTS, None, true, [open("outcome")],
        None, "Attempts of a job; counted once, when the job first settles.";
    JobCost = "spantally_job_cost", COST, None, true, [open("currency"), open("outcome")],
        None,
        "Expected cost of a job in the currency of the label; counted once, when the job first settles.";
    VoiceSessionDuration = "spantally_voice_session_duration_seconds", SESSION_SECONDS, Some("seconds"), true,
        [open("outcome")],
        None,
        "From the first call of a voice session to its last; counted once, when it first settles. A single call \
         for speech is none.";
    VoiceSessionCost = "spantally_voice_session_cost", Counter, None, true, [open("currency"), open("cause")],
        Some(MetricId::VoiceSessionCostReversed),
        "Expected cost of settled voice sessions, by leg (operation): a part of spantally_cost.";
    VoiceSessionCostReversed = "spantally_voice_session_cost_reversed", Counter, None, true,
        [open("currency"), open("cause")],
        None, "Cost of voice sessions taken back by a later revision.";
    OpenJobs = "spantally_open_jobs", Gauge, None, true, [], None, "Jobs that have not settled.";
    OpenJobAge = "spantally_open_job_age_seconds", Gauge, Some("seconds"), true, [],
        None, "Age of the oldest job that has not settled.";
    Exposure = "spantally_exposure", Gauge, None, true, [open("currency"), known("bound", bounds)],
        None, "Money of open and of ambiguous attempts that may still appear on the invoice.";
    Invoiced = "spantally_reconciliation_invoiced", Gauge, None, false,
        [open("provider"), open("currency"), open("period")],
        None, "What a provider's invoice for a period says, as configured.";
    Booked = "spantally_reconciliation_booked", Gauge, None, false,
        [open("provider"), open("currency"), open("period"), known("bound", three_bounds)],
        None, "What the ledger has for jobs that began in the period of an invoice.";
    Reconciled = "spantally_reconciliation_verdict", Gauge, None, false,
        [open("provider"), open("currency"), open("period"), known("verdict", verdicts)],
        None, "1 for what an invoice is beside the ledger's bounds, 0 for what it is not.";
    RetryCostRatio = "spantally_retry_cost_ratio", Gauge, Some("ratio"), false,
        [open("provider"), open("model"), open("currency"), open("window")],
        None, "Share of the window's cost that retries, resubmissions after time-outs and duplicates caused.";
    WasteCostRatio = "spantally_waste_cost_ratio", Gauge, Some("ratio"), false,
        [open("provider"), open("model"), open("currency"), open("window")],
        None, "Share of the window's cost that is neither delivered nor unverified.";
    RateCardAge = "spantally_rate_card_age_seconds", Gauge, Some("seconds"), false, [open("provider")],
        None, "Time since the prices of a provider were last compared with their source.";
    RateCardInfo = "spantally_rate_card_info", Gauge, None, false, [open("provider"), open("as_of")],
        None, "The prices in use, by the day on which they were last compared with their source.";
    BudgetLimit = "spantally_budget_limit", Gauge, None, false, [open("budget"), open("currency")],
        None, "What a budget allows in one of its periods, in the currency of the label.";
    BudgetSpent = "spantally_budget_spent", Gauge, None, false, [open("budget"), open("currency")],
        None, "What is spent of a budget in its running period; falls to zero when the next one begins.";
    BudgetPeriodStart = "spantally_budget_period_start_timestamp_seconds", Gauge, Some("seconds"), false,
        [open("budget"), open("currency")],
        None, "When a budget's running period began, in seconds since 1970.";
    BudgetPeriodEnd = "spantally_budget_period_end_timestamp_seconds", Gauge, Some("seconds"), false,
        [open("budget"), open("currency")],
        None, "When a budget's running period ends, in seconds since 1970.";
    PrepaidBalance = "spantally_prepaid_balance", Gauge, None, false, [open("account"), open("currency")],
        None, "What is left of a prepaid account; below zero, what was spent beyond it.";
    PrepaidRunway = "spantally_prepaid_runway_seconds", Gauge, Some("seconds"), false,
        [open("account"), open("currency")],
        None,
        "Time until a prepaid account is empty at the pace of the last day; absent where nothing was spent.";
    SpansReceived = "spantally_spans_received", Counter, None, false, [known("transport", transports)],
        None, "Spans received and made durable.";
    SpansAccepted = "spantally_spans_accepted", Counter, None, false, [known("transport", transports)],
        None, "Spans that became evidence of a job, or that tell the lineage of one.";
    SpansDuplicate = "spantally_spans_duplicate", Counter, None, false, [known("transport", transports)],
        None, "Spans that had been received before.";
    SpansLate = "spantally_spans_late", Counter, None, false, [known("transport", transports)],
        None, "Spans that came after their job was forgotten.";
    SpansSurplus = "spantally_spans_surplus", Counter, None, false, [known("transport", transports)],
        None, "Polls that told nothing new of a task that has as many spans as are kept of one.";
    SpansIgnored = "spantally_spans_ignored", Counter, None, false, [known("transport", transports)],
        None, "Spans that are no generation call and tell nothing of one.";
    SpansRejected = "spantally_spans_rejected", Counter, None, false,
        [known("transport", transports), known("reason", reject_reasons)],
        None, "Spans refused, by reason.";
    Joins = "spantally_joins", Counter, None, false,
        [known("rule", join_rules), known("confidence", confidences)],
        Some(MetricId::JoinsReversed), "Joins in settled jobs, by rule and confidence.";
    JoinsReversed = "spantally_joins_reversed", Counter, None, false,
        [known("rule", join_rules), known("confidence", confidences)],
        None, "Joins taken back by a later revision.";
    LabelSets = "spantally_label_sets", Gauge, None, false, [],
        None, "Distinct sets of the common labels in use.";
    LabelSetsLimit = "spantally_label_sets_limit", Gauge, None, false, [],
        None, "How many label sets there may be before further ones are counted in one overflow set.";
    LabelSetsOverflowed = "spantally_label_sets_overflowed", Counter, None, false, [],
        None, "Times that a job had a new label set at the limit and was counted in the overflow set.";
    Limit = "spantally_limit", Gauge, None, false, [known("limit", limits)],
        None, "How much there may be of something that is bounded.";
    LimitUsed = "spantally_limit_used", Gauge, None, false, [open("limit")],
        None, "How much there is of something that is bounded, where that is one number.";
    LimitReached = "spantally_limit_reached", Counter, None, false, [known("limit", limits)],
        None,
        "Times that a bound was met: jobs settled early, ties not made, spans not kept, senders that wait.";
    AppliedCommit = "spantally_applied_commit_sequence", Gauge, None, false, [],
        None, "Sequence number of the last commit that the core has applied.";
    CheckpointedCommit = "spantally_checkpointed_commit_sequence", Gauge, None, false, [],
        None, "Sequence number of the last commit that a checkpoint covers; a restart replays what follows.";
    CommitGroups = "spantally_commit_groups", Counter, None, false, [],
        None, "Groups made durable, one flush each.";
    CommitBatches = "spantally_commit_batches", Counter, None, false, [],
        None, "Batches made durable.";
    CommitBytes = "spantally_commit_bytes", Counter, Some("bytes"), false, [],
        None, "Bytes written to the journal.";
    CommitDuration = "spantally_commit_duration_seconds", COMMIT_SECONDS, Some("seconds"), false, [],
        None, "Time to make a group durable, flush included.";
    CommitQueueBatches = "spantally_commit_queue_batches", Gauge, None, false, [],
        None, "Batches that wait to be made durable.";
    CommitQueueSpans = "spantally_commit_queue_spans", Gauge, None, false, [],
        None, "Spans in the batches that wait to be made durable.";
    CommitRefused = "spantally_commit_refused_batches", Counter, None, false, [known("reason", refusals)],
        None, "Batches refused, to be sent again, by reason.";
    JournalDropFailures = "spantally_journal_drop_failures", Counter, None, false, [],
        None, "Failures to give room in the journal back; they are tried again.";
    JournalFailing = "spantally_journal_failing", Gauge, None, false, [],
        None, "1 while the journal cannot be written.";
    LedgerBytes = "spantally_ledger_bytes", Gauge, Some("bytes"), false, [],
        None, "Bytes of the ledger file that hold something; free pages are used for new rows.";
    LedgerLimit = "spantally_ledger_limit_bytes", Gauge, Some("bytes"), false, [],
        None, "Bytes of the ledger past which the oldest rows go; absent without a limit.";
    LedgerOldest = "spantally_ledger_oldest_timestamp_seconds", Gauge, Some("seconds"), false, [],
        None, "When the oldest row of the ledger was settled, in seconds since 1970.";
    LedgerRemoved = "spantally_ledger_removed_rows", Counter, None, false, [],
        None, "Rows of the ledger that its retention removed; of these only sums are left.";
    LedgerFailing = "spantally_ledger_failing", Gauge, None, false, [],
        None, "1 while the ledger cannot be written or read.";
    StorageFaults = "spantally_storage_faults", Counter, None, false,
        [known("file", storage_files), known("fault", storage_faults)],
        None, "Failures to write the journal or the ledger, by what is wrong; they are tried again.";
    Checkpoints = "spantally_checkpoints", Counter, None, false, [known("result", results)],
        None, "Checkpoints, by result.";
    CheckpointDuration = "spantally_checkpoint_duration_seconds", CHECKPOINT_SECONDS, Some("seconds"), false,
        [],
        None, "Time to gather and write a checkpoint.";
    Requests = "spantally_otlp_requests", Counter, None, false,
        [known("transport", sockets), known("result", request_ends)],
        None, "OTLP requests, by how they ended; only accepted and partial ones are in the journal.";
    RequestBytes = "spantally_otlp_request_bytes", Counter, Some("bytes"), false,
        [known("transport", sockets)],
        None, "Bytes of OTLP request bodies, inflated.";
    InflightBytes = "spantally_otlp_inflight_bytes", Gauge, Some("bytes"), false, [],
        None, "Bytes of OTLP request bodies that are being read or made durable.";
    ConnectionsAccepted = "spantally_otlp_connections_accepted", Counter, None, false, [],
        None, "Connections to the OTLP receivers.";
    ConnectionsFailed = "spantally_otlp_connections_failed", Counter, None, false, [],
        None, "Connections that ended in an error, or brought no request in time.";
    ConnectionsOpen = "spantally_otlp_connections_open", Gauge, None, false, [],
        None, "Connections to the OTLP receivers that are open.";
    UnrecognisedRequests = "spantally_unrecognised_requests", Counter, None, false,
        [open("provider"), open("method")],
        None,
        "Requests to a provider's own host that no rule of its file takes: they are in no job and no sum.";
    SampledCalls = "spantally_sampled_calls", Counter, None, false, [open("provider")],
        None,
        "Calls whose span says that it was sampled: it stands for others that are in no job and no sum.";
    ForwardedSpans = "spantally_forward_spans", Counter, None, false,
        [open("destination"), known("outcome", span_outcomes)],
        None, "Spans to forward, by what became of them; not_queued: no room; invalid: cut out for an id.";
    ForwardStorageFaults = "spantally_forward_storage_faults", Counter, None, false,
        [open("destination"), known("fault", storage_faults)],
        None, "Failures to write a destination's queue, or its log of spans held, by what is wrong.";
    ForwardRequests = "spantally_forward_requests", Counter, None, false,
        [open("destination"), known("result", forward_results)],
        None, "Requests to a destination, by how they ended; retry is one that is sent again.";
    ForwardJobAttributes = "spantally_forward_job_attributes", Counter, None, false,
        [open("destination"), known("result", job_attributes_results)],
        None, "Spans that waited for their job, by how they went: with its attributes, or without.";
    ForwardHeldSpans = "spantally_forward_held_spans", Gauge, None, false, [open("destination")],
        None, "Spans that wait for their job.";
    ForwardHeldBytes = "spantally_forward_held_bytes", Gauge, Some("bytes"), false, [open("destination")],
        None, "Memory that spans take that wait for their job.";
    ForwardQueue = "spantally_forward_queue_bytes", Gauge, Some("bytes"), false, [open("destination")],
        None, "Bytes that wait on disk for a destination.";
    ForwardQueueLimit = "spantally_forward_queue_limit_bytes", Gauge, Some("bytes"), false,
        [open("destination")],
        None, "Most bytes that may wait for a destination.";
    ForwardUp = "spantally_forward_up", Gauge, None, false, [open("destination")],
        None, "1 if the destination took the last request.";
    ForwardDelay = "spantally_forward_delay_seconds", Gauge, Some("seconds"), false, [open("destination")],
        None, "Age of the oldest span that is being sent; 0 when none waits.";
    RulesReloads = "spantally_rules_reloads", Counter, None, false, [known("result", results)],
        None, "Times that the provider files were read again, by result; after an error the old rules stay.";
    RulesReloadGood = "spantally_rules_last_reload_successful", Gauge, None, false, [],
        None, "1 if the provider files were good when they were last read.";
    RulesReloadTime = "spantally_rules_last_reload_success_timestamp_seconds", Gauge, Some("seconds"), false,
        [],
        None, "When the provider files in force were read, in seconds since 1970.";
    TlsExpiry = "spantally_tls_certificate_expiry_timestamp_seconds", Gauge, Some("seconds"), false,
        [open("endpoint"), open("file")],
        None, "When a certificate in use of a port or a destination ends, in seconds since 1970.";
    TlsReloads = "spantally_tls_reloads", Counter, None, false, [open("endpoint"), known("result", results)],
        None,
        "Times that changed certificates were taken, or files could not be used; then the old ones stay.";
    TlsReloadGood = "spantally_tls_last_reload_successful", Gauge, None, false, [open("endpoint")],
        None, "1 if the certificate files of a port or a destination could be used at the last look.";
    BuildInfo = "spantally_build_info", Gauge, None, false, [open("version"), open("target")],
        None, "The build that is running.";
}

impl MetricId {
    /// The table's entry.
    pub fn metric(self) -> &'static Metric {
        &INVENTORY[self as usize]
    }

    /// Whether it counts since the process started, and not since the ledger did.
    pub fn is_of_process(self) -> bool {
        matches!(
            self,
            Self::StorageFaults
                | Self::Checkpoints
                | Self::CheckpointDuration
                | Self::CommitGroups
                | Self::CommitBatches
                | Self::CommitBytes
                | Self::CommitDuration
                | Self::CommitRefused
                | Self::JournalDropFailures
                | Self::Requests
                | Self::RequestBytes
                | Self::ConnectionsAccepted
                | Self::ConnectionsFailed
                | Self::UnrecognisedRequests
                | Self::SampledCalls
                | Self::RulesReloads
                | Self::TlsReloads
                | Self::LimitReached
        )
    }

    /// Whether it follows from the jobs and spans of the ledger and the journal, and not from the server
    /// around them or from files: those of the table up to the label sets, but for invoices.
    pub(crate) fn is_of_core(self) -> bool {
        let is_of_invoices = matches!(self, Self::Invoiced | Self::Booked | Self::Reconciled);
        self <= Self::LabelSetsOverflowed && !is_of_invoices
    }

    /// The metric that this one takes back from, when it is a twin.
    pub fn twin_of(self) -> Option<Self> {
        INVENTORY.iter().find(|metric| metric.twin == Some(self)).map(|metric| metric.id)
    }

    /// The metric of a name without `_total`.
    pub fn named(name: &str) -> Option<Self> {
        INVENTORY.iter().find(|metric| metric.name == name).map(|metric| metric.id)
    }
}

#[cfg(test)]
mod tests;
