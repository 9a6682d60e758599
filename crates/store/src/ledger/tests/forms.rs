//! Documents that stand in the file as forms and parts, decimals, and jobs that are found in runs.

use std::sync::Arc;

use super::*;

/// A job whose document is form 3, filled.
fn filled(id: u8) -> JobRow {
    let parts = format!(r#"["task-{id}","{id:032x}","{id:016x}"]"#).into_bytes();
    JobRow {
        detail: Detail::Filled { form: 3, parts },
        charges: Arc::default(),
        booked: vec![],
        ..job(id, 1, vec![])
    }
}

fn form() -> FormRow {
    FormRow {
        id: 3,
        key: [9; 16],
        pieces: r#"["{\"job_id\":\"",0,"\",\"started_at\":\"",1,"\",\"ended_at\":\"",2,
            "\",\"attempts\":[{\"task_id\":\"",3,"\",\"cause\":\"delivered\",\"polls\":0,\"spans\":{\"submit\":[\"",4,
            ":",5,"\"]}}]}"]"#.into(),
        charges: vec![charge("0.025"), charge("0.5")].into(),
        booked: vec![1, 2, 3],
    }
}

#[test]
fn a_form_is_filled_by_the_views_and_by_the_reader() {
    let (dir, mut ledger) = open();
    let checkpoint = Checkpoint {
        applied: Seq(1),
        forms: vec![form()],
        jobs: vec![filled(0xab), filled(0xcd)],
        ..Checkpoint::default()
    };
    ledger.checkpoint(&checkpoint).unwrap();
    let document = concat!(
        r#"{"job_id":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","started_at":"2026-11-06T21:20:00.000Z","#,
        r#""ended_at":"2026-11-06T21:20:01.500Z","attempts":[{"task_id":"task-205","cause":"delivered","#,
        r#""polls":0,"spans":{"submit":["000000000000000000000000000000cd:00000000000000cd"]}}]}"#
    );
    let published = ledger.reader().unwrap().published([0xcd; 16]).unwrap().unwrap();
    assert_eq!(published.job.detail, Detail::Whole(document.into()));
    assert_eq!(published.job.booked, [1, 2, 3]);
    assert_eq!(published.charges, [(1, charge("0.025")), (1, charge("0.5"))]);
    let other = Connection::open(dir.path().join("ledger.db")).unwrap();
    let text = |sql: &str| other.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("SELECT detail FROM jobs WHERE job_id LIKE 'cd%'"), document);
    assert_eq!(text("SELECT SUM(cost_expected) || '' FROM charges"), "1.05");
    assert_eq!(text("SELECT task_id FROM attempts WHERE job_id LIKE 'ab%'"), "task-171");
    assert_eq!(text("SELECT span_id FROM calls WHERE job_id LIKE 'ab%'"), "00000000000000ab");
    let mut forms = Vec::new();
    ledger.load_forms(|id, key, booked| forms.push((id, key, booked.to_vec()))).unwrap();
    assert_eq!(forms, [(3, [9; 16], vec![1, 2, 3])]);
}

#[test]
fn a_job_is_found_in_any_run() {
    let (dir, mut ledger) = open();
    let id =
        |number: u64| u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).rotate_left(64).to_be_bytes();
    let row = |number: u64, revision| JobRow { job_id: id(number), ..job(0, revision, vec![]) };
    let jobs = (0..40_000).map(|number| row(number, 1)).collect();
    ledger.checkpoint(&Checkpoint { applied: Seq(1), jobs, ..Checkpoint::default() }).unwrap();
    let mut ledger = reopen(&dir, ledger);
    // One job of a complete run, one of the growing one; each then stands in the newest.
    let jobs = vec![row(7, 2), row(39_999, 2)];
    ledger.checkpoint(&Checkpoint { applied: Seq(2), jobs, ..Checkpoint::default() }).unwrap();
    let reader = ledger.reader().unwrap();
    for (number, revision) in [(7, 2), (8, 1), (16_383, 1), (16_384, 1), (39_998, 1), (39_999, 2)] {
        let found = reader.published(id(number)).unwrap().map(|published| published.job.revision);
        assert_eq!(found, Some(revision), "job {number}");
    }
    assert_eq!(reader.published(id(40_000)).unwrap(), None);
    let again = Checkpoint { applied: Seq(3), jobs: vec![row(7, 2)], ..Checkpoint::default() };
    let error = ledger.checkpoint(&again).unwrap_err();
    assert!(matches!(error, StoreError::Revision { given: 2, newest: 2, .. }), "{error}");
}

#[test]
fn every_decimal_comes_back_as_it_was() {
    let (_dir, mut ledger) = open();
    let texts = ["0", "0.00", "-79228162514264337593543950335", "-0.0000000000000000000000000001", "12.3400"];
    let charges = texts.map(charge).to_vec();
    ledger
        .checkpoint(&Checkpoint { applied: Seq(1), jobs: vec![job(1, 1, charges)], ..Checkpoint::default() })
        .unwrap();
    let published = ledger.reader().unwrap().published([1; 16]).unwrap().unwrap();
    let back: Vec<String> = published.charges.iter().map(|(_, charge)| charge.cost_max.to_string()).collect();
    assert_eq!(back, texts);
}
