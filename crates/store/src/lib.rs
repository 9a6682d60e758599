//! The journal and the ledger on SQLite.
