//! The length of a vector feature, as the updates of `painn` see it: differentiable at zero.

/// How n is formed from x = |V|.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Norm {
    /// √(x² + ε), as SchNetPack has it: ε = 1e-8 leaves a curvature of 10⁴ at x = 0, a cusp at the
    /// scale of vibrations.
    Root {
        /// ε, in units of x².
        epsilon: f64,
    },
    /// √(x² + ε²) − ε: zero at x = 0, and as smooth as ε is large.
    Shifted {
        /// ε, in units of x.
        epsilon: f64,
    },
}

impl Norm {
    /// The name used in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root { .. } => "root",
            Self::Shifted { .. } => "shifted",
        }
    }

    /// What is added to x² under the root.
    pub fn under_root(self) -> f64 {
        match self {
            Self::Root { epsilon } => epsilon,
            Self::Shifted { epsilon } => epsilon * epsilon,
        }
    }

    /// n, and what V is multiplied with to give ∂n/∂V, from x².
    pub fn at(self, square: f64) -> (f64, f64) {
        let root = (square + self.under_root()).sqrt();
        let value = match self {
            Self::Root { .. } => root,
            // √(x² + ε²) − ε without the difference of two numbers that are nearly equal.
            Self::Shifted { epsilon } => square / (root + epsilon),
        };
        (value, 1.0 / root)
    }
}
