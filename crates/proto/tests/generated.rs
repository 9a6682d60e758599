//! The committed code is what the schemas generate.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

#[test]
fn committed_code_is_what_the_schemas_generate() {
    let protoc = env::var_os("PROTOC").unwrap_or_else(|| "protoc".into());
    let version = Command::new(&protoc).arg("--version").output();
    assert!(
        version.is_ok_and(|output| output.status.success()),
        "no protobuf compiler: install it (Debian: apt-get install protobuf-compiler) or set PROTOC to one"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schemas = root.join("../../proto");
    let fresh = tempfile::tempdir().unwrap();
    prost_build::Config::new()
        .out_dir(fresh.path())
        .compile_protos(&[schemas.join("journal.proto")], &[&schemas])
        .unwrap();
    let committed = root.join("src/generated");
    for entry in fs::read_dir(fresh.path()).unwrap() {
        let entry = entry.unwrap();
        let file = committed.join(entry.file_name());
        let generated = fs::read_to_string(entry.path()).unwrap();
        if env::var_os("SPANTALLY_REGENERATE").is_some() {
            fs::create_dir_all(&committed).unwrap();
            fs::write(&file, &generated).unwrap();
        }
        let known = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            known == generated,
            "{} is not what proto/ generates; run SPANTALLY_REGENERATE=1 cargo test -p spantally-proto \
             and commit it",
            file.display()
        );
    }
}
