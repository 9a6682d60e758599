//! Reads a capture: the OTLP export requests of one recorded run, in the order in which they arrived.
//!
//! A `capture.otlp.gz` is a gzip stream of records. Each record is a length (`u32`, big endian), the
//! milliseconds since the first record (`u32`, big endian) and the bytes of one
//! `ExportTraceServiceRequest`. The product has a reader of its own (`spantally replay`); this one stands
//! apart from it, so that a mistake shows.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

/// A request larger than this is a broken length, not a request: the recordings hold about 50 KiB in each.
const MAX_REQUEST_BYTES: u32 = 64 << 20;

/// One recorded export request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it arrived, in milliseconds after the first one.
    pub at_ms: u32,
    /// The protobuf bytes, as they were sent.
    pub body: Vec<u8>,
}

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened or is not gzip.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The stream ends inside a record, or a record's length makes no sense.
    #[error("{path}: record {record}: {problem}", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Which record, from 0.
        record: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads `capture.otlp.gz` of a capture directory.
pub fn read_capture(directory: &Path) -> Result<Vec<Request>, CaptureError> {
    let path = directory.join("capture.otlp.gz");
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| MultiGzDecoder::new(BufReader::new(file)).read_to_end(&mut bytes))
        .map_err(|source| CaptureError::Io { path: path.clone(), source })?;
    split_records(&bytes).map_err(|(record, problem)| CaptureError::Record { path, record, problem })
}

/// Splits the unpacked stream. An error names the record and what is wrong with it.
fn split_records(mut rest: &[u8]) -> Result<Vec<Request>, (usize, String)> {
    let mut requests = Vec::new();
    while !rest.is_empty() {
        let record = requests.len();
        let head = rest.split_first_chunk::<4>();
        let head = head.and_then(|(length, tail)| Some((length, tail.split_first_chunk::<4>()?)));
        let Some((length, (at_ms, tail))) = head else {
            return Err((record, format!("{} bytes are left, a record's head has 8", rest.len())));
        };
        let (length, at_ms) = (u32::from_be_bytes(*length), u32::from_be_bytes(*at_ms));
        if length > MAX_REQUEST_BYTES {
            return Err((
                record,
                format!("its length is {length} bytes, at most {MAX_REQUEST_BYTES} are read"),
            ));
        }
        let Some((body, tail)) = tail.split_at_checked(length as usize) else {
            return Err((record, format!("it claims {length} bytes, {} are left", tail.len())));
        };
        requests.push(Request { at_ms, body: body.to_vec() });
        rest = tail;
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at_ms: u32, body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes()[..], &at_ms.to_be_bytes()[..], body].concat()
    }

    #[test]
    fn records_come_out_in_order() {
        let stream = [record(0, b"one"), record(70_000, b"")].concat();
        let expected =
            vec![Request { at_ms: 0, body: b"one".to_vec() }, Request { at_ms: 70_000, body: Vec::new() }];
        assert_eq!(split_records(&stream), Ok(expected));
        assert_eq!(split_records(b""), Ok(Vec::new()));
    }

    #[test]
    fn a_cut_or_absurd_record_is_named() {
        let good = record(0, b"one");
        let cut_head = [&good[..], &[0, 0, 0]].concat();
        assert_eq!(split_records(&cut_head).unwrap_err().0, 1);
        let (at, problem) = split_records(&good[..good.len() - 1]).unwrap_err();
        assert_eq!((at, problem.as_str()), (0, "it claims 3 bytes, 2 are left"));
        let absurd = [&u32::MAX.to_be_bytes()[..], &[0; 4]].concat();
        assert!(split_records(&absurd).unwrap_err().1.contains("at most"));
    }
}
