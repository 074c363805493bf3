//! The kernels as PTX, which the driver compiles for its GPU: made from `kernels/` by `make ptx`.

use crate::error::{Error, ErrorKind, Result};

/// The oldest architecture that it can be compiled for (10 × major + minor).
pub const OLDEST: i32 = 75;

macro_rules! modules {
    ($($name:literal),*) => {
        &[$(($name, concat!(include_str!(concat!("ptx/", $name, ".ptx")), "\0"))),*]
    };
}

/// Name, and PTX with a NUL behind it.
const MODULES: &[(&str, &str)] =
    modules!["messages", "atoms-0", "atoms-32", "atoms-64", "atoms-128"];

/// The PTX of a module.
pub fn of(module: &str) -> Result<&'static str> {
    let found = MODULES.iter().find(|(name, _)| *name == module);
    found
        .map(|(_, ptx)| *ptx)
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("no kernels are named {module}")))
}
