//! What needs libtorch: training of students, and an engine for the library.
//!
//! Training: [`config`] → [`data`] and [`batch`] → [`network`] with [`message`] → [`loss`] →
//! [`optimizer`], driven by [`train`]; [`trainable`] turns weights into models and back.
//!
//! The engine: [`functions`], which the library `mlff_student` calls, → [`evaluator`] → [`plain`].

pub mod batch;
pub mod checkpoint;
pub mod config;
#[expect(unsafe_code)] // dlopen.
mod cuda;
pub mod curves;
pub mod data;
pub mod digest;
pub mod evaluator;
#[expect(unsafe_code)] // Called from another library.
pub mod functions;
pub mod loss;
#[expect(unsafe_code)] // The fused message is C++.
pub mod message;
pub mod network;
pub mod optimizer;
pub mod parameters;
pub mod plain;
pub mod references;
pub mod train;
pub mod trainable;
