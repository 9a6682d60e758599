//! Words that many rows share, each set of them once in the file.

use hashbrown::{Equivalent, HashMap};
use rusqlite::{Connection, params_from_iter};

/// Sets of words kept in memory. Past this the file is asked instead: slower, never wrong.
const KEPT: usize = 65_536;

/// A table of sets of `N` words and what is known of it.
#[derive(Debug)]
pub(super) struct Kinds<const N: usize> {
    select: String,
    insert: String,
    known: HashMap<[Box<str>; N], i64, foldhash::fast::RandomState>,
}

/// A set to look for, without owning it.
#[derive(Hash)]
struct Wanted<'a, const N: usize>([&'a str; N]);

impl<const N: usize> Equivalent<[Box<str>; N]> for Wanted<'_, N> {
    fn equivalent(&self, key: &[Box<str>; N]) -> bool {
        self.0.iter().zip(key).all(|(wanted, known)| **wanted == **known)
    }
}

impl<const N: usize> Kinds<N> {
    pub(super) fn new(table: &str, columns: [&str; N]) -> Self {
        let same = columns.map(|column| format!("{column} = ?")).join(" AND ");
        let places = ["?"; N].join(", ");
        Self {
            select: format!("SELECT id FROM {table} WHERE {same}"),
            insert: format!("INSERT INTO {table}({}) VALUES ({places}) RETURNING id", columns.join(", ")),
            known: HashMap::default(),
        }
    }

    /// The number of a set, which is added to the file if it is new.
    pub(super) fn id_of(&mut self, connection: &Connection, words: [&str; N]) -> rusqlite::Result<i64> {
        if let Some(&id) = self.known.get(&Wanted(words)) {
            return Ok(id);
        }
        let found = {
            let mut select = connection.prepare_cached(&self.select)?;
            select.query(params_from_iter(words))?.next()?.map(|row| row.get(0)).transpose()?
        };
        let id = match found {
            Some(id) => id,
            None => connection
                .prepare_cached(&self.insert)?
                .query_row(params_from_iter(words), |row| row.get(0))?,
        };
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        self.known.insert(words.map(Box::from), id);
        Ok(id)
    }
}
