//! A recording as a stream of plain bytes: where it is, and what it is compressed with.
//!
//! Compression is told by the first bytes, never by the file's name: recordings are renamed, and standard
//! input has none.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// The first bytes of a gzip stream (RFC 1952).
const GZIP: &[u8] = &[0x1f, 0x8b];
/// The first bytes of a Zstandard frame (RFC 8878).
pub(super) const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The name of standard input on a command line.
pub(crate) const STDIN: &str = "-";

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// A stream whose first bytes have been looked at.
pub(super) type Peeked<R> = Chain<Cursor<Vec<u8>>, R>;

/// Opens a file, or standard input for `-`.
///
/// # Errors
/// It is not there, is a directory, or may not be read.
pub fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if path == Path::new(STDIN) {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Ok(Box::new(file))
}

/// Takes the compression off, if there is any.
///
/// # Errors
/// The first bytes cannot be read.
pub fn plain(raw: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    let (head, raw) = peek(BufReader::with_capacity(BUFFER_BYTES, raw), ZSTD.len())?;
    Ok(if head.starts_with(GZIP) {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(raw)))
    } else if head.starts_with(ZSTD) {
        let decoder = zstd::stream::read::Decoder::with_buffer(raw)?;
        Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
    } else {
        Box::new(raw)
    })
}

/// The first bytes of a stream, fewer only at its end, and the stream with them still in it.
pub(super) fn peek<R: BufRead>(mut stream: R, bytes: usize) -> io::Result<(Vec<u8>, Peeked<R>)> {
    let mut head = Vec::with_capacity(bytes);
    stream.by_ref().take(bytes as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(stream)))
}
