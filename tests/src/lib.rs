//! spantally-tests
