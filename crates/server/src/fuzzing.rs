//! Ways for the fuzzers (`fuzz/`) into what is not public: each takes any bytes, and panics when what must
//! hold does not.

pub use crate::forward::fuzzing::{cut_request, forwarded_json, queue_row};
pub use crate::receivers::fuzzing::headers;
