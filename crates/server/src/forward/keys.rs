//! Keys of spans as the log of those held has them, when they have gone.

use spantally_stitch::{SpanId, SpanKey, TraceId};

/// Bytes of a key in the log.
const KEY_BYTES: usize = 16 + 8;

/// Keys one after the other.
pub(super) fn write_keys(keys: impl Iterator<Item = SpanKey>) -> Vec<u8> {
    keys.flat_map(|key| key.trace.0.into_iter().chain(key.span.0)).collect()
}

/// What [`write_keys`] wrote.
pub(super) fn read_keys(bytes: &[u8]) -> impl Iterator<Item = SpanKey> {
    bytes.as_chunks::<KEY_BYTES>().0.iter().map(|bytes| {
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        trace.copy_from_slice(&bytes[..16]);
        span.copy_from_slice(&bytes[16..]);
        SpanKey { trace: TraceId(trace), span: SpanId(span) }
    })
}
