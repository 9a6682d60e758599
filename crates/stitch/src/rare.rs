//! What few spans have, kept apart from what all have.
//!
//! A server holds evidence by the million, and most of it is polls that show an id and a status. So the
//! fields that most spans leave empty stand behind one pointer, which is null when all of them are empty: an
//! ordinary span then costs no allocation, and evidence fits two cache lines.

use std::ops::Deref;

/// Fields that few spans have: a null pointer when all of them are empty, else a box. Reads as the value.
#[derive(Clone, Debug, PartialEq)]
pub struct Rare<T>(Option<Box<T>>);

/// A value that can be empty, and then is the same everywhere.
pub trait Empty: Default + 'static {
    /// The empty value.
    fn empty() -> &'static Self;

    /// Whether this is the empty value.
    fn is_empty(&self) -> bool;
}

impl<T: Empty> Rare<T> {
    /// Keeps a value; an empty one takes no room.
    pub fn new(value: T) -> Self {
        Self((!value.is_empty()).then(|| Box::new(value)))
    }

    /// Whether nothing is kept.
    pub(crate) fn is_vacant(&self) -> bool {
        self.0.is_none()
    }

    /// The value, to be changed and kept again.
    pub fn into_inner(self) -> T {
        self.0.map(|value| *value).unwrap_or_default()
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Empty> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Empty> Deref for Rare<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => T::empty(),
        }
    }
}
