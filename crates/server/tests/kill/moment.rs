//! When the server is killed.

use std::time::{Duration, Instant};

use spantally_tests::oracle::Random;

use crate::process::Process;

/// A start takes less.
const LONGEST_START: Duration = Duration::from_secs(5);

/// What the server is doing when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Taking spans, at any time of a turn.
    Load,
    /// Writing a checkpoint to the ledger.
    Checkpoint,
    /// Anything from its first instruction to being ready: opening files, replaying, the first checkpoint.
    Start,
    /// Told to stop: emptying its queue, writing the last checkpoint.
    Drain,
    /// Killed again right after it was ready.
    Young,
    /// Reading provider files that have changed: told by SIGHUP, or found by itself.
    Reload,
}

impl Moment {
    const ALL: [Self; 6] =
        [Self::Load, Self::Checkpoint, Self::Start, Self::Drain, Self::Young, Self::Reload];

    /// In turn at first, then as it falls.
    pub(crate) fn of(kill: usize, random: &mut Random) -> Self {
        let drawn = random.below(Self::ALL.len() as u64) as usize;
        Self::ALL[if kill < Self::ALL.len() { kill } else { drawn }]
    }

    /// Waits for the moment; how long the server had then run.
    pub(crate) fn wait(self, process: &mut Process, random: &mut Random) -> Duration {
        let began = Instant::now();
        match self {
            Self::Start => {
                // The machine may have stood still while the last one started.
                let usual = process.start_took.min(LONGEST_START).as_micros() as u64;
                std::thread::sleep(Duration::from_micros(random.below(usual.max(1000))));
            }
            Self::Load => {
                process.wait_until_ready();
                std::thread::sleep(Duration::from_millis(random.below(3500)));
            }
            Self::Young => {
                process.wait_until_ready();
                std::thread::sleep(Duration::from_micros(random.below(30_000)));
            }
            Self::Checkpoint => {
                process.wait_until_ready();
                process.wait_for_checkpoint();
                std::thread::sleep(Duration::from_micros(random.below(4000)));
            }
            Self::Reload => {
                process.wait_until_ready();
                std::thread::sleep(Duration::from_millis(random.below(800)));
                for _ in 0..=random.below(3) {
                    process.change_rules(random);
                    if random.below(3) > 0 {
                        process.hang_up();
                        std::thread::sleep(Duration::from_micros(random.below(80_000)));
                    } else {
                        // It looks by itself, and waits until nothing has changed for half a second.
                        std::thread::sleep(Duration::from_millis(random.below(1400)));
                    }
                }
            }
            Self::Drain => {
                process.wait_until_ready();
                std::thread::sleep(Duration::from_millis(random.below(1500)));
                process.terminate();
                std::thread::sleep(Duration::from_micros(random.below(150_000)));
            }
        }
        began.elapsed()
    }
}
