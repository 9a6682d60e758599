//! The page of metrics, made anew for each scrape from the one before.
//!
//! Between two scrapes few series change, and formatting is what costs. So the last page of each format is
//! kept, with the place of every series in it: of what did not change the bytes are copied in long runs, and
//! what changed is written anew, with its labels from the page before where the format lets it. The page that
//! is handed out and the one that is kept are the same memory; the page before that is written over as soon
//! as nobody sends it any more, for fresh memory costs more than the copy (measured; `docs/performance.md`).
//!
//! [`Pages::look`] needs the registry, [`Pages::write`] does not.

use bytes::Bytes;

use super::accept::Format;
use super::inventory::INVENTORY;
use super::process::ProcessMetric;
use super::protobuf::Messages;
use super::series::Registry;
use super::shown::{Shown, ShownSeries};
use super::text::Lines;

/// How a format writes.
pub(super) trait Writer {
    /// What comes before the series of a metric; they took so many bytes the last time.
    fn open(&mut self, out: &mut Vec<u8>, shown: &Shown, last_bytes: usize);
    /// A series.
    fn series(&mut self, out: &mut Vec<u8>, shown: &Shown, series: ShownSeries<'_>);
    /// A series of which only the value is not what it was, and what was written then.
    fn again(&mut self, out: &mut Vec<u8>, shown: &Shown, series: ShownSeries<'_>, before: &[u8]);
    /// What comes after the series; how far this moved them.
    fn close(&mut self, out: &mut Vec<u8>) -> isize;
    /// A metric of the process.
    fn process(&mut self, out: &mut Vec<u8>, metric: &ProcessMetric);
    /// The end of the page.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// A copy of the registry for scrapers, and the last page of each format.
#[derive(Debug, Default)]
pub struct Pages {
    shown: Vec<Shown>,
    look: u32,
    shows_native: bool,
    text: Option<LastPage>,
    openmetrics: Option<LastPage>,
    protobuf: Option<LastPage>,
}

/// A format that was not asked for during so many looks is not kept.
const KEPT_LOOKS: u32 = 20;

#[derive(Debug, Default)]
struct LastPage {
    page: Bytes,
    /// The one before.
    spare: Bytes,
    /// By metric.
    blocks: Vec<Block>,
    look: u32,
}

/// Where the series of a metric are in the page.
#[derive(Clone, Debug, Default)]
struct Block {
    start: usize,
    /// By place: where each ends, from the start.
    ends: Vec<usize>,
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
            self.protobuf = None;
        }
        for (shown, family) in self.shown.iter_mut().zip(registry.families_mut()) {
            shown.look(family, self.look);
        }
    }

    /// The whole page as of the last look, then what is known of the process.
    pub fn write(&mut self, format: Format, process: &[ProcessMetric]) -> Bytes {
        let Self { shown, look, .. } = self;
        let is_kept = |last: &LastPage| *look - last.look < KEPT_LOOKS;
        for last in [&mut self.text, &mut self.openmetrics, &mut self.protobuf] {
            *last = last.take().filter(is_kept);
        }
        match format {
            Format::Text => write(&mut self.text, shown, *look, &mut Lines::new(false), process),
            Format::OpenMetrics(_) => {
                write(&mut self.openmetrics, shown, *look, &mut Lines::new(true), process)
            }
            Format::Protobuf(_) => {
                let writer = &mut Messages::new(self.shows_native);
                write(&mut self.protobuf, shown, *look, writer, process)
            }
        }
    }
}

fn write(
    last: &mut Option<LastPage>,
    shown: &[Shown],
    look: u32,
    writer: &mut impl Writer,
    process: &[ProcessMetric],
) -> Bytes {
    let last = last.get_or_insert_default();
    last.blocks.resize_with(shown.len(), Block::default);
    let mut out = last.take_spare();
    for (shown, block) in shown.iter().zip(&mut last.blocks) {
        block.write(&mut out, shown, writer, &last.page, last.look);
    }
    for metric in process {
        writer.process(&mut out, metric);
    }
    writer.end(&mut out);
    last.look = look;
    last.spare = std::mem::replace(&mut last.page, Bytes::from(out));
    last.page.clone()
}

impl LastPage {
    /// The memory of the page before the last, if it was sent.
    fn take_spare(&mut self) -> Vec<u8> {
        let spare = std::mem::take(&mut self.spare);
        let mut out = if spare.is_unique() { Vec::from(spare) } else { Vec::new() };
        out.clear();
        // So that it seldom grows: numbers get longer.
        out.reserve(self.page.len() + self.page.len() / 64);
        out
    }
}

impl Block {
    fn write(
        &mut self,
        out: &mut Vec<u8>,
        shown: &Shown,
        writer: &mut impl Writer,
        last_page: &[u8],
        last_look: u32,
    ) {
        if shown.is_empty() {
            self.ends.clear();
            return;
        }
        let before = self.start..self.start + self.ends.last().copied().unwrap_or_default();
        writer.open(out, shown, before.len());
        self.start = out.len();
        if shown.remade_at > last_look {
            self.ends.clear();
            for series in shown.iter() {
                writer.series(out, shown, series);
                self.ends.push(out.len() - self.start);
            }
        } else if shown.last_change > last_look {
            self.write_changes(out, shown, writer, &last_page[before], last_look);
        } else {
            out.extend_from_slice(&last_page[before]);
        }
        self.start = self.start.wrapping_add_signed(writer.close(out));
    }

    fn write_changes(
        &mut self,
        out: &mut Vec<u8>,
        shown: &Shown,
        writer: &mut impl Writer,
        before: &[u8],
        last_look: u32,
    ) {
        let (mut begin, mut copied, mut moved) = (0, 0, 0_usize);
        for (place, (end, &changed_at)) in self.ends.iter_mut().zip(&shown.changed_at).enumerate() {
            let old_end = *end;
            if changed_at > last_look {
                out.extend_from_slice(&before[copied..begin]);
                writer.again(out, shown, shown.at(place), &before[begin..old_end]);
                copied = old_end;
                moved = (out.len() - self.start).wrapping_sub(old_end);
            }
            *end = old_end.wrapping_add(moved);
            begin = old_end;
        }
        out.extend_from_slice(&before[copied..]);
    }
}

#[cfg(test)]
mod tests;
