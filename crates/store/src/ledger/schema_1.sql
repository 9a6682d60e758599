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

-- One row a revision of a job. Never updated, never deleted.
CREATE TABLE job_row(
    id INTEGER PRIMARY KEY,
    job_id BLOB NOT NULL,
    revision INTEGER NOT NULL,
    state TEXT NOT NULL,
    tenant TEXT NOT NULL,
    service TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    operation TEXT NOT NULL,
    outcome TEXT NOT NULL,
    failure_reason TEXT,
    attempts INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    settled_at INTEGER NOT NULL,
    detail BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX job_row_by_job ON job_row(job_id, revision);
CREATE INDEX job_row_by_time ON job_row(settled_at);

-- What a revision adds to, or takes from, what the revisions before it charged.
CREATE TABLE charge_row(
    job_row INTEGER NOT NULL REFERENCES job_row(id),
    number INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    operation TEXT NOT NULL,
    unit TEXT NOT NULL,
    quantity TEXT NOT NULL,
    unit_price TEXT,
    cost_min TEXT NOT NULL,
    cost_expected TEXT NOT NULL,
    cost_max TEXT NOT NULL,
    currency TEXT NOT NULL,
    cause TEXT NOT NULL,
    basis TEXT NOT NULL,
    rule TEXT NOT NULL,
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
SELECT lower(hex(job_id)) AS job_id, revision, state, tenant, service, provider, model, operation, outcome,
       failure_reason, attempts,
       strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1e9, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', ended_at / 1e9, 'unixepoch') AS ended_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', settled_at / 1e9, 'unixepoch') AS settled_at,
       CAST(detail AS TEXT) AS detail
FROM job_row AS job
WHERE NOT EXISTS (
    SELECT 1 FROM job_row AS newer WHERE newer.job_id = job.job_id AND newer.revision > job.revision
);

CREATE VIEW charges AS
SELECT lower(hex(job.job_id)) AS job_id, job.revision, charge.attempt, job.tenant, job.service, charge.provider,
       charge.model, charge.operation, charge.unit, charge.quantity, charge.unit_price, charge.cost_min,
       charge.cost_expected, charge.cost_max, charge.currency, charge.cause, charge.basis, charge.rule,
       strftime('%Y-%m-%dT%H:%M:%fZ', job.settled_at / 1e9, 'unixepoch') AS settled_at
FROM charge_row AS charge JOIN job_row AS job ON job.id = charge.job_row;

CREATE VIEW attempts AS
SELECT jobs.job_id, jobs.revision, attempt.key AS attempt, jobs.tenant, jobs.service, jobs.provider, jobs.model,
       jobs.operation,
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
