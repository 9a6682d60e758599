//! A data directory with which a server does not start: it says why, changes nothing, and starts when it is
//! put right.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::shim;
use crate::support::{Server, free_address};

/// What a server says that must not start.
fn refused(directory: &Path) -> String {
    refused_by(Command::new(env!("CARGO_BIN_EXE_spantally")), directory, (&[], 64))
}

/// The same by a command that begins so, with an exit code.
fn refused_by(mut command: Command, directory: &Path, (environment, code): (&[(&str, &str)], i32)) -> String {
    let output = command
        .arg("serve")
        .args(["--set", &format!("storage.directory={}", directory.join("data").display())])
        .args(["--set", "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0"])
        .args(["--set", "receivers.otlp.protocols.http.endpoint=127.0.0.1:0"])
        .args(["--set", "exporters.prometheus.endpoint=127.0.0.1:0"])
        .env_remove("SPANTALLY_CONFIG")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "64 is what a person must put right, 1 a failure: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stderr);
    // Lines are broken to the width of a terminal.
    said.replace("\n  │ ", " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sql(file: &Path, statement: &str) {
    let done = Command::new("sqlite3").arg(file).arg(statement).status();
    assert!(done.expect("sqlite3 is missing: scripts/test installs it").success());
}

/// A directory that a server has used and left in order.
fn used() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    Server::start(directory.path()).kill();
    directory
}

#[test]
fn a_directory_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let said = refused(directory.path());
    assert!(said.contains("another process is using this data directory; stop it"), "{said}");
    assert_eq!(server.page("/healthz"), "ok\n", "the first one goes on");
    server.kill();
    Server::start(directory.path()).kill();
}

#[test]
fn a_file_of_somebody_else() {
    for (name, kind) in [("journal.db", "journal"), ("ledger.db", "ledger")] {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("data")).unwrap();
        let file = directory.path().join("data").join(name);
        sql(&file, "CREATE TABLE notes(text); INSERT INTO notes VALUES ('mine');");
        let before = fs::read(&file).unwrap();
        let said = refused(directory.path());
        assert!(said.contains(&format!("not a Spantally {kind}")) && said.contains("move it away"), "{said}");
        assert_eq!(fs::read(&file).unwrap(), before, "it is left alone");
        fs::remove_file(&file).unwrap();
        Server::start(directory.path()).kill();
    }
}

#[test]
fn a_file_of_a_newer_version() {
    for name in ["journal.db", "ledger.db"] {
        let directory = used();
        let file = directory.path().join("data").join(name);
        sql(&file, "PRAGMA user_version = 99");
        let said = refused(directory.path());
        assert!(said.contains("version 99, written by a newer Spantally"), "{said}");
        assert!(said.contains("run the newer one"), "{said}");
        sql(&file, "PRAGMA user_version = 1");
        Server::start(directory.path()).kill();
    }
}

#[test]
fn a_damaged_file() {
    for name in ["journal.db", "ledger.db"] {
        let directory = used();
        let data = directory.path().join("data");
        let file = data.join(name);
        let whole = (fs::read(&file).unwrap(), fs::read(data.join(format!("{name}-wal"))).ok());
        // Everything after the header of the first page, and the log that could make up for it.
        let mut damaged = whole.0.clone();
        damaged[100..].fill(0x5a);
        fs::write(&file, damaged).unwrap();
        let _ = fs::remove_file(data.join(format!("{name}-wal")));
        let said = refused(directory.path());
        assert!(said.contains("damaged") && said.contains("restore the data directory"), "{said}");
        fs::write(&file, whole.0).unwrap();
        if let Some(log) = whole.1 {
            fs::write(data.join(format!("{name}-wal")), log).unwrap();
        }
        Server::start(directory.path()).kill();
    }
}

/// It is not made for ever, and starts as soon as there is space. The journal has no index in a file of its
/// own, so that nothing can be wrong with that.
#[test]
fn a_full_disk_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let (library, words) = shim(directory.path());
    let environment = [("LD_PRELOAD", library.to_str().unwrap()), ("FAULT_FILE", words.to_str().unwrap())];
    for (fault, advice, code) in [
        ("full journal.db", "no space left", 1),
        ("full ledger.db", "no space left", 1),
        ("sync journal.db", "check the disk", 64),
        ("read_only data/", "write access", 64),
    ] {
        fs::write(&words, fault).unwrap();
        let server = Command::new(env!("CARGO_BIN_EXE_spantally"));
        let said = refused_by(server, directory.path(), (&environment, code));
        assert!(said.contains(advice), "{fault}: {said}");
    }
    fs::write(&words, "full journal.db-shm").unwrap();
    Server::start_with(directory.path(), free_address(), None, &environment).kill();
    fs::remove_file(&words).unwrap();
    Server::start(directory.path()).kill();
}

/// The kernel would end the process with a signal; a full disk is what it is told as.
#[test]
fn a_limit_on_the_size_of_files() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("prlimit");
    command.arg("--fsize=20480000:unlimited").arg(env!("CARGO_BIN_EXE_spantally"));
    let said = refused_by(command, directory.path(), (&[], 1));
    assert!(said.contains("no space left") && said.contains("20480000 bytes (ulimit -f)"), "{said}");
    Server::start(directory.path()).kill();
}

#[test]
fn a_damaged_counter() {
    let directory = tempfile::tempdir().unwrap();
    // To the last checkpoint, which has the counters.
    assert!(Server::start(directory.path()).terminate().success());
    let file = directory.path().join("data/ledger.db");
    let saved = "CREATE TABLE saved AS SELECT * FROM counter";
    sql(
        &file,
        &format!("{saved}; UPDATE counter SET value = 'many' WHERE name = 'spantally_spans_received'"),
    );
    let said = refused_by(Command::new(env!("CARGO_BIN_EXE_spantally")), directory.path(), (&[], 1));
    assert!(said.contains("ledger.db: damaged: counter spantally_spans_received"), "{said}");
    assert!(said.contains("restore the data directory from a copy"), "{said}");
    sql(&file, "DELETE FROM counter; INSERT INTO counter SELECT * FROM saved; DROP TABLE saved");
    Server::start(directory.path()).kill();
}

#[test]
fn a_directory_that_cannot_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    fs::write(&data, "a file in its place").unwrap();
    let said = refused(directory.path());
    assert!(said.contains("there is a file in its place") && said.contains("name a directory"), "{said}");
    fs::remove_file(&data).unwrap();
    Server::start(directory.path()).kill();
}
