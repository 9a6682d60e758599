//! The provider files of this process: the built-in ones, and those of `providers.directory`.
//!
//! The only reader of provider files from disk; what they mean is `spantally-providers`. A file of the
//! directory replaces the built-in file of the same provider.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use spantally_price::Cards;
use spantally_providers::{CorrelationConfig, LoadError, LoadedFile, Recogniser, builtin, load};

use crate::config::Pricing;

/// Every provider file in force, and what they compile to.
#[derive(Debug)]
pub struct ProviderFiles {
    /// In the order of their providers' names.
    pub files: Vec<ProviderSource>,
    /// One lookup for all of them.
    pub recogniser: Arc<Recogniser>,
}

/// One provider file and where it is from.
#[derive(Clone, Debug)]
pub struct ProviderSource {
    /// The file on disk; none for a built-in one.
    pub path: Option<PathBuf>,
    /// What it says.
    pub loaded: LoadedFile,
}

impl ProviderSource {
    /// The provider's name.
    pub fn name(&self) -> &str {
        &self.loaded.file.provider.value
    }
}

/// Why the provider files cannot be used. All findings are reported together.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ProviderFilesError {
    /// The directory or a file in it cannot be read.
    #[error("providers.directory: cannot read {}: {source}", path.display())]
    #[diagnostic(help("give a directory of provider files (*.yaml) that this user may read"))]
    Read {
        /// The directory or the file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Files are wrong.
    #[error("{} in provider files", count(findings.len()))]
    Wrong {
        /// What and where.
        #[related]
        findings: Vec<LoadError>,
    },
}

fn count(findings: usize) -> String {
    if findings == 1 { "1 mistake".to_owned() } else { format!("{findings} mistakes") }
}

impl From<Vec<LoadError>> for ProviderFilesError {
    fn from(findings: Vec<LoadError>) -> Self {
        Self::Wrong { findings }
    }
}

impl ProviderFiles {
    /// Reads, checks and compiles every provider file.
    pub fn load(
        directory: Option<&Path>,
        correlation: &CorrelationConfig,
    ) -> Result<Self, ProviderFilesError> {
        let texts = directory.map(read_directory).transpose()?.unwrap_or_default();
        Self::compile(&texts, correlation)
    }

    /// Checks and compiles the built-in files and those of a directory, of which the texts are given.
    pub fn compile(texts: &Texts, correlation: &CorrelationConfig) -> Result<Self, ProviderFilesError> {
        let mut files: Vec<_> =
            builtin::files()?.into_iter().map(|loaded| ProviderSource { path: None, loaded }).collect();
        let mut findings = Vec::new();
        for (path, text) in texts {
            match load(&path.display().to_string(), text) {
                Ok(loaded) => {
                    let own = ProviderSource { path: Some(path.clone()), loaded };
                    files.retain(|file| file.path.is_some() || file.name() != own.name());
                    files.push(own);
                }
                Err(found) => findings.extend(found),
            }
        }
        if !findings.is_empty() {
            return Err(findings.into());
        }
        files.sort_by(|a, b| a.name().cmp(b.name()));
        let loaded: Vec<_> = files.iter().map(|file| file.loaded.clone()).collect();
        let recogniser = Recogniser::compile(&loaded, correlation)?;
        Ok(Self { files, recogniser: Arc::new(recogniser) })
    }

    /// Their rate cards.
    pub fn cards(&self, pricing: &Pricing) -> Cards {
        let mut cards = Cards::default();
        for file in &self.files {
            cards.insert(file.loaded.card.clone());
        }
        cards.set_ambiguous_probability(pricing.ambiguous_probability);
        cards
    }
}

/// The provider files of a directory with their texts, by path.
pub type Texts = Vec<(PathBuf, String)>;

/// Reads every provider file of a directory.
///
/// # Errors
/// The directory or a file in it cannot be read.
pub(crate) fn read_directory(directory: &Path) -> Result<Texts, ProviderFilesError> {
    let read = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(source) => Err(ProviderFilesError::Read { path, source }),
    };
    yaml_files(directory)?.into_iter().map(read).collect()
}

