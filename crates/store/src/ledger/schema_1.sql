-- Version 1. A released step is never edited: a change is a new step.

-- Single values of the server; 'applied' is the journal position that everything here includes, 'done' the one
-- up to which nothing of the journal is needed any more.
CREATE TABLE meta(
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Live state whose arrival the journal no longer has: spans of jobs that are open, and of settled ones that may
-- still get late evidence. Numbered by creation and not by job id, so that what changes together lies together.
CREATE TABLE open_state(
    number INTEGER PRIMARY KEY,
    state BLOB NOT NULL
) STRICT;

-- When the journal's rows were applied: those up to 'applied', and after that of the turn before, between the
-- moments of the two turns.
CREATE TABLE turn(
    applied INTEGER PRIMARY KEY,
    unix_nanos INTEGER NOT NULL,
    mark BLOB NOT NULL
) STRICT;

-- What was forgotten, so that what still comes for it is known to be late: fingerprints of 8 bytes, little-endian,
-- those of a checkpoint in one row. The oldest rows go when there are more than a million.
CREATE TABLE tombstone(
    id INTEGER PRIMARY KEY,
    marks BLOB NOT NULL
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

-- What many job documents share stands once: the text of the document in pieces, with the numbers of the parts
-- that stand between them. Parts 0, 1 and 2 are the job's id, start and end; from 3 on they are the row's own.
CREATE TABLE form(
    id INTEGER PRIMARY KEY,
    -- Fingerprint of what is shared.
    key BLOB NOT NULL,
    -- A JSON array of texts and of numbers of parts.
    pieces TEXT NOT NULL,
    -- As job_row.charges and job_row.booked.
    charges TEXT NOT NULL,
    booked BLOB NOT NULL
) STRICT;

-- One row a revision of a job. Never updated; deleted from the oldest on when the retention says so.
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
    -- Fingerprint of what the job's spans say: equal ones need no new revision.
    digest INTEGER NOT NULL,
    -- The form of its document; none when it stands in `parts` as a whole.
    form INTEGER REFERENCES form(id),
    -- What fills the form, a JSON array; or the document.
    parts BLOB NOT NULL,
    -- What the revision adds to, or takes from, what those before it charged: a JSON array of
    -- [charge_kind, attempt, quantity, cost_expected, cost_min, cost_max], the last two null when they are
    -- the expected cost. None: as in the form.
    charges TEXT,
    -- What it adds to the counters, for the server. None: as in the form.
    booked BLOB,
    -- The job as the views show it. It takes no room; as a column, and not an expression of the views, SQLite can
    -- make an index over it for a query that joins two of them.
    hex_id TEXT AS (lower(hex(job_id))) VIRTUAL
) STRICT;
CREATE UNIQUE INDEX job_row_replaced ON job_row(replaces) WHERE replaces IS NOT NULL;

-- By job, within runs of 16,384 rows: ids are random, and an index over all of them would touch a page a job.
-- A complete run has the beginnings of its ids with the rows' places in it, sorted; 10 bytes each.
CREATE TABLE job_run(
    run INTEGER PRIMARY KEY,
    ids BLOB NOT NULL
) STRICT;

-- What rows that the retention removed added up to. Days are counted from 1970-01-01, in UTC, and are those on
-- which the rows were settled.
CREATE TABLE removed_charge(
    day INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    service TEXT NOT NULL,
    kind INTEGER NOT NULL REFERENCES charge_kind(id),
    rows INTEGER NOT NULL,
    quantity TEXT NOT NULL,
    cost_min TEXT NOT NULL,
    cost_expected TEXT NOT NULL,
    cost_max TEXT NOT NULL,
    PRIMARY KEY (day, tenant, service, kind)
) STRICT, WITHOUT ROWID;
-- Jobs by what they were in their newest revision.
CREATE TABLE removed_job(
    day INTEGER NOT NULL,
    kind INTEGER NOT NULL REFERENCES job_kind(id),
    jobs INTEGER NOT NULL,
    PRIMARY KEY (day, kind)
) STRICT, WITHOUT ROWID;
-- What these jobs had added to the counters, by the server's key of a series.
CREATE TABLE removed_entry(
    series INTEGER PRIMARY KEY,
    amount TEXT NOT NULL
) STRICT;

CREATE TRIGGER job_row_update BEFORE UPDATE ON job_row
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: append a revision'); END;
CREATE TRIGGER job_row_delete BEFORE DELETE ON job_row
    WHEN OLD.id > ifnull((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'removed_to'), 0)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: append a revision'); END;
CREATE TRIGGER form_update BEFORE UPDATE ON form
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: append a form'); END;
CREATE TRIGGER form_delete BEFORE DELETE ON form
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: append a form'); END;

-- Every revision with its words and its document, for the server and for the views below.
CREATE VIEW job_revision AS
SELECT job.id, job.job_id, job.hex_id, job.revision, kind.state, kind.tenant, kind.service, kind.provider, kind.model,
       kind.operation, kind.outcome, nullif(kind.failure_reason, '') AS failure_reason, job.attempts,
       job.started_at, job.ended_at, job.settled_at, job.digest, job.replaces,
       CASE WHEN job.form IS NULL THEN CAST(job.parts AS TEXT) ELSE (
           -- Pieces come in the order of the array; to say so inside the aggregate takes SQLite 3.44.
           SELECT group_concat(
               CASE
                   WHEN piece.type = 'text' THEN piece.value
                   WHEN piece.value = 0 THEN job.hex_id
                   WHEN piece.value = 1 THEN strftime('%Y-%m-%dT%H:%M:%S', job.started_at / 1000000000, 'unixepoch')
                       || printf('.%03dZ', job.started_at / 1000000 % 1000)
                   WHEN piece.value = 2 THEN strftime('%Y-%m-%dT%H:%M:%S', job.ended_at / 1000000000, 'unixepoch')
                       || printf('.%03dZ', job.ended_at / 1000000 % 1000)
                   ELSE CAST(job.parts AS TEXT) ->> (piece.value - 3)
               END, '')
           FROM json_each(form.pieces) AS piece)
       END AS detail,
       ifnull(job.charges, form.charges) AS charges, ifnull(job.booked, form.booked) AS booked
FROM job_row AS job JOIN job_kind AS kind ON kind.id = job.kind LEFT JOIN form ON form.id = job.form;

-- The views that docs/ledger.md promises to keep.
CREATE VIEW jobs AS
SELECT job.hex_id AS job_id, job.revision, job.state, job.tenant, job.service, job.provider,
       job.model, job.operation, job.outcome, job.failure_reason, job.attempts,
       strftime('%Y-%m-%dT%H:%M:%S', job.started_at / 1000000000, 'unixepoch')
           || printf('.%03dZ', job.started_at / 1000000 % 1000) AS started_at,
       strftime('%Y-%m-%dT%H:%M:%S', job.ended_at / 1000000000, 'unixepoch')
           || printf('.%03dZ', job.ended_at / 1000000 % 1000) AS ended_at,
       strftime('%Y-%m-%dT%H:%M:%S', job.settled_at / 1000000000, 'unixepoch')
           || printf('.%03dZ', job.settled_at / 1000000 % 1000) AS settled_at,
       job.detail
FROM job_revision AS job
WHERE NOT EXISTS (SELECT 1 FROM job_row AS newer WHERE newer.replaces = job.id);

CREATE VIEW charges AS
SELECT job.hex_id AS job_id, job.revision, charge.value ->> 1 AS attempt, owner.tenant,
       owner.service, kind.provider, kind.model, kind.operation, kind.unit, charge.value ->> 2 AS quantity,
       nullif(kind.unit_price, '') AS unit_price,
       ifnull(charge.value ->> 4, charge.value ->> 3) AS cost_min, charge.value ->> 3 AS cost_expected,
       ifnull(charge.value ->> 5, charge.value ->> 3) AS cost_max, kind.currency, kind.cause, kind.basis,
       kind.rule,
       strftime('%Y-%m-%dT%H:%M:%S', job.settled_at / 1000000000, 'unixepoch')
           || printf('.%03dZ', job.settled_at / 1000000 % 1000) AS settled_at
FROM job_row AS job
LEFT JOIN form ON form.id = job.form
JOIN job_kind AS owner ON owner.id = job.kind
JOIN json_each(ifnull(job.charges, form.charges)) AS charge
JOIN charge_kind AS kind ON kind.id = charge.value ->> 0;

CREATE VIEW attempts AS
SELECT jobs.job_id, jobs.revision, attempt.key AS attempt, jobs.tenant, jobs.service, jobs.provider,
       jobs.model, jobs.operation,
       attempt.value ->> 'task_id' AS task_id,
       attempt.value ->> 'accepted' AS accepted,
       attempt.value ->> 'outcome' AS outcome,
       attempt.value ->> 'failure_reason' AS failure_reason,
       attempt.value ->> 'cause' AS cause,
       attempt.value ->> 'polls' AS polls,
       attempt.value -> 'joins' AS joins,
       attempt.value ->> 'leg' AS leg
FROM jobs, json_each(jobs.detail, '$.attempts') AS attempt;

CREATE VIEW calls AS
SELECT jobs.job_id, jobs.revision, attempt.key AS attempt, role.key AS call,
       substr(span.value, 1, 32) AS trace_id, substr(span.value, 34) AS span_id
FROM jobs, json_each(jobs.detail, '$.attempts') AS attempt, json_each(attempt.value, '$.spans') AS role,
     json_each(role.value) AS span;

-- A document has the values in the order of the configuration of its time. What they were called then is in
-- 'label_names': a list of [first row, [name, ...]] in the order of rows.
CREATE VIEW labels AS
SELECT job.hex_id AS job_id, job.revision, name.value AS name, label.value AS value
FROM job_revision AS job
JOIN json_each((
    SELECT change.value -> 1 FROM meta, json_each(CAST(meta.value AS TEXT)) AS change
    WHERE meta.name = 'label_names' AND change.value ->> 0 <= job.id
    ORDER BY change.key DESC LIMIT 1
)) AS name
JOIN json_each(job.detail, '$.labels') AS label ON label.key = name.key
WHERE label.value <> '' AND NOT EXISTS (SELECT 1 FROM job_row AS newer WHERE newer.replaces = job.id);

CREATE VIEW removed_charges AS
SELECT date(removed.day * 86400, 'unixepoch') AS day, removed.tenant, removed.service, kind.provider, kind.model,
       kind.operation, kind.unit, removed.quantity, nullif(kind.unit_price, '') AS unit_price,
       removed.cost_min, removed.cost_expected, removed.cost_max, kind.currency, kind.cause, kind.basis,
       kind.rule, removed.rows
FROM removed_charge AS removed JOIN charge_kind AS kind ON kind.id = removed.kind;

CREATE VIEW removed_jobs AS
SELECT date(removed.day * 86400, 'unixepoch') AS day, kind.state, kind.tenant, kind.service, kind.provider,
       kind.model, kind.operation, kind.outcome, nullif(kind.failure_reason, '') AS failure_reason, removed.jobs
FROM removed_job AS removed JOIN job_kind AS kind ON kind.id = removed.kind;
