use std::path::Path;

use spantally_providers::CorrelationConfig;

use super::*;
use crate::config::Settings;
use crate::job_json::JobDocument;
use crate::provider_files::ProviderFiles;
use crate::replay::{Recording, Replay, input};

#[test]
fn what_is_free_has_not_the_words_of_what_has_no_price() {
    let doc = |quantity: &str, unpriced: &str| -> JobDoc {
        let text = format!(
            r#"{{"job_id":"1","revision":1,"state":"settled","tenant":"","service":"s","provider":"clips",
            "model":"m","operation":"o","outcome":"rejected","failure_reason":null,"spans":[],
            "started_at":"2026-11-20T10:00:00.000Z","ended_at":"2026-11-20T10:00:01.000Z","attempts":[],
            "charges":[{{"attempt":0,"unit":"clip","quantity":"{quantity}","unit_price":null,"cost":null,
            "currency":null,"cause":"failed","basis":"documented","rule":"clips/clip"}}],"cost":{{}},
            "unpriced":[{unpriced}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    let unpriced = r#"{"attempt":0,"reason":"no_price"}"#;
    for (quantity, unpriced, words, cell) in [
        ("0", "", "nothing", "0"),
        ("0.00", "", "nothing", "0"),
        ("0", unpriced, "no price", ""),
        ("1", unpriced, "no price", ""),
        ("1", "", "no price", ""),
    ] {
        let doc = doc(quantity, unpriced);
        assert_eq!(doc.cost_text(), words, "{quantity} {unpriced}");
        let mut line = Vec::new();
        crate::cli::job_table::write_job(&mut line, &doc).unwrap();
        let cells = format!("{cell},{cell},{cell},{cell},{cell},\n");
        assert!(String::from_utf8(line).unwrap().ends_with(&format!(",,{cells}")), "{quantity} {unpriced}");
    }
}

#[test]
fn reading_and_writing_changes_nothing() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/captures");
    let open = |name: &&str| {
        let raw = input::open(&captures.join(name).join("capture.otlp.gz")).unwrap();
        Recording::new((*name).to_owned(), input::plain(raw).unwrap()).unwrap()
    };
    let providers = ProviderFiles::load(None, &CorrelationConfig::default()).unwrap();
    let replay = Replay::new(&Settings::default(), &providers);
    let found = replay.run(["bare-new", "rich-new"].iter().map(open).collect());
    assert!(found.jobs.len() > 300, "{}", found.jobs.len());
    for settled in &found.jobs {
        let (job, bill, revision) = (&settled.job, &settled.bill, settled.revision);
        let text = JobDocument { job, bill, revision }.to_json().unwrap();
        let read: JobDoc = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