/// The provider files of a directory, by name; tests of them (`*.test.yaml`) are not, nor are hidden files,
/// which editors and other systems put beside those that they have open, nor is what has such a name and is
/// no file: a pipe would be waited for, for ever.
fn yaml_files(directory: &Path) -> Result<Vec<PathBuf>, ProviderFilesError> {
    let failed = |source| ProviderFilesError::Read { path: directory.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        let is_test =
            path.file_stem().is_some_and(|stem| Path::new(stem).extension() == Some("test".as_ref()));
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // What a broken link leads to is told by reading it.
        let is_file = || std::fs::metadata(&path).map_or(true, |found| found.is_file());
        if is_yaml && !is_test && !is_hidden && is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_dir(directory: &Path) -> Result<ProviderFiles, ProviderFilesError> {
        ProviderFiles::load(Some(directory), &CorrelationConfig::default())
    }

    #[test]
    fn the_built_in_files_load() {
        let providers = ProviderFiles::load(None, &CorrelationConfig::default()).unwrap();
        let names: Vec<_> = providers.files.iter().map(ProviderSource::name).collect();
        assert!(names.contains(&"fal") && names.contains(&"replicate"), "{names:?}");
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn an_own_file_replaces_the_built_in_one_of_its_provider() {
        let directory = tempfile::tempdir().unwrap();
        let (_, text) = builtin::TEXTS.iter().find(|(name, _)| name.contains("fal")).unwrap();
        std::fs::write(directory.path().join("mine.yaml"), text).unwrap();
        std::fs::write(directory.path().join("mine.test.yaml"), "not: a provider file").unwrap();
        std::fs::write(directory.path().join("notes.txt"), "not yaml").unwrap();
        let providers = load_dir(directory.path()).unwrap();
        assert_eq!(providers.files.len(), builtin::TEXTS.len());
        let fal = providers.files.iter().find(|file| file.name() == "fal").unwrap();
        assert_eq!(fal.path.as_deref(), Some(directory.path().join("mine.yaml").as_path()));
    }

    #[test]
    fn an_own_file_of_a_new_provider_is_added() {
        let directory = tempfile::tempdir().unwrap();
        let (_, text) = builtin::TEXTS.iter().find(|(name, _)| name.contains("heygen")).unwrap();
        let own = text
            .replace("provider: heygen", "provider: acme")
            .replace("aliases: [hey_gen]", "aliases: [acme_video]")
            .replace("heygen.com", "acme.example")
            .replace("heygen.ai", "acme.example");
        std::fs::write(directory.path().join("acme.yaml"), own).unwrap();
        let providers = load_dir(directory.path()).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(providers.files.len(), builtin::TEXTS.len() + 1);
        assert!(providers.files.iter().any(|file| file.name() == "heygen" && file.path.is_none()));
    }

    #[test]
    fn two_own_files_of_one_provider_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (_, text) = builtin::TEXTS.iter().find(|(name, _)| name.contains("fal")).unwrap();
        for name in ["one.yaml", "two.yaml"] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let Err(ProviderFilesError::Wrong { findings }) = load_dir(directory.path()) else {
            panic!("both cannot be in force")
        };
        let text = findings[0].to_string();
        assert!(text.contains("two.yaml:") && text.contains("`fal`"), "{text}");
    }

    #[test]
    fn only_files_are_read_also_through_links() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(at("pipe.yaml")).status().unwrap();
        assert!(made.success());
        std::fs::create_dir(at("folder.yaml")).unwrap();
        std::fs::write(at("text"), "a text").unwrap();
        std::os::unix::fs::symlink(at("text"), at("link.yaml")).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let path = directory.path().to_owned();
        std::thread::spawn(move || tell.send(read_directory(&path).map_err(|error| error.to_string())));
        let read = told.recv_timeout(std::time::Duration::from_secs(20)).expect("nothing is waited for");
        assert_eq!(read, Ok(vec![(at("link.yaml"), "a text".to_owned())]));
        std::os::unix::fs::symlink(at("nothing"), at("broken.yaml")).unwrap();
        assert!(read_directory(directory.path()).unwrap_err().to_string().contains("broken.yaml"));
    }

    /// A lock of Emacs is a link to nowhere; what Vim and macOS write is not YAML.
    #[test]
    fn hidden_files_are_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::os::unix::fs::symlink("me@host.1234:1", at(".#fal.yaml")).unwrap();
        std::fs::write(at("._fal.yaml"), [0, 5, 0x16, 7, 0xff]).unwrap();
        std::fs::write(at("fal.yaml"), "a text").unwrap();
        assert_eq!(read_directory(directory.path()).unwrap(), [(at("fal.yaml"), "a text".to_owned())]);
    }

    #[test]
    fn all_findings_of_all_files_are_told() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), "provder: a\n").unwrap();
        std::fs::write(directory.path().join("b.yaml"), "provider: [b]\n").unwrap();
        match load_dir(directory.path()) {
            Err(ProviderFilesError::Wrong { findings }) => {
                let text: Vec<_> = findings.iter().map(ToString::to_string).collect();
                assert!(text.iter().any(|line| line.contains("a.yaml:1:1")), "{text:?}");
                assert!(text.iter().any(|line| line.contains("b.yaml:1:")), "{text:?}");
            }
            other => panic!("expected findings, found {other:?}"),
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let missing = tempfile::tempdir().unwrap().path().join("missing");
        assert!(matches!(load_dir(&missing), Err(ProviderFilesError::Read { path, .. }) if path == missing));
    }
}
