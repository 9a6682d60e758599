//! The page of metrics, made anew for each scrape from the one before.
//!
//! Between two scrapes few series change, and formatting is what costs. So the last page of each format is
//! kept in pieces of some ten thousand bytes. A piece of which nothing changed is handed out again as it is;
//! of the others what did not change is copied in runs, and what changed is written anew, with its labels
//! from the piece before where the format lets it. A new piece is written into the memory of the one that was
//! replaced before it, which is in the processor's cache; so a page costs little more than reading and
//! writing its bytes once, and no fresh memory (measured: `docs/performance.md`).
//!
//! [`Pages::look`] needs the registry, [`Pages::write`] does not. While series are new, scrapers have pages
//! of their own ([`super::first_zeros`]), kept beside the others in the same way.

use std::time::Duration;

use bytes::Bytes;

use super::accept::Format;
use super::first_zeros::Scrape;
use super::inventory::{INVENTORY, Kind};
use super::process::ProcessMetric;
use super::protobuf::Messages;
use super::series::Registry;
use super::shown::{Shown, ShownSeries};
use super::text::Lines;

/// How a format writes.
pub(super) trait Writer {
    /// Prepares for the series of a metric.
    fn open(&mut self, shown: &Shown);
    /// A series.
    fn series(&mut self, out: &mut Vec<u8>, shown: &Shown, series: ShownSeries<'_>);
    /// A series of which only the value is not what it was, and what was written then.
    fn again(&mut self, out: &mut Vec<u8>, shown: &Shown, series: ShownSeries<'_>, before: &[u8]);
    /// What comes before the series of a metric, which take so many bytes.
    fn head(&mut self, out: &mut Vec<u8>, shown: &Shown, series_bytes: usize);
    /// A metric of the process.
    fn process(&mut self, out: &mut Vec<u8>, metric: &ProcessMetric);
    /// The end of the page.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// A page, in pieces that it shares with later ones.
#[derive(Clone, Debug, Default)]
pub struct Page(Vec<Bytes>);

impl Page {
    /// Its pieces in order.
    pub(crate) fn into_pieces(self) -> Vec<Bytes> {
        self.0
    }

    /// All of it in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.concat()
    }
}

/// A copy of the registry for scrapers, and the last page of each format.
#[derive(Debug, Default)]
pub struct Pages {
    shown: Vec<Shown>,
    look: u32,
    /// Pages that were written.
    written: u32,
    shows_native: bool,
    new_at_zero: Duration,
    whole: LastPages,
    /// With new series at zero.
    held_back: LastPages,
}

/// The last page of each format.
#[derive(Debug, Default)]
struct LastPages {
    text: Option<LastPage>,
    openmetrics: Option<LastPage>,
    protobuf: Option<LastPage>,
}

/// A format that was not asked for while so many pages were written is not kept.
const KEPT_PAGES: u32 = 20;

/// Series in a piece: counters and gauges of some 200 bytes, histograms of some 5000.
const NUMBERS_A_PIECE: usize = 128;
const HISTOGRAMS_A_PIECE: usize = 6;

#[derive(Debug, Default)]
struct LastPage {
    /// By metric.
    blocks: Vec<Block>,
    /// Memory of a piece that was replaced.
    spare: Vec<u8>,
    look: u32,
    /// Pages that were written before it.
    written: u32,
}

/// What the page has of a metric.
#[derive(Debug, Default)]
struct Block {
    head: Bytes,
    /// What the head was written for.
    bytes: usize,
    pieces: Vec<Piece>,
}

/// Series next to each other.
#[derive(Debug)]
struct Piece {
    text: Bytes,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Pages {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { shown: INVENTORY.iter().map(Shown::new).collect(), ..Self::default() }
    }

    /// Of a registry at whose changes somebody else may look.
    #[cfg(test)]
    pub(crate) fn of(registry: &Registry) -> Self {
        let mut pages = Self { look: 1, shows_native: registry.shows_native, ..Self::new() };
        for (shown, family) in pages.shown.iter_mut().zip(registry.families()) {
            shown.copy_new(family, 1);
        }
        pages
    }

    /// Copies what changed since the last look.
    pub fn look(&mut self, registry: &mut Registry) {
        self.look += 1;
        if self.shows_native != registry.shows_native {
            self.shows_native = registry.shows_native;
            self.whole.protobuf = None;
            self.held_back.protobuf = None;
        }
        self.new_at_zero = registry.new_at_zero;
        for (shown, family) in self.shown.iter_mut().zip(registry.families_mut()) {
            shown.look(family, self.look);
        }
    }

    /// Copies only what the server tells of itself; all else stays as it was at the last look.
    pub(crate) fn look_at_server(&mut self, registry: &mut Registry) {
        self.look += 1;
        let pairs = self.shown.iter_mut().zip(registry.families_mut());
        for (shown, family) in pairs.filter(|(shown, _)| !shown.metric.id.is_of_core()) {
            shown.look(family, self.look);
        }
    }

    /// The whole page as of the last look, then what is known of the process.
    pub fn write(&mut self, format: Format, process: &[ProcessMetric]) -> Page {
        self.write_held_back(false, format, process)
    }

    /// The same as a scraper sees it: with the series at zero that are new to it.
    pub(crate) fn write_scraped(
        &mut self,
        scrape: Scrape,
        format: Format,
        process: &[ProcessMetric],
    ) -> Page {
        // What is let go has changed since the last page, even if nobody looked in between.
        self.look += 1;
        let Self { shown, look, new_at_zero, .. } = self;
        let held =
            shown.iter_mut().filter_map(|shown| shown.scrape(scrape, *new_at_zero, *look).then_some(()));
        let is_held_back = held.count() > 0;
        self.write_held_back(is_held_back, format, process)
    }

    fn write_held_back(&mut self, is_held_back: bool, format: Format, process: &[ProcessMetric]) -> Page {
        self.written += 1;
        let Self { shown, look, written, shows_native, whole, held_back, .. } = self;
        for shown in &mut *shown {
            shown.holds_back = is_held_back;
        }
        for last in [&mut *whole, &mut *held_back] {
            last.forget_unused(*written);
        }
        let last = if is_held_back { held_back } else { whole };
        let now = (*look, *written);
        match format {
            Format::Text => write(&mut last.text, shown, now, &mut Lines::new(false), process),
            Format::OpenMetrics(_) => {
                write(&mut last.openmetrics, shown, now, &mut Lines::new(true), process)
            }
            Format::Protobuf(_) => {
                write(&mut last.protobuf, shown, now, &mut Messages::new(*shows_native), process)
            }
        }
    }
}

fn write(
    last: &mut Option<LastPage>,
    shown: &[Shown],
    (look, written): (u32, u32),
    writer: &mut impl Writer,
    process: &[ProcessMetric],
) -> Page {
    let LastPage { blocks, spare, look: last_look, written: last_written } = last.get_or_insert_default();
    blocks.resize_with(shown.len(), Block::default);
    let mut page = Vec::new();
    for (shown, block) in shown.iter().zip(blocks) {
        if shown.is_empty() {
            *block = Block::default();
            continue;
        }
        block.write(shown, writer, *last_look, spare);
        page.push(block.head.clone());
        page.extend(block.pieces.iter().map(|piece| piece.text.clone()));
    }
    (*last_look, *last_written) = (look, written);
    let mut tail = Vec::new();
    for metric in process {
        writer.process(&mut tail, metric);
    }
    writer.end(&mut tail);
    page.push(tail.into());
    Page(page)
}

impl LastPages {
    fn forget_unused(&mut self, written: u32) {
        for last in [&mut self.text, &mut self.openmetrics, &mut self.protobuf] {
            *last = last.take().filter(|last| written - last.written < KEPT_PAGES);
        }
    }
}

impl Block {
    fn write(&mut self, shown: &Shown, writer: &mut impl Writer, last_look: u32, spare: &mut Vec<u8>) {
        let series_a_piece = match shown.metric.kind {
            Kind::Histogram(_) => HISTOGRAMS_A_PIECE,
            Kind::Counter | Kind::Gauge => NUMBERS_A_PIECE,
        };
        let is_remade = shown.remade_at > last_look;
        if is_remade || shown.last_change > last_look {
            writer.open(shown);
        }
        if is_remade {
            let places = 0..shown.changed_at.len();
            let firsts = places.clone().step_by(series_a_piece);
            let places = firsts.map(|first| first..places.end.min(first + series_a_piece));
            self.pieces = places.map(|places| Piece::new(shown, places, writer, spare)).collect();
        } else if shown.last_change > last_look {
            let changes = shown.changed_at.chunks(series_a_piece);
            for (number, (piece, changes)) in self.pieces.iter_mut().zip(changes).enumerate() {
                if changes.iter().any(|&changed_at| changed_at > last_look) {
                    piece.rewrite(shown, number * series_a_piece, writer, last_look, spare);
                }
            }
        }
        let bytes = self.pieces.iter().map(|piece| piece.text.len()).sum();
        if self.bytes != bytes {
            self.bytes = bytes;
            let mut head = Vec::new();
            writer.head(&mut head, shown, bytes);
            self.head = head.into();
        }
    }
}

impl Piece {
    fn new(
        shown: &Shown,
        places: std::ops::Range<usize>,
        writer: &mut impl Writer,
        spare: &mut Vec<u8>,
    ) -> Self {
        spare.clear();
        let mut ends = Vec::with_capacity(places.len());
        for place in places {
            writer.series(spare, shown, shown.at(place));
            ends.push(spare.len() as u32);
        }
        Self { text: Bytes::copy_from_slice(spare), ends }
    }

    fn rewrite(
        &mut self,
        shown: &Shown,
        first: usize,
        writer: &mut impl Writer,
        last_look: u32,
        spare: &mut Vec<u8>,
    ) {
        let before = &*self.text;
        let mut out = std::mem::take(spare);
        out.clear();
        // So that it seldom grows: numbers get longer.
        out.reserve(before.len() + before.len() / 32);
        let (mut begin, mut copied, mut moved) = (0, 0, 0_u32);
        for (place, end) in (first..).zip(&mut self.ends) {
            let old_end = *end;
            if shown.changed_at[place] > last_look {
                out.extend_from_slice(&before[copied..begin]);
                writer.again(&mut out, shown, shown.at(place), &before[begin..old_end as usize]);
                copied = old_end as usize;
                moved = (out.len() as u32).wrapping_sub(old_end);
            }
            *end = old_end.wrapping_add(moved);
            begin = old_end as usize;
        }
        out.extend_from_slice(&before[copied..]);
        let old = std::mem::replace(&mut self.text, out.into());
        if old.is_unique() {
            *spare = old.into();
        }
    }
}

#[cfg(test)]
mod tests;
