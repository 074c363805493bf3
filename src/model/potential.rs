//! Whatever a model file may hold.

use std::path::Path;
use std::sync::Arc;

use super::{Model, Scope, Script, format};
use crate::error::{Error, ErrorKind, Result};

/// A student, whose network this library knows, or a TorchScript model, which needs libtorch.
#[derive(Clone, Debug, PartialEq)]
pub enum Potential {
    /// Evaluated by this library's own kernels, or by libtorch.
    Student(Arc<Model>),
    /// Evaluated by libtorch.
    Script(Arc<Script>),
}

impl Potential {
    /// Reads a file: a TorchScript archive with a description ([`super::script::MEMBER`]), or
    /// whatever [`Model::load`] reads.
    pub fn load(path: &Path) -> Result<Self> {
        format::load(path)
    }

    /// Which structures it is for.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Student(model) => model.scope(),
            Self::Script(script) => script.scope.clone(),
        }
    }

    /// The student, for what needs to know the network.
    pub fn student(&self) -> Result<&Arc<Model>> {
        match self {
            Self::Student(model) => Ok(model),
            Self::Script(_) => Err(Error::new(
                ErrorKind::Unsupported,
                "expected a student, found a TorchScript model, whose network is known to libtorch \
                 alone: use eval, LAMMPS or the C API",
            )),
        }
    }
}

impl From<Arc<Model>> for Potential {
    fn from(model: Arc<Model>) -> Self {
        Self::Student(model)
    }
}
