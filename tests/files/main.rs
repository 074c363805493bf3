//! Students come in from every file layout that users have them in; bad files are refused.

#[path = "../support/mod.rs"]
mod support;

mod damaged;
mod layouts;
mod layouts_compute;
mod onnx;
mod pickles;
