//! Why a request body cannot be read: where, what stands there, and what was expected.

use std::fmt;

/// A body that is not an `ExportTraceServiceRequest`. The request as a whole is refused (400,
/// `INVALID_ARGUMENT`): sending it again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The protobuf encoding is broken.
    #[error("byte {at} of the protobuf body, in {message}: {problem}")]
    Protobuf {
        /// Offset in the (decompressed) body.
        at: usize,
        /// The innermost message that was being read.
        message: &'static str,
        /// What is wrong.
        problem: WireProblem,
    },
    /// The JSON text is broken, or a value has another type than OTLP gives it.
    #[error("the JSON body cannot be read: {detail}")]
    Json {
        /// What is wrong, with line and column.
        detail: String,
    },
}

/// What is wrong with a protobuf encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireProblem {
    /// A length points past the end.
    Truncated {
        /// Bytes that the length promises.
        wanted: u64,
        /// Bytes that are left.
        left: usize,
    },
    /// A varint does not end, or does not fit 64 bits.
    Varint,
    /// A field key with number 0, with a number past 2^29, or with the unused wire types 6 and 7.
    Key(u64),
    /// A field of another wire type than its message defines.
    WireType {
        /// The field.
        field: &'static str,
        /// The wire type that stands there.
        found: u8,
        /// The wire type that the message defines.
        expected: u8,
    },
    /// The end of a group that was not begun, or of another one.
    GroupEnd(u32),
    /// Groups in groups, deeper than anything that a writer makes.
    GroupDepth,
}

impl fmt::Display for WireProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { wanted, left } => {
                write!(f, "the length says {wanted} bytes and {left} are left (was the body cut off?)")
            }
            Self::Varint => f.write_str("a varint has no end within 10 bytes and 64 bits"),
            Self::Key(key) => write!(f, "{key} is no field key"),
            Self::WireType { field, found, expected } => {
                write!(f, "field `{field}` has wire type {found}, expected {expected}")
            }
            Self::GroupEnd(number) => write!(f, "group {number} ends here but is not open"),
            Self::GroupDepth => write!(f, "groups are nested deeper than {}", super::wire::GROUP_DEPTH),
        }
    }
}
