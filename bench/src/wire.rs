//! Writes protobuf by hand and remembers where in the bytes the parts lie that change from one sending to the
//! next.
//!
//! A batch is encoded once. Before it is sent again, ids and times are overwritten in place, so that the
//! server has new work to do (equal spans would be dropped as duplicates) while the load generator has almost
//! none.

/// A part of a batch that is overwritten before each sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Offset in the bytes.
    pub at: usize,
    /// What is written there.
    pub what: Patch,
}

/// What is written at a [`Site`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// Four bytes that depend on this number and on the sending.
    Id(u32),
    /// The same as eight hexadecimal characters: the head of a task id in an address.
    Hex(u32),
    /// Eight hexadecimal characters of the service that sends this batch this time, of so many.
    Service {
        /// The batch.
        number: u32,
        /// How many services there are.
        of: u32,
    },
    /// A time, this many nanoseconds after the time base of the sending.
    Time(u64),
}

/// An encoded message and its sites.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where they change.
    pub sites: Vec<Site>,
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LEN: u8 = 2;

impl Encoded {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Field numbers below 16 only: that is all OTLP traces need.
    fn tag(&mut self, field: u8, wire_type: u8) {
        self.bytes.push(field << 3 | wire_type);
    }

    /// A number.
    pub fn number(&mut self, field: u8, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    /// Bytes or text.
    pub fn slice(&mut self, field: u8, value: &[u8]) {
        self.tag(field, LEN);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// A message in this one; its sites move along.
    pub fn message(&mut self, field: u8, inner: &Self) {
        self.slice(field, &inner.bytes);
        let base = self.bytes.len() - inner.bytes.len();
        self.sites.extend(inner.sites.iter().map(|site| Site { at: site.at + base, what: site.what }));
    }

    /// An id of `len` bytes (8 or 16): four that change, four that number it, the rest scrambled.
    pub fn id(&mut self, field: u8, len: usize, number: u32) {
        let mut bytes = vec![0; len];
        for (nth, word) in (0..).zip(bytes.chunks_mut(4)) {
            let value = if nth == 1 { number } else { mix(number, nth) };
            word.copy_from_slice(&value.to_be_bytes());
        }
        self.slice(field, &bytes);
        self.sites.push(Site { at: self.bytes.len() - len, what: Patch::Id(number) });
    }

    /// A time.
    pub fn time(&mut self, field: u8, offset_ns: u64) {
        self.tag(field, FIXED64);
        self.sites.push(Site { at: self.bytes.len(), what: Patch::Time(offset_ns) });
        self.bytes.extend_from_slice(&[0; 8]);
    }

    /// The name of one of `of` services, another in each sending.
    pub fn service(&mut self, field: u8, number: u32, of: u32) {
        let (name, value) = ("service.name", "clips-00000000");
        let mut any = Self::default();
        any.slice(1, value.as_bytes());
        any.sites.push(Site { at: any.bytes.len() - 8, what: Patch::Service { number, of } });
        self.attribute(field, name, &any);
    }

    /// A text attribute; `task` says where in the text a task id begins, and whose.
    pub fn text(&mut self, field: u8, name: &str, value: &str, task: Option<(usize, u32)>) {
        let mut any = Self::default();
        any.slice(1, value.as_bytes());
        if let Some((offset, number)) = task {
            let at = any.bytes.len() - value.len() + offset;
            any.sites.push(Site { at, what: Patch::Hex(number) });
        }
        self.attribute(field, name, &any);
    }

    /// An integer attribute.
    pub fn integer(&mut self, field: u8, name: &str, value: u64) {
        let mut any = Self::default();
        any.number(3, value);
        self.attribute(field, name, &any);
    }

    fn attribute(&mut self, field: u8, name: &str, any: &Self) {
        let mut pair = Self::default();
        pair.slice(1, name.as_bytes());
        pair.message(2, any);
        self.message(field, &pair);
    }

    /// The bytes of one sending. Two sendings with different `round` share no id and no task.
    pub fn stamped(&self, round: u32, base_unix_nano: u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for site in &self.sites {
            match site.what {
                Patch::Id(number) => {
                    bytes[site.at..site.at + 4].copy_from_slice(&mix(number, round).to_be_bytes());
                }
                Patch::Hex(number) => hex(mix(number, round), &mut bytes[site.at..site.at + 8]),
                Patch::Service { number, of } => {
                    hex(mix(number, round) % of.max(1), &mut bytes[site.at..site.at + 8]);
                }
                Patch::Time(offset_ns) => {
                    let time = base_unix_nano + offset_ns;
                    bytes[site.at..site.at + 8].copy_from_slice(&time.to_le_bytes());
                }
            }
        }
        bytes
    }
}

fn hex(value: u32, into: &mut [u8]) {
    for (nth, byte) in into.iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[(value >> (28 - 4 * nth) & 15) as usize];
    }
}

/// Of one `number`, different for every `round`: a bijection of the round, scrambled.
fn mix(number: u32, round: u32) -> u32 {
    let scrambled = (round ^ number.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca6b);
    scrambled ^ scrambled >> 15
}
