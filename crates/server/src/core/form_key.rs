//! By what a form of the ledger is found again, by this process or the next.
//!
//! The ledger keeps a key with each form, so the same content must have the same key in the next release:
//! the hash is written here rather than taken from a library that may change it, and a test pins it. It is
//! `MurmurHash3`, 128 bits of the kind for 64-bit machines, without a seed.
//!
//! A key begins with a mark of what makes all contents different ones, the version and the names of the extra
//! labels: of a form that no job of this process can have, no more than that has to be known.

/// Mark and fingerprint of a content: 4 and 12 bytes, so that two contents with one are not to be expected.
pub(super) type FormKey = [u8; 16];

/// The beginning of every key of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark([u8; 4]);

impl Mark {
    /// Of a version, with the names of the extra labels.
    pub(super) fn new(version: &str, labels: &[impl AsRef<str>]) -> Self {
        let names = std::iter::once(version).chain(labels.iter().map(AsRef::as_ref));
        let bytes: Vec<u8> = names.flat_map(|name| name.bytes().chain([0])).collect();
        let [.., a, b, c, d] = hash(&bytes);
        Self([a, b, c, d])
    }

    /// The key of a content.
    pub(super) fn key(self, content: &[u8]) -> FormKey {
        let mut key = hash(content);
        key[..4].copy_from_slice(&self.0);
        key
    }

    /// Whether a key is one of these.
    pub(super) fn is_of(self, key: &FormKey) -> bool {
        key.starts_with(&self.0)
    }
}

const FIRST: u64 = 0x87c3_7b91_1142_53d5;
const SECOND: u64 = 0x4cf5_ad43_2745_937f;

fn hash(bytes: &[u8]) -> [u8; 16] {
    let (mut one, mut two) = (0_u64, 0_u64);
    let (blocks, rest) = bytes.as_chunks::<16>();
    for block in blocks {
        let [first, second] = words(*block);
        one = (one ^ stir_first(first)).rotate_left(27).wrapping_add(two);
        one = one.wrapping_mul(5).wrapping_add(0x52dc_e729);
        two = (two ^ stir_second(second)).rotate_left(31).wrapping_add(one);
        two = two.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    let [first, second] = words(last);
    let len = bytes.len() as u64;
    one ^= stir_first(first) ^ len;
    two ^= stir_second(second) ^ len;
    one = one.wrapping_add(two);
    two = two.wrapping_add(one);
    (one, two) = (finish(one), finish(two));
    one = one.wrapping_add(two);
    two = two.wrapping_add(one);
    (u128::from(two) << 64 | u128::from(one)).to_le_bytes()
}

fn words(block: [u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(block);
    [both as u64, (both >> 64) as u64]
}

fn stir_first(word: u64) -> u64 {
    word.wrapping_mul(FIRST).rotate_left(31).wrapping_mul(SECOND)
}

fn stir_second(word: u64) -> u64 {
    word.wrapping_mul(SECOND).rotate_left(33).wrapping_mul(FIRST)
}

fn finish(mut word: u64) -> u64 {
    word = (word ^ word >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ word >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As other implementations have it, so that it is the known one and stays the same.
    #[test]
    fn values_never_change() {
        let table: [(&str, [u64; 2]); 3] = [
            ("", [0, 0]),
            ("hello", [0xcbd8_a7b3_41bd_9b02, 0x5b1e_906a_48ae_1d19]),
            ("The quick brown fox jumps over the lazy dog", [0xe34b_bc7b_bc07_1b6c, 0x7a43_3ca9_c49a_9347]),
        ];
        for (text, expected) in table {
            assert_eq!(words(hash(text.as_bytes())), expected, "{text:?}");
        }
    }

    #[test]
    fn keys_of_another_version_or_of_other_labels_are_told_apart() {
        let mark = Mark::new("1.2.3", &["user", "team"]);
        let key = mark.key(b"a content");
        assert!(mark.is_of(&key) && key != mark.key(b"b content"));
        let none: [&str; 0] = [];
        for other in [
            Mark::new("1.2.4", &["user", "team"]),
            Mark::new("1.2.3", &["team", "user"]),
            Mark::new("1.2.3", &none),
        ] {
            assert!(!other.is_of(&key), "{other:?}");
        }
    }
}
