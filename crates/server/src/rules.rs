//! Provider files read again while the server runs.
//!
//! # When
//! At SIGHUP, and when what is in `providers.directory` has changed: it is read every
//! `providers.reload_interval` and compared by content, so that an editor that renames, a `cp` and a mounted
//! volume that swaps a link are all seen. A change must stand for [`SETTLED`] before it is taken, since files
//! are written piece by piece.
//!
//! A directory that does not answer (a disk over the network) is waited for up to [`LOOK_TIMEOUT`] and then
//! told as a mistake; the next look begins when it has answered.
//!
//! # What
//! All files or none. A mistake in any of them leaves every old rule in force; the log has each finding with
//! file, line and column, and the metrics say so until the files are good again.
//!
//! # From when on
//! Requests that are being read end under the old rules ([`Intake::reload`]). The core takes the new prices
//! between two groups or turns ([`CoreHandle::set_cards`]), before any span is read by the new rules. What a
//! span was recognised as stays; what a job costs is decided when it settles, by the prices that the files of
//! that moment have for the time of its submit. Booked jobs stay as they are, unless late evidence revises
//! them: just as after a restart with the same files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rust_decimal::Decimal;
use spantally_providers::CorrelationConfig;
use spantally_stitch::UnixNanos;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock;
use crate::config::{Pricing, Settings};
use crate::core::CoreHandle;
use crate::export::{MetricId, Registry, SetId};
use crate::intake::Intake;
use crate::provider_files::{ProviderFiles, ProviderFilesError, Texts, read_directory};

/// How long files must have stood unchanged before they are read as they are.
const SETTLED: Duration = Duration::from_millis(500);

/// How long a look at the directory may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the provider files again.
#[derive(Debug)]
pub struct Reloader {
    directory: Option<PathBuf>,
    interval: Option<Duration>,
    correlation: CorrelationConfig,
    pricing: Pricing,
    intake: Arc<Intake>,
    core: CoreHandle,
    known: Mutex<Known>,
    counts: Counts,
}

/// What was in the directory at the last reload, good or bad, and what is in force.
#[derive(Debug)]
struct Known {
    look: Look,
    in_force: BTreeMap<String, String>,
}

/// The texts of the directory, or why they cannot be read.
type Look = Result<Texts, String>;

#[derive(Debug)]
struct Counts {
    good: AtomicU64,
    bad: AtomicU64,
    is_last_good: AtomicBool,
    last_good_at: AtomicU64,
}

impl Reloader {
    /// Takes over from the files that the server was built with.
    pub(crate) fn new(
        settings: &Settings,
        files: &ProviderFiles,
        intake: Arc<Intake>,
        core: CoreHandle,
    ) -> Arc<Self> {
        let known = Known { look: Ok(texts(files)), in_force: in_force(files) };
        Arc::new(Self {
            directory: settings.providers.directory.clone(),
            interval: settings.providers.reload_interval,
            correlation: settings.correlation.clone(),
            pricing: settings.pricing.clone(),
            intake,
            core,
            known: Mutex::new(known),
            counts: Counts {
                good: AtomicU64::new(0),
                bad: AtomicU64::new(0),
                is_last_good: AtomicBool::new(true),
                last_good_at: AtomicU64::new(clock::now().0),
            },
        })
    }

    /// Reads the files now, changed or not, and says whether they are in force.
    pub(crate) async fn reload(self: &Arc<Self>) -> bool {
        let look = within(LOOK_TIMEOUT, &mut self.begin_look()).await.unwrap_or_else(no_answer);
        self.apply(look).await
    }

