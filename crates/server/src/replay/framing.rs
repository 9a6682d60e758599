//! Where one export request ends and the next begins.
//!
//! | framing | written by | told by |
//! |---|---|---|
//! | JSON lines | the Collector's file exporter, `format: json` | `{` |
//! | big-endian length | the same, `format: proto` or any `compression` | byte 4 begins a request |
//! | capture | length, milliseconds since the first record, request | byte 8 begins a request |
//! | varint length | the usual "delimited" protobuf streams | anything else that begins so |
//!
//! A protobuf request begins with the byte `0a` (field 1, a message); with `compression` the exporter
//! compresses each request by itself, so that it begins as a Zstandard frame does.
//!
//! One request is in memory at a time. After one that cannot be read the next is found again, unless its
//! length was the thing that was wrong.

use std::fmt;
use std::io::{self, BufRead, Read};

use super::foreign::Foreign;
use super::input::{Peeked, ZSTD, peek};
use crate::decode::DecodeError;

/// The largest request that is read, in bytes: the receivers' own default limit.
pub(crate) const RECORD_BYTES_MAX: u64 = 64 << 20;

/// The first byte of an encoded request that is not empty.
const REQUEST_BEGINS: u8 = 0x0a;
/// Bytes that tell the framing.
const HEAD_BYTES: usize = 16;

/// How requests follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON document a line.
    JsonLines,
    /// 32-bit big-endian length, then the request.
    BigEndian,
    /// 32-bit big-endian length, 32-bit big-endian milliseconds since the first record, then the request.
    Capture,
    /// Length as a varint, then the request.
    Varint,
}

impl Framing {
    /// The framing of a stream that begins so.
    pub fn of(head: &[u8]) -> Option<Self> {
        let text = head.trim_ascii_start();
        // A delimited message of 123 bytes begins with `{` as well, then with a field of two levels.
        let is_message = text.get(1) == Some(&REQUEST_BEGINS) && matches!(text.get(3), Some(0x0a | 0x12));
        if text.first() == Some(&b'{') && !is_message {
            return Some(Self::JsonLines);
        }
        let begins = |at: usize| head.get(at) == Some(&REQUEST_BEGINS);
        let length = head.first_chunk().map(|bytes| u64::from(u32::from_be_bytes(*bytes)));
        if length.is_some_and(|length| (1..=RECORD_BYTES_MAX).contains(&length)) {
            if begins(4) || head[4..].starts_with(ZSTD) {
                return Some(Self::BigEndian);
            }
            if begins(8) {
                return Some(Self::Capture);
            }
        }
        let (length, at) = varint(head)?;
        (begins(at) && (1..=RECORD_BYTES_MAX).contains(&length)).then_some(Self::Varint)
    }

    /// What one request of it is called.
    fn record_name(self) -> &'static str {
        match self {
            Self::JsonLines => "line",
            Self::BigEndian | Self::Capture | Self::Varint => "record",
        }
    }
}

/// A varint at the start of some bytes, and how many of them it took.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (at, &byte) in bytes.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some((value, at + 1));
        }
    }
    None
}

/// One encoded request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its bytes.
    pub body: &'a [u8],
    /// Whether they are JSON; else protobuf.
    pub is_json: bool,
}

/// A part of a recording that could not be read.
#[derive(Debug)]
pub struct Problem {
    /// The recording.
    pub file: String,
    /// Line or record, from 1.
    pub record: u64,
    /// Where it begins, in bytes after decompression.
    pub at: u64,
    /// What is wrong.
    pub fault: Fault,
    record_name: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, record, at, fault, record_name } = self;
        write!(f, "{file}: {record_name} {record} at byte {at}: {fault}")
    }
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file ends inside it.
    #[error("expected {wanted} bytes of {part}, found {found} before the end (was the recording cut off?)")]
    CutOff {
        /// What was being read.
        part: &'static str,
        /// How many bytes it should have.
        wanted: u64,
        /// How many there are.
        found: u64,
    },
    /// More than one may have.
    #[error("it is larger than {RECORD_BYTES_MAX} bytes; expected one export request")]
    TooLarge,
    /// The file begins like nothing that is known.
    #[error(
        "expected OTLP trace requests as JSON lines or as protobuf with a length before each; \
         the content begins with {}", Hex(.head)
    )]
    Format {
        /// How it begins.
        head: Vec<u8>,
    },
    /// A JSON document over many lines.
    #[error("expected one request a line; this document has many lines (jq -c . FILE puts it on one)")]
    ManyLines,
    /// The file, or its compression, is broken.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Its own compression is broken.
    #[error("its compression cannot be undone: {0}")]
    Inflate(io::Error),
    /// It is JSON of another kind.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// It is no export request.
    #[error("expected an ExportTraceServiceRequest: {0}")]
    Decode(#[from] DecodeError),
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(9).enumerate().try_for_each(|(at, byte)| {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")
        })
    }
}

/// Reads the requests of one recording, one after another.
pub struct Recording {
    name: String,
    bytes: Peeked<Box<dyn BufRead + Send>>,
    framing: Option<Framing>,
    /// The record that is being read, from 1, and where it began.
    record: u64,
    began: u64,
    at: u64,
    body: Vec<u8>,
    head: Vec<u8>,
    is_over: bool,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, framing, record, at, .. } = self;
        f.debug_struct("Recording")
            .field("name", name)
            .field("framing", framing)
            .field("record", record)
            .field("at", at)
            .finish_non_exhaustive()
    }
}

