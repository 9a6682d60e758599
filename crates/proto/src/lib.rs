//! Generated protobuf messages of Spantally.
