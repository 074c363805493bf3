//! The network as tensor operations, and energies, forces and stresses by differentiation.

use tch::Tensor;

use crate::batch::{Batch, Pairs};
use crate::message::message;
use crate::parameters::{Layer, Parameters};

/// What is compared with labels.
pub struct Prediction {
    /// Energy of each structure, without reference energies and repulsion (eV), S.
    pub energy: Tensor,
    /// Forces without repulsion (eV/Å), N × 3.
    pub forces: Tensor,
    /// ∂E/∂ε without repulsion (eV), S × 3 × 3, symmetric.
    pub strain: Tensor,
}

impl Layer {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

fn mlp(layers: &[Layer; 2], x: &Tensor) -> Tensor {
    layers[1].apply(&layers[0].apply(x).silu())
}

/// Energy of each atom, N × 1; the formulas are those of `mlff_student::model::Update::Painn` with
/// the norm √(x² + ε²) − ε.
fn atomic_energies(weights: &Parameters, pairs: &Pairs, species: &Tensor, epsilon: f64) -> Tensor {
    let mut s = weights.embedding.index_select(0, species);
    let h = s.size()[1];
    let g = weights.blocks.first().map_or(0, |block| block.channel_mix.size()[1]);
    let mut v: Option<Tensor> = None;
    for (index, block) in weights.blocks.iter().enumerate() {
        let x = mlp(&block.sender, &s);
        let filter = pairs.basis.matmul(&block.filter.tr());
        let (ds, dv) = message(&x, v.as_ref(), &filter, pairs, h);
        s = &s + ds;
        let vectors = match v {
            None => dv,
            Some(v) => v + dv,
        };
        let mixed = vectors.matmul(&block.channel_mix.tr());
        let (left, right) = (mixed.narrow(2, 0, g), mixed.narrow(2, g, g));
        let sum = |product: Tensor| product.sum_dim_intlist(1, false, None);
        let norm = (sum(&left * &left) + epsilon * epsilon).sqrt() - epsilon;
        let gates = mlp(&block.update, &Tensor::cat(&[&s, &norm], 1));
        // Where there are fewer vectors than scalars, the last scalars have no product.
        let product = gates.narrow(1, h + g, g) * sum(&left * &right);
        s = s + gates.narrow(1, 0, h) + product.constant_pad_nd([0, h - g]);
        // No output depends on the vectors behind the last block.
        v = (index + 1 < weights.blocks.len())
            .then(|| vectors + gates.narrow(1, h, g).unsqueeze(1) * right);
    }
    mlp(&weights.head, &s)
}

/// Energies, forces and strain derivatives; `differentiable` where a loss of forces follows.
pub fn predict(
    weights: &Parameters,
    batch: &Batch,
    epsilon: f64,
    differentiable: bool,
) -> Prediction {
    let pairs = &batch.pairs;
    let atomic = atomic_energies(weights, pairs, &batch.species, epsilon).squeeze_dim(1);
    let structures = batch.atoms.size()[0];
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (atomic.kind(), atomic.device()));
    let energy = zeros(&[structures]).index_add(0, &batch.structure, &atomic);
    // Basis and directions are constants of a frame: ∂E/∂r follows from the slopes that came with
    // them, and no second derivative of the basis is ever needed.
    let total = atomic.sum(atomic.kind());
    let found = Tensor::run_backward(&[&total], &[&pairs.basis, &pairs.unit], true, differentiable);
    let (basis_bar, unit_bar) = (&found[0], &found[1]);
    let radial = (basis_bar * &pairs.slope).sum_dim_intlist(1, true, None);
    let along = (unit_bar * &pairs.unit).sum_dim_intlist(1, true, None);
    // ∂E/∂r with u = r/d.
    let gradient = &pairs.unit * radial + (unit_bar - &pairs.unit * along) / &pairs.distance;
    let forces = zeros(&[batch.species.size()[0], 3]).index_add(0, &pairs.to, &gradient).index_add(
        0,
        &pairs.from,
        &-&gradient,
    );
    let r = &pairs.unit * &pairs.distance;
    let strain = zeros(&[structures, 3, 3]).index_add(
        0,
        &batch.structure.index_select(0, &pairs.to),
        &(r.unsqueeze(2) * gradient.unsqueeze(1)),
    );
    let strain = (&strain + strain.transpose(1, 2)) * 0.5;
    Prediction { energy, forces, strain }
}
