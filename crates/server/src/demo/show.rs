//! Runs a demo against a server that is already listening: sends, shows, and in the end compares.
//!
//! It goes through three phases: *sending* until the time is up, *finishing* until the jobs begun have sent
//! their last span, *settling* until the server has booked them. A stop signal skips what is left of all
//! three.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::finding::Finding;
use super::page::Page;
use super::report;
use super::sender::{SendError, Sender};
use super::summary::{Moment, Screen};
use super::traffic::{Settings, Traffic};
use crate::clock;

/// How often spans are exported. SDKs wait up to 5 s; a demo shall not look asleep.
const EXPORT_EVERY: Duration = Duration::from_millis(250);
/// How often the server's page is read, and the picture drawn on a terminal, in exports.
const LOOK_EVERY: u32 = 4;
/// How often a line is written where there is no terminal, in exports.
const WRITE_EVERY: u32 = 20;

/// Where a server is.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// OTLP/gRPC.
    pub grpc: SocketAddr,
    /// `/metrics`.
    pub admin: SocketAddr,
}

/// What to show.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The traffic.
    pub traffic: Settings,
    /// How long new jobs begin; without end when none.
    pub duration: Option<Duration>,
    /// At most this long for the server to settle what has been sent.
    pub settle_limit: Duration,
}

/// Why a demo ended early.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// Spans could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The page could not be read, or the screen not written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Sending,
    Finishing,
    Settling(Instant),
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Finishing => "letting jobs end",
            Self::Settling(_) => "settling",
        }
    }
}

/// Runs a demo until its time is up, then writes the comparison; or until `stop` resolves.
pub async fn run<W: Write>(
    addresses: Addresses,
    plan: Plan,
    screen: &mut Screen<W>,
    stop: impl Future<Output = ()>,
) -> Result<(), ShowError> {
    let sender = Sender::connect(addresses.grpc).await?;
    let mut show = Show {
        addresses,
        plan,
        sender,
        traffic: Traffic::new(plan.traffic),
        begun: clock::instant(),
        phase: Phase::Sending,
        rate: Rate { at: clock::instant(), spans: 0, per_second: 0.0 },
    };
    let mut stop = std::pin::pin!(stop);
    let mut ticks = interval(EXPORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let show_every = if screen.is_terminal() { LOOK_EVERY } else { WRITE_EVERY };
    let mut stopped = false;
    for tick in 0_u32.. {
        tokio::select! {
            () = &mut stop => {
                stopped = true;
                break;
            }
            _ = ticks.tick() => {}
        }
        show.export().await?;
        if !tick.is_multiple_of(LOOK_EVERY) {
            continue;
        }
        let finding = show.look().await?;
        if show.is_over(&finding) {
            break;
        }
        if tick.is_multiple_of(show_every) {
            screen.show(&show.moment(&finding))?;
        }
    }
    let finding = show.look().await?;
    screen.show(&show.moment(&finding))?;
    let last = if stopped {
        "Stopped. With --seconds N the jobs end, and the truth is laid beside what was found.".to_owned()
    } else {
        report::compare(show.traffic.truth(), &finding)
    };
    screen.say(&format!("\n{last}"))?;
    Ok(())
}

struct Show {
    addresses: Addresses,
    plan: Plan,
    sender: Sender,
    traffic: Traffic,
    begun: Instant,
    phase: Phase,
    rate: Rate,
}

struct Rate {
    at: Instant,
    spans: u64,
    per_second: f64,
}

impl Show {
    async fn export(&mut self) -> Result<(), SendError> {
        if self.phase == Phase::Sending
            && self.plan.duration.is_some_and(|limit| clock::instant() - self.begun >= limit)
        {
            self.traffic.stop();
            self.phase = Phase::Finishing;
        }
        for request in self.traffic.advance(clock::now()) {
            self.sender.send(request).await?;
        }
        if self.phase == Phase::Finishing && self.traffic.ends_at().is_none() {
            self.phase = Phase::Settling(clock::instant());
        }
        Ok(())
    }

    /// What the server has found by now.
    async fn look(&mut self) -> std::io::Result<Finding> {
        let finding = Finding::read(&Page::fetch(self.addresses.admin).await?);
        let now = clock::instant();
        let seconds = (now - self.rate.at).as_secs_f64();
        if seconds > 0.0 {
            let new = finding.spans.saturating_sub(self.rate.spans);
            self.rate = Rate { at: now, spans: finding.spans, per_second: new as f64 / seconds };
        }
        Ok(finding)
    }

    fn is_over(&self, finding: &Finding) -> bool {
        match self.phase {
            Phase::Settling(since) => {
                finding.open_jobs == 0 || clock::instant() - since >= self.plan.settle_limit
            }
            Phase::Sending | Phase::Finishing => false,
        }
    }

    fn moment(&self, finding: &Finding) -> Moment {
        Moment {
            elapsed: clock::instant() - self.begun,
            phase: self.phase.as_str(),
            spans_per_second: self.rate.per_second,
            finding: finding.clone(),
        }
    }
}
