//! Stands in until the file formats are merged; delete this file and its `mod` line then.

use std::path::Path;

use super::Model;
use crate::error::{Error, ErrorKind, Result};

impl Model {
    /// Reads a model file.
    pub fn load(path: &Path) -> Result<Self> {
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("{}: no format is built in", path.display()),
        ))
    }
}
