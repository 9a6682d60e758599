//! Clients by resource: a process sends the same resource with every request, so its client is made once.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;
use spantally_stitch::Client;

/// Most clients that a cache keeps; then it starts anew, which costs allocations and nothing else.
const CLIENTS_MAX: usize = 1024;

/// Largest encoded resource that is kept: with [`CLIENTS_MAX`] it bounds a cache to 4 MiB.
const RESOURCE_BYTES_MAX: usize = 4096;

/// Clients by tenant and encoded resource. Keys are compared whole, so that no two clients are ever taken for
/// one.
#[derive(Debug, Default)]
pub(super) struct ClientCache {
    entries: HashTable<Entry>,
    hasher: foldhash::fast::RandomState,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    encoded: Box<[u8]>,
    client: Arc<Client>,
}

impl ClientCache {
    /// The client of a resource, made by `make` if it is new. A resource in several pieces is made each time.
    pub(super) fn get(
        &mut self,
        tenant: &str,
        encoded: Option<&[u8]>,
        make: impl FnOnce() -> Arc<Client>,
    ) -> Arc<Client> {
        let Some(encoded) = encoded.filter(|encoded| encoded.len() <= RESOURCE_BYTES_MAX) else {
            return make();
        };
        let hash = self.hasher.hash_one((tenant, encoded));
        let same = |entry: &Entry| *entry.encoded == *encoded && *entry.client.tenant == *tenant;
        if let Some(entry) = self.entries.find(hash, same) {
            return entry.client.clone();
        }
        if self.entries.len() >= CLIENTS_MAX {
            self.entries.clear();
        }
        let client = make();
        let entry = Entry { hash, encoded: encoded.into(), client: client.clone() };
        self.entries.insert_unique(hash, entry, |entry| entry.hash);
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(tenant: &str, service: &str) -> Arc<Client> {
        Arc::new(Client { tenant: tenant.into(), service: service.into(), ..Client::default() })
    }

    #[test]
    fn a_client_is_made_once_for_a_tenant_and_a_resource() {
        let mut cache = ClientCache::default();
        let first = cache.get("a", Some(b"r"), || client("a", "1"));
        assert!(Arc::ptr_eq(&first, &cache.get("a", Some(b"r"), || unreachable!())));
        assert_eq!(&*cache.get("b", Some(b"r"), || client("b", "2")).service, "2");
        assert_eq!(&*cache.get("a", Some(b"q"), || client("a", "3")).service, "3");
        assert_eq!(&*cache.get("a", None, || client("a", "4")).service, "4");
        assert_eq!(&*cache.get("a", Some(&[0; 5000]), || client("a", "5")).service, "5");
        assert_eq!(cache.entries.len(), 3);
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut cache = ClientCache::default();
        for number in 0..3 * CLIENTS_MAX {
            let key = number.to_string();
            assert_eq!(*cache.get("", Some(key.as_bytes()), || client("", &key)).service, *key);
            assert!(cache.entries.len() <= CLIENTS_MAX);
        }
    }
}
