//! What the queries of the page answer about ledgers of a few jobs: charges and jobs that a revision took
//! back, several currencies, days without use, speech that is no session.

use super::*;

/// What a query of the page, by its number, says of a ledger of these rows, in the order in which they were
/// settled.
#[track_caller]
fn check(number: usize, jobs: Vec<JobRow>, expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(directory.path()).unwrap()).unwrap();
    for job in jobs {
        checkpoint(&mut ledger, vec![job], Vec::new());
    }
    let answer = ask(directory.path(), queries()[number - 1]);
    let cells = |text: &str| text.trim_end().split(['|', '\n']).map(str::to_owned).collect::<Vec<_>>();
    let (found, expected) = (cells(&answer), cells(expected));
    let same = found.len() == expected.len() && found.iter().zip(&expected).all(|(a, b)| is_same(a, b));
    assert!(same, "query {number}\n{answer}\nexpected\n{expected:?}");
}

/// Times of SQLite are days as floating point: a minute is off by some microseconds.
fn is_same(found: &str, expected: &str) -> bool {
    match (found.parse::<f64>(), expected.parse::<f64>()) {
        (Ok(found), Ok(expected)) => (found - expected).abs() <= expected.abs() * 1e-5,
        _ => found == expected,
    }
}

fn succeeded(id: u128, attempts: &str, charges: Vec<ChargeRow>) -> JobRow {
    odd(id, "succeeded", None, attempts, charges)
}

fn failed(id: u128, attempts: &str, charges: Vec<ChargeRow>) -> JobRow {
    odd(id, "failed", Some("client_timeout"), attempts, charges)
}

/// A later revision of what a job was, with the charges that are to be added to those before.
fn revision(job: JobRow, differences: Vec<ChargeRow>) -> JobRow {
    JobRow { revision: 2, charges: differences.into(), settled_at: SETTLED_AT + 60_000_000_000, ..job }
}

/// A job whose evidence belongs to another one: nothing of it is left.
fn superseded(id: u128, differences: Vec<ChargeRow>) -> JobRow {
    JobRow { state: "superseded".into(), ..revision(odd(id, "unknown", None, "", Vec::new()), differences) }
}

fn plain(number: u64, cause: &str) -> String {
    attempt(number, cause, "null", "")
}

fn of_attempt(attempt: u32, charge: ChargeRow) -> ChargeRow {
    ChargeRow { attempt, ..charge }
}

fn back(charge: ChargeRow) -> ChargeRow {
    ChargeRow {
        quantity: -charge.quantity,
        cost_min: -charge.cost_min,
        cost_expected: -charge.cost_expected,
        cost_max: -charge.cost_max,
        ..charge
    }
}

/// Two jobs of a charge of 0.025 each, which later evidence makes one of two attempts.
fn joined_later() -> Vec<JobRow> {
    let duplicate = of_attempt(1, charge("duplicate", 25));
    let both = vec![charge("delivered", 25), duplicate.clone()];
    vec![
        succeeded(1, &plain(1, "delivered"), vec![charge("delivered", 25)]),
        succeeded(2, &plain(3, "delivered"), vec![charge("delivered", 25)]),
        revision(
            succeeded(1, &[plain(1, "delivered"), plain(3, "duplicate")].join(","), both),
            vec![duplicate],
        ),
        superseded(2, vec![back(charge("delivered", 25))]),
    ]
}

#[test]
fn a_charge_that_was_taken_back_is_no_price_point() {
    check(6, joined_later(), "fal|flux|image|0.025|USD|1|1.0|0.025");
}

#[test]
fn a_superseded_job_is_no_job_of_one_attempt() {
    check(12, joined_later(), "fal|flux|1|2.0|2|1.0");
}

#[test]
fn a_charge_that_was_taken_back_leaves_nothing_to_test() {
    check(
        25,
        joined_later(),
        "fal|fal/image|delivered|USD|1|0.05|0.05\nfal|fal/image|duplicate|USD|1|0.05|0.05",
    );
}

/// Late evidence says that the failure was free, which no sum tells from a charge that fell.
#[test]
fn charges_of_failures_are_those_that_stand() {
    let guessed = ChargeRow { basis: "assumed".into(), ..charge("failed", 25) };
    let free = charge("failed", 0);
    let jobs = vec![
        failed(1, &plain(1, "failed"), vec![guessed.clone()]),
        failed(2, &plain(3, "failed"), vec![free.clone()]),
        revision(failed(1, &plain(1, "failed"), vec![free.clone()]), vec![back(guessed), free.clone()]),
        superseded(2, vec![]),
        failed(3, &plain(5, "failed"), vec![charge("failed", 25)]),
    ];
    check(8, jobs, "fal|failed|documented|USD|2|1|0.025");
}

#[test]
fn currencies_of_a_failed_job_are_not_added_up() {
    let yuan = ChargeRow { currency: "CNY".into(), ..charge("failed", 3000) };
    let unpriced =
        ChargeRow { unit_price: None, basis: "unpriced".into(), currency: "".into(), ..charge("failed", 0) };
    let jobs = vec![failed(1, &plain(1, "failed"), vec![charge("failed", 25), yuan, unpriced])];
    let id = format!("{:032x}", u128::from_be_bytes(job(1, SETTLED_AT).job_id));
    let row = format!("{id}|clips|flux|client_timeout");
    check(9, jobs, &format!("{row}|CNY|3.0|6.0\n{row}|USD|0.025|0.05"));
}

