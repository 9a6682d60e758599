//! Values of extra labels, under the names that they had when their job settled.

use super::*;

fn labelled(id: u8, revision: u32, values: &str) -> JobRow {
    let document = format!(r#"{{"attempts":[],"labels":{values}}}"#);
    JobRow { detail: Detail::Whole(document.into_bytes()), ..job(id, revision, vec![]) }
}

#[test]
fn a_value_stands_under_the_name_that_it_had_when_its_job_settled() {
    let (dir, mut ledger) = open();
    let write = |ledger: &mut Ledger, seq, jobs, names: &str| {
        let meta = vec![("label_names".to_owned(), names.as_bytes().to_vec())];
        ledger.checkpoint(&Checkpoint { applied: Seq(seq), jobs, meta, ..Checkpoint::default() }).unwrap();
    };
    let first = vec![labelled(1, 1, r#"["red"]"#), labelled(2, 1, r#"["red"]"#), job(3, 1, vec![])];
    write(&mut ledger, 1, first, r#"[[0,["team"]]]"#);
    // From the fourth row on there are two labels, in another order; the second job is revised under them,
    // and one has no value of the second.
    let second = vec![labelled(2, 2, r#"["eu","red"]"#), labelled(4, 1, r#"["us",""]"#)];
    write(&mut ledger, 2, second, r#"[[0,["team"]],[4,["region","team"]]]"#);
    let other = Connection::open(dir.path().join("ledger.db")).unwrap();
    let mut select = other
        .prepare("SELECT substr(job_id, 1, 2), revision, name, value FROM labels ORDER BY job_id, name")
        .unwrap();
    let rows = select.query_map([], |row| {
        let [job, name, value] = [row.get::<_, String>(0)?, row.get(2)?, row.get(3)?];
        Ok(format!("{job} {} {name}={value}", row.get::<_, u32>(1)?))
    });
    let rows: Vec<String> = rows.unwrap().map(Result::unwrap).collect();
    assert_eq!(rows, ["01 1 team=red", "02 2 region=eu", "02 2 team=red", "04 1 region=us"]);
}
