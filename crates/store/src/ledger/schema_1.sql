-- Version 1. A released step is never edited: a change is a new step.

-- Single values of the server; 'applied' is the journal position that everything here includes.
CREATE TABLE meta(
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Live state: jobs that are open, and settled ones that may still get late evidence. Numbered by creation and
-- not by job id, so that what changes together lies together.
CREATE TABLE open_state(
    number INTEGER PRIMARY KEY,
    state BLOB NOT NULL
) STRICT;

-- The counters as they stand, so that a restart neither resets nor lowers them.
CREATE TABLE counter(
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    value TEXT NOT NULL,
    start_unix_nanos INTEGER NOT NULL,
    PRIMARY KEY (name, labels)
) STRICT, WITHOUT ROWID;

-- What many jobs share stands once; '' is "none". A row is never changed, so that a number keeps its meaning.
CREATE TABLE job_kind(
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    tenant TEXT NOT NULL,
    service TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    operation TEXT NOT NULL,
    outcome TEXT NOT NULL,
    failure_reason TEXT NOT NULL,
    UNIQUE (state, tenant, service, provider, model, operation, outcome, failure_reason)
) STRICT;

-- The same for charges.
CREATE TABLE charge_kind(
    id INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    operation TEXT NOT NULL,
    unit TEXT NOT NULL,
    unit_price TEXT NOT NULL,
    currency TEXT NOT NULL,
    cause TEXT NOT NULL,
    basis TEXT NOT NULL,
    rule TEXT NOT NULL,
    UNIQUE (provider, model, operation, unit, unit_price, currency, cause, basis, rule)
) STRICT;

-- One row a revision of a job. Never updated, never deleted.
CREATE TABLE job_row(
    id INTEGER PRIMARY KEY,
    job_id BLOB NOT NULL,
    revision INTEGER NOT NULL,
    -- The row of the revision before; none for the first.
    replaces INTEGER REFERENCES job_row(id),
    kind INTEGER NOT NULL REFERENCES job_kind(id),
    attempts INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    settled_at INTEGER NOT NULL,
    detail BLOB NOT NULL
) STRICT;
-- By job, within runs of 65,536 rows: job ids are random, and this keeps what a checkpoint touches small
-- however large the file is. Who looks a job up asks one run after another, newest first.
CREATE UNIQUE INDEX job_row_by_job ON job_row(id >> 16, job_id, revision);
CREATE UNIQUE INDEX job_row_replaced ON job_row(replaces) WHERE replaces IS NOT NULL;

-- What a revision adds to, or takes from, what the revisions before it charged.
CREATE TABLE charge_row(
    job_row INTEGER NOT NULL REFERENCES job_row(id),
    number INTEGER NOT NULL,
    kind INTEGER NOT NULL REFERENCES charge_kind(id),
    attempt INTEGER NOT NULL,
    quantity TEXT NOT NULL,
    cost_expected TEXT NOT NULL,
    -- None when they are the expected cost.
    cost_min TEXT,
    cost_max TEXT,
    PRIMARY KEY (job_row, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER job_row_update BEFORE UPDATE ON job_row
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: append a revision'); END;
CREATE TRIGGER job_row_delete BEFORE DELETE ON job_row
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: append a revision'); END;
CREATE TRIGGER charge_row_update BEFORE UPDATE ON charge_row
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: append a revision'); END;
CREATE TRIGGER charge_row_delete BEFORE DELETE ON charge_row
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: append a revision'); END;

-- The views that docs/ledger.md promises to keep.
CREATE VIEW jobs AS
SELECT lower(hex(job.job_id)) AS job_id, job.revision, kind.state, kind.tenant, kind.service, kind.provider,
       kind.model, kind.operation, kind.outcome, nullif(kind.failure_reason, '') AS failure_reason,
       job.attempts,
       strftime('%Y-%m-%dT%H:%M:%fZ', job.started_at / 1e9, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', job.ended_at / 1e9, 'unixepoch') AS ended_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', job.settled_at / 1e9, 'unixepoch') AS settled_at,
       CAST(job.detail AS TEXT) AS detail
FROM job_row AS job JOIN job_kind AS kind ON kind.id = job.kind
WHERE NOT EXISTS (SELECT 1 FROM job_row AS newer WHERE newer.replaces = job.id);

CREATE VIEW charges AS
SELECT lower(hex(job.job_id)) AS job_id, job.revision, charge.attempt, owner.tenant, owner.service,
       kind.provider, kind.model, kind.operation, kind.unit, charge.quantity,
       nullif(kind.unit_price, '') AS unit_price,
       ifnull(charge.cost_min, charge.cost_expected) AS cost_min, charge.cost_expected,
       ifnull(charge.cost_max, charge.cost_expected) AS cost_max, kind.currency, kind.cause, kind.basis,
       kind.rule, strftime('%Y-%m-%dT%H:%M:%fZ', job.settled_at / 1e9, 'unixepoch') AS settled_at
FROM charge_row AS charge
JOIN charge_kind AS kind ON kind.id = charge.kind
JOIN job_row AS job ON job.id = charge.job_row
JOIN job_kind AS owner ON owner.id = job.kind;

CREATE VIEW attempts AS
SELECT jobs.job_id, jobs.revision, attempt.key AS attempt, jobs.tenant, jobs.service, jobs.provider,
       jobs.model, jobs.operation,
       attempt.value ->> 'task_id' AS task_id,
       attempt.value ->> 'accepted' AS accepted,
       attempt.value ->> 'outcome' AS outcome,
       attempt.value ->> 'failure_reason' AS failure_reason,
       attempt.value ->> 'cause' AS cause,
       attempt.value ->> 'polls' AS polls,
       attempt.value -> 'joins' AS joins
FROM jobs, json_each(jobs.detail, '$.attempts') AS attempt;

CREATE VIEW calls AS
SELECT jobs.job_id, jobs.revision, attempt.key AS attempt, role.key AS call,
       substr(span.value, 1, 32) AS trace_id, substr(span.value, 34) AS span_id
FROM jobs, json_each(jobs.detail, '$.attempts') AS attempt, json_each(attempt.value, '$.spans') AS role,
     json_each(role.value) AS span;
