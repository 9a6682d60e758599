//! The picture of the moment: what the money went for, as text of a fixed height.
//!
//! On a terminal it is redrawn in place ([`Screen`]); elsewhere one line tells the same every few seconds.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use rust_decimal::Decimal;
use spantally_stitch::Cause;

use super::finding::{Finding, Spend};

/// Width of a full bar, in columns.
const BAR: u32 = 32;

/// What is known at a moment.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// Since the demo began.
    pub elapsed: Duration,
    /// What is going on, for example `sending`.
    pub phase: &'static str,
    /// Spans received in a second, lately.
    pub spans_per_second: f64,
    /// What the server found.
    pub finding: Finding,
}

/// The picture, a line each.
pub(crate) fn picture(moment: &Moment, color: bool) -> Vec<String> {
    let Moment { elapsed, phase, spans_per_second, finding } = moment;
    let jobs = finding.jobs();
    let seconds = elapsed.as_secs();
    let Finding { spans, open_jobs: open, unpriced_jobs: unpriced, .. } = finding;
    let mut lines = vec![
        format!("{:02}:{:02}  {phase}   {spans} spans, {spans_per_second:.0}/s", seconds / 60, seconds % 60)
            + &format!("   jobs: {jobs} settled, {open} open, {unpriced} unpriced"),
        String::new(),
    ];
    for (currency, spend) in &finding.spend {
        lines.extend(spend_lines(currency, spend, color));
    }
    if finding.spend.is_empty() {
        lines.push("no job has settled yet".into());
    }
    lines
}

/// One line for a log.
pub fn line(moment: &Moment) -> String {
    let Moment { elapsed, phase, spans_per_second, finding } = moment;
    let mut line = format!(
        "{:>4} s  {phase}: {} spans ({spans_per_second:.0}/s), {} jobs settled, {} open",
        elapsed.as_secs(),
        finding.spans,
        finding.jobs(),
        finding.open_jobs
    );
    for (currency, spend) in &finding.spend {
        let total = spend.total();
        let _ = write!(
            line,
            "; {} {currency}, waste {}, retry-driven {}",
            money(total),
            share(spend.of(Cause::is_waste), total),
            share(spend.of(Cause::is_retry_driven), total)
        );
    }
    line
}

fn spend_lines(currency: &str, spend: &Spend, color: bool) -> Vec<String> {
    let total = spend.total();
    let waste = spend.of(Cause::is_waste);
    let driven = spend.of(Cause::is_retry_driven);
    let mut lines = vec![format!(
        "spend  {} {currency} ({} to {})   waste {} ({})   retry-driven {} ({})   exposure {}",
        money(total),
        money(spend.bound.min),
        money(spend.bound.max),
        money(waste),
        share(waste, total),
        money(driven),
        share(driven, total),
        money(spend.exposure),
    )];
    for &cause in Cause::ALL {
        let Some(&cost) = spend.by_cause.get(&cause) else { continue };
        let style = if color { style(cause) } else { Style::new() };
        lines.push(format!(
            "  {:<17}{:>10}  {style}{:<32}{style:#} {:>6}",
            cause.as_str(),
            money(cost),
            bar(cost, total),
            share(cost, total)
        ));
    }
    lines.push(String::new());
    lines
}

fn style(cause: Cause) -> Style {
    let color = match cause {
        Cause::Delivered => AnsiColor::Green,
        Cause::Unverified => AnsiColor::Cyan,
        _ if cause.is_retry_driven() => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    color.on_default()
}

/// Money for the eye: two decimals, four below a unit.
pub fn money(amount: Decimal) -> String {
    let places = if amount.abs() < Decimal::ONE && !amount.is_zero() { 4 } else { 2 };
    format!("{:.*}", places, amount.round_dp(places as u32))
}

fn share(part: Decimal, whole: Decimal) -> String {
    let percent = (part * Decimal::ONE_HUNDRED).checked_div(whole).unwrap_or_default();
    format!("{:.1} %", percent.round_dp(1))
}

fn bar(part: Decimal, whole: Decimal) -> String {
    let columns = (part * Decimal::from(BAR)).checked_div(whole).unwrap_or_default();
    let columns = usize::try_from(columns.round()).unwrap_or_default();
    "█".repeat(if part.is_zero() { 0 } else { columns.max(1) })
}

/// Where the picture is drawn.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    is_terminal: bool,
    color: bool,
    drawn_lines: usize,
}

impl<W: Write> Screen<W> {
    /// A screen; on one that is no terminal nothing is drawn in place.
    pub fn new(out: W, is_terminal: bool, color: bool) -> Self {
        Self { out, is_terminal, color, drawn_lines: 0 }
    }

    /// Whether pictures replace one another.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes text that stays.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.drawn_lines = 0;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Shows the moment, in place of the last one on a terminal.
    pub fn show(&mut self, moment: &Moment) -> io::Result<()> {
        if !self.is_terminal {
            return self.say(&line(moment));
        }
        let lines = picture(moment, self.color);
        if self.drawn_lines > 0 {
            // Up to the first line of the last picture, and clear from there.
            write!(self.out, "\x1b[{}A\x1b[J", self.drawn_lines)?;
        }
        for line in &lines {
            writeln!(self.out, "{line}")?;
        }
        self.drawn_lines = lines.len();
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::page::Page;

    fn moment() -> Moment {
        let page = Page::parse(
            r#"spantally_jobs_total{outcome="succeeded"} 6
spantally_spans_received_total{transport="grpc"} 90
spantally_cost_total{currency="USD",cause="delivered"} 3
spantally_cost_total{currency="USD",cause="duplicate"} 0.75
spantally_cost_total{currency="USD",cause="unverified"} 0.25
spantally_cost_bound_total{currency="USD",bound="min"} 3.75
spantally_cost_bound_total{currency="USD",bound="max"} 4.5
"#,
        );
        Moment {
            elapsed: Duration::from_secs(75),
            phase: "sending",
            spans_per_second: 12.4,
            finding: Finding::read(&page),
        }
    }

    #[test]
    fn the_picture_shows_every_cause_with_its_share() {
        let lines = picture(&moment(), false);
        assert_eq!(lines[0], "01:15  sending   90 spans, 12/s   jobs: 6 settled, 0 open, 0 unpriced");
        assert_eq!(
            lines[2],
            "spend  4.00 USD (3.75 to 4.50)   waste 0.7500 (18.8 %)   retry-driven 0.7500 (18.8 %)   exposure 0.00"
        );
        assert!(lines[3].contains("delivered") && lines[3].contains("75.0 %"), "{lines:#?}");
        assert_eq!(lines[3].matches('█').count(), 24);
        assert!(lines[5].contains("duplicate") && lines[5].contains("18.8 %"), "{lines:#?}");
    }

    #[test]
    fn a_terminal_is_redrawn_and_a_log_is_not() {
        let mut terminal = Vec::new();
        let mut screen = Screen::new(&mut terminal, true, false);
        screen.show(&moment()).unwrap();
        screen.show(&moment()).unwrap();
        let text = String::from_utf8(terminal).unwrap();
        assert_eq!(text.matches("\x1b[7A\x1b[J").count(), 1, "{text}");

        let mut log = Vec::new();
        let mut screen = Screen::new(&mut log, false, false);
        screen.show(&moment()).unwrap();
        screen.show(&moment()).unwrap();
        let text = String::from_utf8(log).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains('\x1b'), "{text}");
    }
}
