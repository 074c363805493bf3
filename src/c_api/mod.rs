//! The only `extern "C"` of this crate.