/// Three time-outs of a job: two were submitted again, the third was the end.
#[test]
fn time_outs_are_counted_and_cost_what_their_attempts_do() {
    let causes = ["timeout_resubmit", "timeout_resubmit", "failed"];
    let attempts = causes.map(|cause| attempt(1, cause, "\"client_timeout\"", ""));
    let half = |(at, cause)| ChargeRow {
        attempt: at,
        cost_expected: Decimal::new(125, 4),
        cost_max: Decimal::new(1, 1),
        ..charge(cause, 0)
    };
    let charges = (0..).zip(causes).map(half).collect();
    let other = attempt(7, "timeout_resubmit", "\"provider_error\"", "");
    let jobs = vec![
        failed(1, &attempts.join(","), charges),
        failed(2, &[other, plain(9, "failed")].join(","), vec![charge("timeout_resubmit", 25)]),
    ];
    check(11, jobs, "fal|client_timeout|3|1|30|3|USD|0.0375|0.3");
}

#[test]
fn what_has_no_price_is_counted_while_it_stands() {
    let unpriced = ChargeRow {
        unit_price: None,
        basis: "unpriced".into(),
        currency: "".into(),
        ..charge("delivered", 0)
    };
    let jobs = vec![
        succeeded(1, &plain(1, "delivered"), vec![unpriced.clone()]),
        succeeded(2, &plain(3, "delivered"), vec![unpriced.clone()]),
        superseded(2, vec![back(unpriced)]),
    ];
    check(16, jobs, "fal|flux|text_to_image|image|1.0|1");
}

/// Ten days, of which a model was used on one for 3.80: ten times that over thirty days is 114.
#[test]
fn ten_times_the_volume_counts_the_days_without_use() {
    let of = |model: &'static str, cost| ChargeRow { model: model.into(), ..charge("delivered", cost) };
    let on = |day: u64, id, charges| JobRow {
        settled_at: SETTLED_AT + day * DAY,
        ..succeeded(id, &plain(1, "delivered"), charges)
    };
    let jobs = vec![
        on(0, 1, vec![of("flux", 100)]),
        on(4, 2, vec![of("sora-2", 3800)]),
        on(9, 3, vec![of("flux", 100)]),
    ];
    check(20, jobs, "fal|sora-2|USD|114.0|228.0\nfal|flux|USD|6.0|12.0");
}

fn leg(number: u64, leg: &str, is_joined: bool) -> String {
    let joins = if is_joined { r#"[{"rule":"session","confidence":"exact"}]"# } else { "[]" };
    plain(number, "delivered").replace(r#""joins":[]"#, &format!(r#""joins":{joins},"leg":"{leg}""#))
}

fn spoken(operation: &'static str, millionths: i64) -> ChargeRow {
    ChargeRow {
        operation: operation.into(),
        cost_expected: Decimal::new(millionths, 6),
        ..charge("delivered", 0)
    }
}

/// A session of a minute, beside narration, a transcription, chats of one call, and a chat of two.
#[test]
fn a_minute_of_voice_is_one_of_a_session() {
    const MINUTE: u64 = 60_000_000_000;
    let minute = |job: JobRow| JobRow { started_at: job.ended_at - MINUTE, ..job };
    let (chat, speech) = ("chat", "text_to_speech");
    let session = [leg(1, "language_model", false), leg(3, "text_to_speech", true)].join(",");
    let typed = [leg(5, "language_model", false), leg(7, "language_model", true)].join(",");
    let retried = [plain(9, "retry"), leg(11, "text_to_speech", false)].join(",");
    let beside = || {
        vec![
            minute(succeeded(2, &leg(13, "text_to_speech", false), vec![spoken(speech, 900)])),
            succeeded(3, &leg(15, "speech_to_text", false), vec![spoken("speech_to_text", 900)]),
            succeeded(4, &leg(17, "language_model", false), vec![spoken(chat, 900)]),
            succeeded(5, &typed, vec![spoken(chat, 900)]),
            succeeded(6, &retried, vec![spoken(speech, 900)]),
        ]
    };
    let alone = "fal|text_to_speech|USD|0.1015|0.1015|\nfal|chat|USD|0.000698|0.000698|";
    let voice = minute(succeeded(1, &session, vec![spoken(chat, 698), spoken(speech, 101_500)]));
    check(22, [vec![voice.clone()], beside()].concat(), alone);
    // Its turns are no attempts of one another.
    check(12, vec![voice], "fal|flux|1|1.0|1|0.0");
    // Turns of speech alone, and a connection that stays open, are sessions as well.
    let turns = [leg(19, "text_to_speech", false), leg(21, "text_to_speech", true)].join(",");
    check(
        22,
        [vec![minute(succeeded(7, &turns, vec![spoken(speech, 5000)]))], beside()].concat(),
        "fal|text_to_speech|USD|0.005|0.005|",
    );
    let open = plain(23, "delivered").replace(r#""submit""#, r#""session""#);
    check(
        22,
        [vec![minute(succeeded(8, &open, vec![spoken("realtime", 7000)]))], beside()].concat(),
        "fal|realtime|USD|0.007|0.007|",
    );
}

/// The first attempt turns out to have been replaced: the second one is what was delivered.
#[test]
fn what_was_billed_for_what_was_told_is_what_stands() {
    let facts = r#","facts":[{"name":"seconds","value":"5","source":"request"}]"#;
    let told = |number, cause: &str| attempt(number, cause, "null", facts);
    let second = |charge: ChargeRow| ChargeRow { unit: "second".into(), ..charge };
    let first = second(charge("delivered", 25));
    let (fell, stands) = (second(charge("duplicate", 25)), of_attempt(1, second(charge("delivered", 25))));
    let jobs = vec![
        succeeded(1, &told(1, "delivered"), vec![first.clone()]),
        revision(
            succeeded(1, &[told(1, "duplicate"), told(3, "delivered")].join(","), vec![]),
            vec![back(first), fell, stands],
        ),
    ];
    check(24, jobs, "fal|flux|seconds|request|5|second|1|1.0|1.0");
}