    /// Puts what was read in force, away from the threads that serve connections: it is compiled.
    async fn apply(self: &Arc<Self>, look: Look) -> bool {
        let reloader = Arc::clone(self);
        tokio::task::spawn_blocking(move || reloader.take(look)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the provider files could not be read again");
            false
        })
    }

    fn begin_look(self: &Arc<Self>) -> JoinHandle<Look> {
        let reloader = Arc::clone(self);
        tokio::task::spawn_blocking(move || reloader.look())
    }

    /// Looks at the directory until `stop` is true.
    pub(crate) async fn watch(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let Some(interval) = self.interval.filter(|_| self.directory.is_some()) else { return };
        let mut changed = None;
        loop {
            let pause = if changed.is_some() { interval.min(SETTLED) } else { interval };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
            let mut looking = self.begin_look();
            let look = if let Some(look) = within(LOOK_TIMEOUT, &mut looking).await {
                look
            } else {
                self.apply(no_answer()).await;
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return,
                    look = &mut looking => look.unwrap_or_else(|error| Err(error.to_string())),
                }
            };
            changed = self.compare(look, changed.take()).await;
        }
    }

    /// Compares what was seen with what is known. A change is given back at first, and taken when it is
    /// `changed` still.
    async fn compare(self: &Arc<Self>, look: Look, changed: Option<Look>) -> Option<Look> {
        if self.known.lock().look == look {
            return None;
        }
        if changed.as_ref() != Some(&look) {
            return Some(look);
        }
        self.apply(look).await;
        None
    }

    fn look(&self) -> Look {
        let read = self.directory.as_deref().map(read_directory).transpose();
        read.map(Option::unwrap_or_default).map_err(|error| error.to_string())
    }

    /// Puts what was read in force, if it is good.
    fn take(&self, look: Look) -> bool {
        let mut known = self.known.lock();
        let compiled = match &look {
            Ok(texts) => ProviderFiles::compile(texts, &self.correlation).map_err(|error| told(&error)),
            Err(problem) => Err(vec![problem.clone()]),
        };
        known.look = look;
        match compiled {
            Ok(files) => {
                self.core.set_cards(Arc::new(files.cards(&self.pricing)));
                self.intake.reload(Arc::clone(&files.recogniser));
                let before = std::mem::replace(&mut known.in_force, in_force(&files));
                let changed = changed(&before, &known.in_force);
                let count = changed.len();
                tracing::info!(changed = changed.join(", "), count, "the provider files are read again");
                self.counts.good.fetch_add(1, Ordering::Relaxed);
                self.counts.is_last_good.store(true, Ordering::Relaxed);
                self.counts.last_good_at.store(clock::now().0, Ordering::Relaxed);
                true
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!(problem, "a provider file is wrong; the old rules stay in force");
                }
                self.counts.bad.fetch_add(1, Ordering::Relaxed);
                self.counts.is_last_good.store(false, Ordering::Relaxed);
                false
            }
        }
    }

    /// Shows how reloading goes. `created` is when the process started.
    pub(crate) fn show(&self, registry: &mut Registry, created: UnixNanos) {
        let mut set = |metric, own: &[&str], value: Decimal| {
            let series = registry.series(metric, SetId::NONE, own, created);
            registry.set(series, value);
        };
        let Counts { good, bad, is_last_good, last_good_at } = &self.counts;
        for (result, count) in [("ok", good), ("error", bad)] {
            set(MetricId::RulesReloads, &[result], count.load(Ordering::Relaxed).into());
        }
        set(MetricId::RulesReloadGood, &[], u64::from(is_last_good.load(Ordering::Relaxed)).into());
        let millis = i64::try_from(last_good_at.load(Ordering::Relaxed) / 1_000_000).unwrap_or(i64::MAX);
        set(MetricId::RulesReloadTime, &[], Decimal::new(millis, 3));
    }
}

/// What a look sees, if it ends within a time; else it goes on.
async fn within(limit: Duration, looking: &mut JoinHandle<Look>) -> Option<Look> {
    let look = tokio::time::timeout(limit, looking).await.ok()?;
    Some(look.unwrap_or_else(|error| Err(error.to_string())))
}

fn no_answer() -> Look {
    Err(format!("the directory of provider files has not answered within {} s", LOOK_TIMEOUT.as_secs()))
}

/// Every finding on a line of its own.
fn told(error: &ProviderFilesError) -> Vec<String> {
    match error {
        ProviderFilesError::Wrong { findings } => findings.iter().map(ToString::to_string).collect(),
        ProviderFilesError::Read { .. } => vec![error.to_string()],
    }
}

/// The texts of the directory that files were read from, by path as a look has them.
fn texts(files: &ProviderFiles) -> Texts {
    let own = files.files.iter().filter_map(|file| Some((file.path.clone()?, file.loaded.text().to_owned())));
    let mut own: Texts = own.collect();
    own.sort();
    own
}

/// The text in force of each provider.
fn in_force(files: &ProviderFiles) -> BTreeMap<String, String> {
    files.files.iter().map(|file| (file.name().to_owned(), file.loaded.text().to_owned())).collect()
}

/// Providers whose file is not what it was.
fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().filter(|&name| before.get(name) != after.get(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_did_not_change_are_the_same_whatever_their_providers_are_called() {
        let directory = tempfile::tempdir().unwrap();
        let built_in = ProviderFiles::load(None, &CorrelationConfig::default()).unwrap();
        for (file, provider) in [("z.yaml", "fal"), ("a.yaml", "runway")] {
            let source = built_in.files.iter().find(|source| source.name() == provider).unwrap();
            std::fs::write(directory.path().join(file), source.loaded.text()).unwrap();
        }
        let files = ProviderFiles::load(Some(directory.path()), &CorrelationConfig::default()).unwrap();
        assert_eq!(texts(&files), read_directory(directory.path()).unwrap());
    }

    #[tokio::test]
    async fn a_look_that_takes_too_long_is_told_and_goes_on() {
        let (answer, answered) = std::sync::mpsc::channel::<Look>();
        let mut looking = tokio::task::spawn_blocking(move || answered.recv().unwrap());
        assert_eq!(within(Duration::from_millis(20), &mut looking).await, None);
        answer.send(Ok(Texts::default())).unwrap();
        assert_eq!(within(Duration::from_secs(20), &mut looking).await, Some(Ok(Texts::default())));
    }
}
