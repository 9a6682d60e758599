//! Reading a request body within its limits.
//!
//! A body that arrives in one frame is handed on as it is; one in several is put together once. Each byte is
//! admitted before it is kept, and no more than as much again: a length that is announced and never sent must
//! not take the room of those who send, and one connection may announce hundreds.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::answer::Failure;
use super::tenant::Room;
use crate::request_end::RequestEnd;

/// Bytes before a gRPC message: whether it is compressed, and its length.
const GRPC_PREFIX_BYTES: usize = 5;

/// Most room that is made beyond what has come.
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// The room of a body that is being read.
struct Admitted<'r> {
    room: &'r mut Room,
    bytes: usize,
}

impl Admitted<'_> {
    /// Makes sure of room for what has come, and for as much again of what is announced. The first `framing`
    /// bytes are not of the message.
    fn cover(&mut self, come: usize, framing: usize, announced: usize) -> Result<(), Failure> {
        if come > self.bytes {
            let ahead = come.saturating_sub(framing).min(AHEAD_BYTES_MAX);
            let wanted = announced.min(come + ahead).max(come);
            self.room.grow(wanted - self.bytes)?;
            self.bytes = wanted;
        }
        Ok(())
    }
}

/// Reads an HTTP body of at most `limit` bytes.
pub(super) async fn whole(body: &mut Incoming, limit: usize, room: &mut Room) -> Result<Bytes, Failure> {
    let announced = body.size_hint().exact().unwrap_or(0);
    if announced > limit as u64 {
        return Err(Failure::too_large(limit, "request"));
    }
    let announced = announced as usize;
    let mut admitted = Admitted { room, bytes: 0 };
    let mut whole = Joined::default();
    while let Some(chunk) = next(body).await? {
        let len = whole.len() + chunk.len();
        if len > limit {
            return Err(Failure::too_large(limit, "request"));
        }
        admitted.cover(len, 0, announced)?;
        whole.push(chunk, admitted.bytes);
    }
    Ok(whole.finish())
}

/// Reads the one message of a unary gRPC call, of at most `limit` bytes, and whether it is compressed.
pub(super) async fn message(
    body: &mut Incoming,
    limit: usize,
    room: &mut Room,
) -> Result<(bool, Bytes), Failure> {
    let mut whole = Joined::default();
    let mut expected = None;
    let mut admitted = Admitted { room, bytes: 0 };
    while let Some(chunk) = next(body).await? {
        if let Some(expected) = expected {
            admitted.cover(whole.len() + chunk.len(), GRPC_PREFIX_BYTES, expected)?;
        }
        whole.push(chunk, admitted.bytes);
        if expected.is_none()
            && let Some(prefix) = whole.as_slice().first_chunk::<GRPC_PREFIX_BYTES>()
        {
            let [_, length @ ..] = *prefix;
            let length = u32::from_be_bytes(length) as usize;
            if length > limit {
                return Err(Failure::too_large(limit, "request"));
            }
            expected = Some(GRPC_PREFIX_BYTES + length);
            admitted.cover(whole.len(), GRPC_PREFIX_BYTES, GRPC_PREFIX_BYTES + length)?;
        }
        if expected.is_some_and(|expected| whole.len() > expected) {
            return Err(bad("more than one message in a unary call"));
        }
    }
    let mut message = whole.finish();
    if expected != Some(message.len()) {
        return Err(bad("the body ends before its message does"));
    }
    let compressed = match message[0] {
        0 => false,
        1 => true,
        _ => return Err(bad("the compressed flag of the message is neither 0 nor 1")),
    };
    message.advance(GRPC_PREFIX_BYTES);
    Ok((compressed, message))
}

fn bad(message: &'static str) -> Failure {
    Failure::new(RequestEnd::BadData, message)
}

/// The next data of a body; trailers are not for us.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::new(RequestEnd::Disconnected, format!("the body did not come to its end: {error}"))
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Reads and forgets what is left of a body. A client that is still sending when its connection is closed
/// would see a reset, and not the answer.
pub(super) async fn discard(body: &mut Incoming, mut bytes_max: usize) {
    while let Ok(Some(chunk)) = next(body).await
        && chunk.len() <= bytes_max
    {
        bytes_max -= chunk.len();
    }
}

/// Chunks put together: the first as it is, copied only when a second comes. Many clients end a body with an
/// empty one, which is none.
#[derive(Default)]
struct Joined {
    first: Bytes,
    all: BytesMut,
}

impl Joined {
    fn as_slice(&self) -> &[u8] {
        if self.all.is_empty() { &self.first } else { &self.all }
    }

    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn push(&mut self, chunk: Bytes, expected: usize) {
        if chunk.is_empty() {
            return;
        }
        if self.len() == 0 {
            self.first = chunk;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(expected.max(self.first.len() + chunk.len()));
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&chunk);
    }

    fn finish(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_one_frame_is_not_copied() {
        let body = Bytes::from(vec![7; 1000]);
        let mut joined = Joined::default();
        for chunk in [Bytes::new(), body.clone(), Bytes::new()] {
            joined.push(chunk, 1000);
        }
        let joined = joined.finish();
        assert_eq!(joined, body);
        assert_eq!(joined.as_ptr(), body.as_ptr());
    }

    #[test]
    fn one_in_several_is_put_together() {
        let body: Vec<u8> = (0..=255).collect();
        let mut joined = Joined::default();
        for chunk in body.chunks(100) {
            joined.push(Bytes::copy_from_slice(chunk), 256);
            joined.push(Bytes::new(), 256);
        }
        assert_eq!(joined.finish(), body);
    }
}