impl Recording {
    /// Looks at the first bytes of a plain stream; `name` is for messages.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn new(name: String, bytes: Box<dyn BufRead + Send>) -> io::Result<Self> {
        let (head, bytes) = peek(bytes, HEAD_BYTES)?;
        Ok(Self {
            name,
            bytes,
            framing: Framing::of(&head),
            record: 0,
            began: 0,
            at: 0,
            body: Vec::new(),
            is_over: head.is_empty(),
            head,
        })
    }

    /// How its requests follow one another, when that is known.
    #[cfg(test)]
    pub(crate) fn framing(&self) -> Option<Framing> {
        self.framing
    }

    /// The next request; none at the end, or when there is no telling where the next one begins.
    pub(crate) fn next_record(&mut self) -> Option<Result<Record<'_>, Problem>> {
        if self.is_over {
            return None;
        }
        self.began = self.at;
        self.record += 1;
        let Some(framing) = self.framing else {
            self.is_over = true;
            let head = std::mem::take(&mut self.head);
            return Some(Err(self.problem(Fault::Format { head })));
        };
        let read = match framing {
            Framing::JsonLines => self.line(),
            Framing::BigEndian | Framing::Capture | Framing::Varint => self.framed(framing),
        };
        match read {
            Ok(true) => {
                let is_json = framing == Framing::JsonLines || self.body.first() == Some(&b'{');
                Some(Ok(Record { body: &self.body, is_json }))
            }
            Ok(false) => {
                self.is_over = true;
                None
            }
            Err(fault) => {
                self.is_over = match fault {
                    // The end of a line too long is found.
                    Fault::TooLarge => framing != Framing::JsonLines,
                    Fault::Inflate(_) => false,
                    _ => true,
                };
                Some(Err(self.problem(fault)))
            }
        }
    }

    /// A problem with the record that was read last.
    pub fn problem(&self, fault: Fault) -> Problem {
        Problem {
            file: self.name.clone(),
            record: self.record,
            at: self.began,
            fault,
            record_name: self.framing.map_or("record", Framing::record_name),
        }
    }

    /// The next line that is not blank, without blanks around it.
    fn line(&mut self) -> Result<bool, Fault> {
        loop {
            self.body.clear();
            let read =
                self.bytes.by_ref().take(RECORD_BYTES_MAX + 1).read_until(b'\n', &mut self.body)? as u64;
            self.at += read;
            if read > RECORD_BYTES_MAX && self.body.last() != Some(&b'\n') {
                self.at += self.bytes.skip_until(b'\n')? as u64;
                return Err(Fault::TooLarge);
            }
            let line = self.body.trim_ascii();
            if line == b"{" && self.record == 1 {
                return Err(Fault::ManyLines);
            }
            if !line.is_empty() {
                let blanks = self.body.len() - self.body.trim_ascii_start().len();
                self.body.drain(..blanks);
                return Ok(true);
            }
            if read == 0 {
                return Ok(false);
            }
            self.record += 1;
            self.began = self.at;
        }
    }

    fn framed(&mut self, framing: Framing) -> Result<bool, Fault> {
        let length = match framing {
            Framing::Varint => self.varint_length()?,
            Framing::BigEndian => self.fixed_length::<4>()?,
            Framing::Capture | Framing::JsonLines => self.fixed_length::<8>()?,
        };
        let Some(length) = length else { return Ok(false) };
        if length > RECORD_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        self.body.clear();
        let found = self.bytes.by_ref().take(length).read_to_end(&mut self.body)? as u64;
        self.at += found;
        if found < length {
            return Err(Fault::CutOff { part: "a request", wanted: length, found });
        }
        if framing == Framing::BigEndian && self.body.starts_with(ZSTD) {
            self.body = inflate(&self.body).map_err(Fault::Inflate)?;
        }
        Ok(true)
    }

    /// The length at the start of a header of `N` bytes; none at the end of the stream.
    fn fixed_length<const N: usize>(&mut self) -> Result<Option<u64>, Fault> {
        let mut header = Vec::with_capacity(N);
        let found = self.bytes.by_ref().take(N as u64).read_to_end(&mut header)?;
        self.at += found as u64;
        match header.first_chunk() {
            _ if found == 0 => Ok(None),
            Some(length) if found == N => Ok(Some(u64::from(u32::from_be_bytes(*length)))),
            _ => Err(Fault::CutOff { part: "a header", wanted: N as u64, found: found as u64 }),
        }
    }

    fn varint_length(&mut self) -> Result<Option<u64>, Fault> {
        let mut header = Vec::with_capacity(9);
        for byte in self.bytes.by_ref().bytes().take(9) {
            header.push(byte?);
            self.at += 1;
            if let Some((length, _)) = varint(&header) {
                return Ok(Some(length));
            }
        }
        match header.len() {
            0 => Ok(None),
            9 => Err(Fault::TooLarge),
            found => Err(Fault::CutOff { part: "a length", wanted: found as u64 + 1, found: found as u64 }),
        }
    }
}

/// Undoes the compression of a request that was compressed by itself.
fn inflate(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut inflated = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(body)?;
    decoder.take(RECORD_BYTES_MAX + 1).read_to_end(&mut inflated)?;
    if inflated.len() as u64 > RECORD_BYTES_MAX {
        return Err(io::Error::other(format!("it holds more than {RECORD_BYTES_MAX} bytes")));
    }
    Ok(inflated)
}
