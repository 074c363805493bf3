//! Filter tables.
