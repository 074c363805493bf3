//! Labelled structures, pictures, the students that ship, and what an installation holds.

#[path = "../../../tests/support/mod.rs"]
mod support;

mod datasets;
mod install;
mod plots;
mod shipped_students;
