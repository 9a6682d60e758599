//! Exports as they come: rows, the export that they are of, and what is wrong with them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::Write as _;
use std::sync::LazyLock;

use super::*;

/// Read once: that takes longer than all that is done with it.
static FAL: LazyLock<Vec<Export>> = LazyLock::new(|| {
    let (name, text) = spantally_providers::builtin::TEXTS
        .iter()
        .find(|(_, text)| text.contains("provider: fal\n"))
        .unwrap();
    spantally_providers::load(name, text).unwrap().exports()
});

/// What a file of these bytes comes to: its rows as `id cost` with their lines, or why it cannot be read.
fn rows_of(bytes: &[u8]) -> Result<(Vec<String>, Rows), String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let mut exports = FAL.clone();
    exports.push(Export::focus());
    let candidates = Candidates { provider: "fal".to_owned(), exports };
    let mut rows = Rows::default();
    match file::read(file.path(), &candidates, &mut rows) {
        Ok(_) => {
            let shown = rows.read.iter().map(|(row, place)| {
                let cost = row.cost.map(|cost| cost.to_string()).unwrap_or_default();
                format!("{}: {} {cost}", place.line, row.task_id.as_deref().unwrap_or("-"))
            });
            Ok((shown.collect(), rows))
        }
        Err(failure) => {
            let said = format!("{failure:?}").replace("\n  │ ", " ");
            Err(said.replace(&file.path().display().to_string(), "FILE"))
        }
    }
}

const HEADER: &str = "request_id,timestamp,output_units,cost_estimate_nano_usd\n";

#[test]
fn every_form_of_an_export_gives_the_same_rows() {
    let row = concat!(
        r#"{"request_id":"a","timestamp":"2026-11-20T10:00:00Z","#,
        r#""output_units":1,"cost_estimate_nano_usd":25000000}"#
    );
    let csv = format!("{HEADER}a,2026-11-20T10:00:00Z,1,25000000\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(csv.as_bytes()).unwrap();
    for (bytes, line) in [
        (csv.clone().into_bytes(), 2),
        (gzip.finish().unwrap(), 2),
        (format!("\u{feff}{csv}").into_bytes(), 2),
        (csv.replace('\n', "\r\n").into_bytes(), 2),
        (csv.replace(',', ";").into_bytes(), 2),
        (csv.replace(',', "\t").into_bytes(), 2),
        (format!("{HEADER}\"a\",\"2026-11-20T10:00:00Z\", 1 ,\"25000000\"").into_bytes(), 2),
        (format!("[{row}]").into_bytes(), 1),
        (format!("{row}\n").into_bytes(), 1),
        (format!(r#"{{"billing_events":[{row}],"has_more":false}}"#).into_bytes(), 1),
        (format!("\n\n{{\"has_more\":true,\n\"billing_events\":[\n{row}]}}").into_bytes(), 5),
        (format!("{{\"billing_events\":[]}}\n{{\"billing_events\":[{row}]}}").into_bytes(), 2),
        (format!("[{{\"billing_events\":[{row}]}}]").into_bytes(), 1),
    ] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (rows, read) = rows_of(&bytes).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((rows, read.skipped), (vec![format!("{line}: a 0.025")], 0), "{text}");
    }
}

#[test]
fn a_row_that_cannot_be_read_is_skipped_and_told() {
    let csv = format!(
        "{HEADER}a,2026-11-20T10:00:00Z,1,25000000\nb,2026-11-20T10:00:00Z,1,much\nc,1\n\
         \"d\nd\",2026-11-20T10:00:00Z,1,1\n{},2026-11-20T10:00:00Z,1,1\ne,2026-11-20T10:00:00Z,,\n",
        "x".repeat(1 << 20),
    );
    let (rows, read) = rows_of(csv.as_bytes()).unwrap();
    assert_eq!(rows, ["2: a 0.025", "5: d\nd 0.000000001", "8: e "]);
    let told: Vec<String> =
        read.told.iter().map(|skipped| format!("{} {}", skipped.place.line, skipped.reason)).collect();
    assert_eq!(read.skipped, 3);
    assert!(told[0].starts_with("3 cost_estimate_nano_usd = `much`: not a decimal"), "{told:?}");
    assert_eq!(told[1], "4 2 cells, and the header has 4");
    assert!(told[2].starts_with("7 request_id = `xxxx") && told[2].len() < 200, "{told:?}");

    let json = r#"{"billing_events":[7,null,{"request_id":"a","timestamp":"x","output_units":{},
        "cost_estimate_nano_usd":1},{"request_id":"b","timestamp":"2026-11-20","output_units":1,
        "cost_estimate_nano_usd":1}]}"#;
    // The first row tells which export it is: what is no object is none.
    let (rows, read) = rows_of(json.replace("7,null,", "").as_bytes()).unwrap();
    assert_eq!((rows, read.skipped), (vec!["2: b 0.000000001".to_owned()], 1));
}

#[test]
fn a_file_that_is_no_export_is_told_with_its_place() {
    let deep = "[".repeat(100_000);
    for (bytes, expected) in [
        (&b""[..], "FILE: is empty"),
        (b" \n\n", "FILE: is empty"),
        (b"request_id,timestamp\n\xff\xfe,1\n", "FILE:2: not UTF-8"),
        (b"\xff\xfea\0,\0b\0", "FILE:1: not UTF-8"),
        (b"{\"billing_events\":\n[{]}", "FILE:2: not JSON"),
        (b"{\"error\":\"no such key\"}", "it has error. Say which is what"),
        (
            b"requestid,timestamp,output_units,cost_estimate_nano_usd\n",
            "FILE:1: not the columns of an export of fal: billing_events needs `request_id` (task_id, did \
             you mean `requestid`?)",
        ),
        (b"a\nb\n", "FILE:1: not the columns of an export of fal"),
        (b"\"a", "FILE:1: not the columns of an export of fal"),
        (deep.as_bytes(), "FILE:1: not JSON"),
    ] {
        let error = rows_of(bytes).map(|(rows, _)| rows).unwrap_err();
        let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            error.contains(expected),
            "{}: {error}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(60)])
        );
    }
    // Deep, and well formed.
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(rows_of(deep.as_bytes()).is_err());
}

/// What breaks off, wherever, is read or told; nothing panics.
#[test]
fn any_part_of_an_export_is_read_or_told() {
    let json = r#"{"billing_events":[{"request_id":"\u00e4","timestamp":"2026-11-20","output_units":1.5e0,
        "cost_estimate_nano_usd":-1},[],{"x":{"y":null}}]}"#;
    let csv = format!("{HEADER}\"a\"\"b\",2026-11-20,1e999999999,1e-999999999\n\"ä\nb\",,,\n");
    for text in [json, &csv] {
        for end in 0..text.len() {
            let part = &text.as_bytes()[..end];
            if let Ok((rows, read)) = rows_of(part) {
                assert!(rows.len() as u64 + read.skipped <= 4, "{end}: {rows:?}");
            }
        }
    }
}
