//! A request in a queue: its form on disk, and requests put together.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use spantally_stitch::UnixNanos;

/// One export request, as it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item<'a> {
    pub(super) tenant: Cow<'a, str>,
    /// Spans in it.
    pub(super) spans: u64,
    pub(super) received_at: UnixNanos,
    /// The encoded `ExportTraceServiceRequest`.
    pub(super) body: Bytes,
}

/// Requests that we make ourselves hold about this much, so that every destination takes one.
pub(super) const REQUEST_BYTES: usize = 1 << 20;

/// Version of the form on disk, the first byte of an item.
const VERSION: u8 = 1;

/// Bytes before tenant and body: version, their lengths, spans, time.
const HEAD_BYTES: usize = 1 + 1 + 4 + 8 + 8;

impl Item<'_> {
    /// The form on disk; items can follow one another.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(HEAD_BYTES + self.tenant.len() + self.body.len());
        row.push(VERSION);
        // The names of tenants are at most 128 bytes long.
        row.push(self.tenant.len() as u8);
        row.extend((self.body.len() as u32).to_le_bytes());
        row.extend(self.spans.to_le_bytes());
        row.extend(self.received_at.0.to_le_bytes());
        row.extend(self.tenant.as_bytes());
        row.extend(&*self.body);
        row
    }

    /// The items of a row; none if it is not one of this version.
    pub(super) fn decode_all(mut row: &[u8]) -> Option<Vec<Item<'static>>> {
        let mut items = Vec::new();
        while !row.is_empty() {
            let (head, rest) = row.split_at_checked(HEAD_BYTES)?;
            if head[0] != VERSION {
                return None;
            }
            let tenant_len = usize::from(head[1]);
            let body_len = u32::from_le_bytes(head[2..6].try_into().ok()?) as usize;
            let (tenant, rest) = rest.split_at_checked(tenant_len)?;
            let (body, rest) = rest.split_at_checked(body_len)?;
            items.push(Item {
                tenant: Cow::Owned(std::str::from_utf8(tenant).ok()?.to_owned()),
                spans: u64::from_le_bytes(head[6..14].try_into().ok()?),
                received_at: UnixNanos(u64::from_le_bytes(head[14..22].try_into().ok()?)),
                body: Bytes::copy_from_slice(body),
            });
            row = rest;
        }
        Some(items)
    }
}

/// A request to a destination: the requests of one tenant, put together.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) tenant: Arc<str>,
    pub(super) items: Vec<Item<'static>>,
}

impl Outgoing {
    pub(super) fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.body.len()).sum()
    }

    pub(super) fn spans(&self) -> u64 {
        self.items.iter().map(|item| item.spans).sum()
    }

    /// The message. Repeated fields of protobuf may come in pieces, so one request after the other is one.
    pub(super) fn message(&self) -> Bytes {
        match &*self.items {
            [one] => one.body.clone(),
            items => {
                let mut message = Vec::with_capacity(self.bytes());
                for item in items {
                    message.extend_from_slice(&item.body);
                }
                message.into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(tenant: &'static str, body: &'static [u8]) -> Item<'static> {
        let body = Bytes::from_static(body);
        Item { tenant: Cow::Borrowed(tenant), spans: body.len() as u64, received_at: UnixNanos(7), body }
    }

    #[test]
    fn a_row_is_read_as_it_was_written_and_a_broken_one_not_at_all() {
        let items = vec![item("", b"one"), item("clips", b""), item("clips", b"three")];
        let row: Vec<u8> = items.iter().flat_map(Item::encode).collect();
        assert_eq!(Item::decode_all(&row), Some(items));
        for len in (1..row.len()).filter(|len| ![25, 52].contains(len)) {
            assert_eq!(Item::decode_all(&row[..len]), None, "{len}");
        }
        assert_eq!(Item::decode_all(&[9; 60]), None);
    }

    #[test]
    fn requests_of_a_tenant_are_put_together() {
        let outgoing =
            Outgoing { tenant: "a".into(), items: [&b"12345"[..], b"6"].map(|body| item("a", body)).into() };
        assert_eq!((outgoing.message(), outgoing.bytes(), outgoing.spans()), ("123456".into(), 6, 6));
    }
}
