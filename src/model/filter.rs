//! The filter φ(d): radial basis, envelope and dense layers, exact and with its slope.
//!
//! Everything here depends on one number, the distance; `engine::table` tabulates it.

use super::{Linear, Model};

/// Radial basis b_k(d).
#[derive(Clone, Debug, PartialEq)]
pub enum Basis {
    /// exp(−γ_k (d − c_k)²).
    Gaussian {
        /// Centers c_k (Å).
        centers: Vec<f64>,
        /// Exponents γ_k (1/Å²).
        exponents: Vec<f64>,
    },
    /// sin(f_k d) / d.
    Bessel {
        /// Frequencies f_k (1/Å).
        frequencies: Vec<f64>,
    },
}

/// What goes to zero at the cutoff, where x = d / cutoff = 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// ½ (cos(π x) + 1): its second derivative jumps at the cutoff.
    Cosine,
    /// 1 − (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) − p(p+1)/2 x^(p+2) (Gasteiger et al. 2020,
    /// arXiv 2003.03123): its second derivative is continuous.
    Polynomial {
        /// Power p.
        power: u32,
    },
}

/// What the envelope multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopePlace {
    /// The basis, before the layers (`published`): their biases survive it, so the filter jumps
    /// at the cutoff.
    Basis,
    /// The filter, after the layers (`painn`).
    Filter,
}

/// Dense layers from the basis to 3·hidden filter values, silu between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// The layers, first to last.
    pub layers: Vec<Linear>,
    /// Where the envelope acts.
    pub envelope: EnvelopePlace,
}

/// x · sigmoid(x).
pub fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// d silu(x) / dx.
pub fn silu_slope(x: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    sigmoid * (1.0 + x * (1.0 - sigmoid))
}

impl Envelope {
    /// The name used in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Polynomial { .. } => "polynomial",
        }
    }

    /// Value and slope at distance `d`; zero from the cutoff on.
    pub fn at(self, d: f64, cutoff: f64) -> (f64, f64) {
        if d >= cutoff {
            return (0.0, 0.0);
        }
        match self {
            Self::Cosine => {
                let k = std::f64::consts::PI / cutoff;
                (0.5 * ((k * d).cos() + 1.0), -0.5 * k * (k * d).sin())
            }
            Self::Polynomial { power } => {
                let (x, p) = (d / cutoff, f64::from(power));
                let lower = x.powf(p - 1.0);
                let [a, b, c] = [0.5 * (p + 1.0) * (p + 2.0), p * (p + 2.0), 0.5 * p * (p + 1.0)];
                let value = 1.0 - lower * x * (a - x * (b - x * c));
                // The derivative's three terms have this common factor.
                let slope = -p * a * lower * (1.0 - x) * (1.0 - x);
                (value, slope / cutoff)
            }
        }
    }
}

impl Basis {
    /// Number of basis functions.
    pub fn len(&self) -> usize {
        match self {
            Self::Gaussian { centers, .. } => centers.len(),
            Self::Bessel { frequencies } => frequencies.len(),
        }
    }

    /// Whether there is no basis function.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value and slope of basis function `k` at distance `d`.
    pub fn at(&self, k: usize, d: f64) -> (f64, f64) {
        match self {
            Self::Gaussian { centers, exponents } => {
                let x = d - centers[k];
                let value = (-exponents[k] * x * x).exp();
                (value, -2.0 * exponents[k] * x * value)
            }
            Self::Bessel { frequencies } => {
                let f = frequencies[k];
                let x = f * d;
                // Below this the series is exact to rounding, and the quotient would not be.
                if x.abs() < 1e-3 {
                    let x2 = x * x;
                    (f * (1.0 - x2 / 6.0 + x2 * x2 / 120.0), f * f * x * (-1.0 / 3.0 + x2 / 30.0))
                } else {
                    (x.sin() / d, (x * x.cos() - x.sin()) / (d * d))
                }
            }
        }
    }
}

impl Filter {
    /// Number of filter values, 3·hidden.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// Writes φ(d) to `value` and dφ/dd to `slope`, both of [`Self::outputs`] values. `model` is
    /// the one that this filter belongs to.
    ///
    /// The slope is carried forward beside the value (a tangent), since all depends on one number.
    pub fn evaluate(&self, model: &Model, d: f64, value: &mut [f64], slope: &mut [f64]) {
        let (envelope, envelope_slope) = model.envelope.at(d, model.cutoff);
        let (mut x, mut dx): (Vec<f64>, Vec<f64>) =
            (0..model.basis.len()).map(|k| model.basis.at(k, d)).unzip();
        let damp = |x: &mut f64, dx: &mut f64| {
            *dx = *dx * envelope + *x * envelope_slope;
            *x *= envelope;
        };
        if self.envelope == EnvelopePlace::Basis {
            x.iter_mut().zip(&mut dx).for_each(|(x, dx)| damp(x, dx));
        }
        for (index, layer) in self.layers.iter().enumerate() {
            if index > 0 {
                for (x, dx) in x.iter_mut().zip(&mut dx) {
                    *dx *= silu_slope(*x);
                    *x = silu(*x);
                }
            }
            (x, dx) = (layer.apply(&x), layer.apply_linear(&dx));
        }
        if self.envelope == EnvelopePlace::Filter {
            x.iter_mut().zip(&mut dx).for_each(|(x, dx)| damp(x, dx));
        }
        value.copy_from_slice(&x);
        slope.copy_from_slice(&dx);
    }
}

impl Linear {
    /// W x + b.
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        let mut y = self.apply_linear(x);
        y.iter_mut().zip(&self.bias).for_each(|(y, b)| *y += b);
        y
    }

    /// W x, without the bias.
    pub fn apply_linear(&self, x: &[f64]) -> Vec<f64> {
        self.weight
            .chunks_exact(self.inputs)
            .map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum())
            .collect()
    }

    /// Wᵀ y: the adjoint of the inputs from the adjoint of the outputs.
    pub fn apply_transposed(&self, y: &[f64]) -> Vec<f64> {
        let mut x = vec![0.0; self.inputs];
        for (row, y) in self.weight.chunks_exact(self.inputs).zip(y) {
            x.iter_mut().zip(row).for_each(|(x, w)| *x += w * y);
        }
        x
    }
}
