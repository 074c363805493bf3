//! Training of students on libtorch.
//!
//! [`config`] → [`data`] and [`batch`] → [`network`] with [`message`] → [`loss`] → [`optimizer`],
//! driven by [`train`]; [`student`] turns weights into models and back.

pub mod batch;
pub mod checkpoint;
pub mod config;
pub mod covalent;
#[expect(unsafe_code)] // dlopen.
mod cuda;
pub mod curves;
pub mod data;
pub mod loss;
#[expect(unsafe_code)] // The fused message is C++.
pub mod message;
pub mod network;
pub mod optimizer;
pub mod parameters;
pub mod references;
pub mod student;
pub mod train;
