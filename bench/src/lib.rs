//! spantally-bench
