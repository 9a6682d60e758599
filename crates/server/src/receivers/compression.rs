//! Inflating bodies without ever holding more than the limit.

use std::io::Read;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

use super::answer::Failure;
use super::tenant::Room;
use crate::request_end::RequestEnd;

/// Bytes that a body grows by while it inflates, at least.
const STEP_BYTES: usize = 64 << 10;

/// Largest zstd window, as a power of two: the 8 MiB that RFC 8878 asks every decoder to support. A frame may
/// demand gigabytes in its header.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not at all.
    Identity,
    /// gzip; several members one after the other are one body.
    Gzip,
    /// zlib, which HTTP calls deflate.
    Deflate,
    /// Zstandard.
    Zstd,
}

impl Coding {
    /// What we take, as `accept-encoding` and `grpc-accept-encoding` spell it.
    pub(super) const ACCEPTED: &'static str = "gzip, zstd, deflate, identity";

    /// The coding of a `content-encoding` or `grpc-encoding` header.
    pub(super) fn parse(name: &str) -> Option<Self> {
        const NAMES: [(&str, Coding); 5] = [
            ("", Coding::Identity),
            ("identity", Coding::Identity),
            ("gzip", Coding::Gzip),
            ("zstd", Coding::Zstd),
            ("deflate", Coding::Deflate),
        ];
        NAMES.iter().find(|(known, _)| name.trim().eq_ignore_ascii_case(known)).map(|(_, coding)| *coding)
    }

    /// The body inflated, of at most `limit` bytes.
    pub(super) fn inflate(self, body: Bytes, limit: usize, room: &mut Room) -> Result<Bytes, Failure> {
        let mut output = Output { bytes: Vec::new(), limit, room };
        match self {
            Self::Identity => return Ok(body),
            Self::Gzip => output.read(flate2::bufread::MultiGzDecoder::new(&*body), "gzip")?,
            Self::Deflate => output.read_zlib(&body)?,
            Self::Zstd => {
                let broken = |error| broken("zstd", &error);
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&*body).map_err(broken)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
                output.read(decoder, "zstd")?;
            }
        }
        Ok(output.bytes.into())
    }
}

fn broken(coding: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(RequestEnd::BadData, format!("the body does not inflate as {coding}: {error}"))
}

/// A body that grows by steps, each of them admitted.
struct Output<'a> {
    bytes: Vec<u8>,
    limit: usize,
    room: &'a mut Room,
}

impl Output<'_> {
    /// Makes room: as much again as there is. One byte past the limit is enough to tell that it is passed.
    fn room(&mut self) -> Result<usize, Failure> {
        let len = self.bytes.len();
        if len > self.limit {
            return Err(Failure::too_large(self.limit, "inflated"));
        }
        let step = len.max(STEP_BYTES).min(self.limit + 1 - len);
        self.room.grow(step)?;
        self.bytes.reserve_exact(step);
        Ok(step)
    }

    fn read(&mut self, mut decoder: impl Read, coding: &str) -> Result<(), Failure> {
        loop {
            let step = self.room()?;
            let read = decoder.by_ref().take(step as u64).read_to_end(&mut self.bytes);
            if read.map_err(|error| broken(coding, &error))? < step {
                return Ok(());
            }
        }
    }

    /// flate2's reader of zlib takes a stream that was cut off for one that ended; this does not.
    fn read_zlib(&mut self, mut input: &[u8]) -> Result<(), Failure> {
        let mut inflater = Decompress::new(true);
        loop {
            self.room()?;
            let before = inflater.total_in();
            let status = inflater.decompress_vec(input, &mut self.bytes, FlushDecompress::None);
            let status = status.map_err(|error| broken("deflate", &error))?;
            input = &input[(inflater.total_in() - before) as usize..];
            let full = self.bytes.len() == self.bytes.capacity();
            match status {
                Status::StreamEnd if self.bytes.len() > self.limit => {}
                Status::StreamEnd if input.is_empty() => return Ok(()),
                Status::StreamEnd => return Err(broken("deflate", &"bytes follow its end")),
                _ if input.is_empty() && !full => return Err(broken("deflate", &"it was cut off")),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;
    use crate::receivers::testing::inflight;

    const LIMIT: usize = 300_000;

    fn packed(coding: Coding, plain: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        match coding {
            Coding::Identity => plain.to_vec(),
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Zstd => zstd::encode_all(plain, 1).unwrap(),
        }
    }

    fn inflated(coding: Coding, body: Vec<u8>) -> Result<Bytes, RequestEnd> {
        let inflight = Arc::new(inflight(1 << 30));
        coding.inflate(body.into(), LIMIT, &mut Room::of(&inflight)).map_err(|failure| failure.end)
    }

    /// Bytes that do not compress to nothing.
    fn plain(len: usize) -> Vec<u8> {
        (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as u8).collect()
    }

    #[test]
    fn bodies_come_out_as_they_went_in_up_to_the_limit() {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Zstd] {
            for len in [0, 1, STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, LIMIT] {
                let plain = plain(len);
                assert!(inflated(coding, packed(coding, &plain)).unwrap() == plain, "{coding:?} {len}");
            }
            let over = packed(coding, &plain(LIMIT + 1));
            assert_eq!(inflated(coding, over).unwrap_err(), RequestEnd::TooLarge, "{coding:?}");
        }
    }

    #[test]
    fn every_cut_and_every_trailing_byte_is_bad_data() {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Zstd] {
            let whole = packed(coding, &plain(1000));
            for len in 1..whole.len() {
                let cut = inflated(coding, whole[..len].to_vec());
                assert_eq!(cut.unwrap_err(), RequestEnd::BadData, "{coding:?} {len}");
            }
            let trailing = [&*whole, b"x"].concat();
            assert_eq!(inflated(coding, trailing).unwrap_err(), RequestEnd::BadData, "{coding:?}");
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit_and_counts_as_bytes_in_flight() {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Zstd] {
            let bomb = packed(coding, &vec![0; 50 << 20]);
            assert!(bomb.len() < LIMIT);
            assert_eq!(inflated(coding, bomb.clone()).unwrap_err(), RequestEnd::TooLarge, "{coding:?}");
            let inflight = Arc::new(inflight(100_000));
            let mut other = inflight.admission();
            other.grow(1).unwrap();
            let refused = coding.inflate(bomb.into(), LIMIT, &mut Room::of(&inflight)).unwrap_err();
            assert_eq!(refused.end, RequestEnd::Overloaded, "{coding:?}");
            assert_eq!(inflight.used_bytes(), 1);
        }
    }

    #[test]
    fn a_zstd_frame_that_demands_a_huge_window_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&plain(1000)).unwrap();
        assert_eq!(inflated(Coding::Zstd, encoder.finish().unwrap()).unwrap_err(), RequestEnd::BadData);
    }
}
