//! The provider files that come with the program.

use crate::error::LoadError;
use crate::load::{LoadedFile, load};

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        /// Name and text of every built-in file.
        pub const TEXTS: &[(&str, &str)] = &[$((
            concat!("providers/", $name, ".yaml"),
            include_str!(concat!("../../../config/providers/", $name, ".yaml")),
        )),+];
    };
}

files!(
    "azure_openai",
    "bedrock",
    "bfl",
    "byteplus",
    "deepgram",
    "elevenlabs",
    "fal",
    "google",
    "heygen",
    "kling",
    "kling_cn",
    "luma",
    "minimax",
    "minimax_cn",
    "openai",
    "replicate",
    "runway",
    "stability",
    "volcengine",
    "xai",
);

/// The built-in files, read and checked.
pub fn files() -> Result<Vec<LoadedFile>, Vec<LoadError>> {
    let mut files = Vec::new();
    let mut findings = Vec::new();
    for (name, text) in TEXTS {
        match load(name, text) {
            Ok(file) => files.push(file),
            Err(found) => findings.extend(found),
        }
    }
    if findings.is_empty() { Ok(files) } else { Err(findings) }
}
