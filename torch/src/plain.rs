//! Students of both architectures in plain tensor operations, straight from the formulas in
//! `mlff_student::model`: what the library's kernels are compared with, on any device. Training has
//! a network of its own ([`crate::network`]), whose message is fused and differentiated twice.

use std::f64::consts::PI;

use mlff_student::model::energy_range::{ABOVE, BELOW};
use mlff_student::model::repulsion::{COULOMB, ENVELOPE, EXPONENT, LENGTH, SCREENING};
use mlff_student::model::{
    Basis, Envelope, EnvelopePlace, Linear, Mlp, Model, Norm, Repulsion, Update,
};
use tch::{Device, Kind, Tensor};

/// A student's weights as tensors.
pub struct TensorNetwork {
    vectors: i64,
    cutoff: f64,
    softening: f64,
    basis: Basis,
    envelope: Envelope,
    embedding: Tensor,
    blocks: Vec<TensorBlock>,
    head: Vec<Layer>,
    /// By atomic number (eV), float64.
    references: Tensor,
    /// ρ by atomic number (Å), float64.
    radii: Option<Tensor>,
    /// Radius of a pair's core, as a share of its repulsion's.
    core: f64,
    /// Where energies of atoms begin to saturate, by atomic number (eV), float64, Z × 2.
    bounds: Option<Tensor>,
    kind: Kind,
    device: Device,
}

struct TensorBlock {
    filter: Vec<Layer>,
    envelope: EnvelopePlace,
    sender: Option<[Layer; 2]>,
    update: Change,
}

enum Change {
    Published { mlp: [Layer; 2], mixing: Tensor },
    Painn { channel_mix: Layer, mlp: [Layer; 2], norm: Norm },
}

struct Layer {
    weight: Tensor,
    bias: Tensor,
}

impl Layer {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

/// Dense layers with silu between them.
fn chain<'a>(layers: impl IntoIterator<Item = &'a Layer>, x: &Tensor) -> Tensor {
    let mut x = x.shallow_clone();
    for (index, layer) in layers.into_iter().enumerate() {
        if index > 0 {
            x = x.silu();
        }
        x = layer.apply(&x);
    }
    x
}

/// Tensors of one kind on one device.
#[derive(Clone, Copy)]
struct TensorOptions {
    kind: Kind,
    device: Device,
}

impl TensorOptions {
    fn tensor(self, values: &[f64], shape: &[i64]) -> Tensor {
        Tensor::from_slice(values).view(shape).to_kind(self.kind).to_device(self.device)
    }

    fn layer(self, layer: &Linear) -> Layer {
        let (inputs, outputs) = (layer.inputs as i64, layer.outputs as i64);
        Layer {
            weight: self.tensor(&layer.weight, &[outputs, inputs]),
            bias: self.tensor(&layer.bias, &[outputs]),
        }
    }

    fn mlp(self, mlp: &Mlp) -> [Layer; 2] {
        [self.layer(&mlp.first), self.layer(&mlp.second)]
    }
}

impl TensorNetwork {
    /// The network of `model`, with features of this kind.
    pub fn new(model: &Model, kind: Kind, device: Device) -> Self {
        let place = TensorOptions { kind, device };
        let exact = TensorOptions { kind: Kind::Double, device };
        let block = |block: &mlff_student::model::Block| TensorBlock {
            filter: block.filter.layers.iter().map(|layer| place.layer(layer)).collect(),
            envelope: block.filter.envelope,
            sender: block.sender.as_ref().map(|mlp| place.mlp(mlp)),
            update: match &block.update {
                Update::Published { mlp, mixing } => {
                    Change::Published { mlp: place.mlp(mlp), mixing: place.tensor(mixing, &[3, 3]) }
                }
                Update::Painn { channel_mix, mlp, norm } => Change::Painn {
                    channel_mix: place.layer(channel_mix),
                    mlp: place.mlp(mlp),
                    norm: *norm,
                },
            },
        };
        let vector = |values: &[f64]| exact.tensor(values, &[values.len() as i64]);
        let radii = |repulsion: &Repulsion| {
            let all = (0..=u8::MAX).map(|number| repulsion.radius(number));
            vector(&all.collect::<Vec<_>>())
        };
        Self {
            vectors: model.vectors as i64,
            cutoff: model.cutoff,
            softening: model.softening,
            basis: model.basis.clone(),
            envelope: model.envelope,
            embedding: place.tensor(&model.embedding, &[-1, model.hidden as i64]),
            blocks: model.blocks.iter().map(block).collect(),
            head: model.head.iter().map(|layer| place.layer(layer)).collect(),
            references: vector(&model.reference_energies),
            radii: model.repulsion.as_ref().map(radii),
            core: model.core(),
            bounds: model
                .energy_range
                .as_ref()
                .map(|range| exact.tensor(range.bounds.as_flattened(), &[-1, 2])),
            kind,
            device,
        }
    }

    /// Energy of each atom (eV, float64, N). `vectors` are r_j − r_i of directed pairs (Å, float64,
    /// P × 3), `to` their atoms i and `from` their atoms j.
    pub fn energies(
        &self,
        species: &Tensor,
        to: &Tensor,
        from: &Tensor,
        vectors: &Tensor,
    ) -> Tensor {
        let distance = vectors.square().sum_dim_intlist(1, true, None).sqrt();
        let unit = (vectors / (&distance + self.softening)).to_kind(self.kind).unsqueeze(2);
        let ends = [to, from].map(|end| species.index_select(0, end));
        let reach = self.radii.as_ref().map(|radii| reach(radii, &ends).unsqueeze(1));
        let seen = match &reach {
            Some(reach) if self.core > 0.0 => seen(reach, self.core, &distance),
            _ => distance.shallow_clone(),
        };
        let envelope = envelope(self.envelope, &(&seen / self.cutoff));
        let basis = self.basis(&seen);
        let damped = (&basis * &envelope).to_kind(self.kind);
        let (basis, envelope) = (basis.to_kind(self.kind), envelope.to_kind(self.kind));

        let mut s = self.embedding.index_select(0, species);
        let (atoms, h) = s.size2().expect("an embedding has rows of channels");
        let g = self.vectors;
        let mut v = Tensor::zeros([atoms, 3, g], (self.kind, self.device));
        for block in &self.blocks {
            let filter = match block.envelope {
                EnvelopePlace::Basis => chain(&block.filter, &damped),
                EnvelopePlace::Filter => chain(&block.filter, &basis) * &envelope,
            };
            let part = |x: &Tensor, index| match index {
                0 => x.narrow(1, 0, h),
                _ => x.narrow(1, h + (index - 1) * g, g),
            };
            let ones = Tensor::ones_like(&s);
            let sent = match &block.sender {
                Some(mlp) => chain(mlp, &s),
                None => Tensor::cat(&[&s, &ones, &ones], 1),
            };
            let message = sent.index_select(0, from) * filter;
            let along = v.index_select(0, from) * part(&message, 1).unsqueeze(1)
                + &unit * part(&message, 2).unsqueeze(1);
            s = s.index_add(0, to, &part(&message, 0));
            v = v.index_add(0, to, &along);
            (s, v) = block.update.apply(&s, &v, [h, g]);
        }
        let energies = chain(&self.head, &s).squeeze_dim(1).to_kind(Kind::Double);
        let energies = match &self.bounds {
            Some(bounds) => bounded(&energies, &bounds.index_select(0, species)),
            None => energies,
        } + self.references.index_select(0, species);
        match &reach {
            Some(reach) => {
                let found = repulsion(&reach.squeeze_dim(1), &ends, &distance.squeeze_dim(1));
                energies.index_add(0, to, &(found * 0.5))
            }
            None => energies,
        }
    }

    /// P × K.
    fn basis(&self, distance: &Tensor) -> Tensor {
        let row = |values: &[f64]| Tensor::from_slice(values).to_device(self.device).unsqueeze(0);
        match &self.basis {
            Basis::Gaussian { centers, exponents } => {
                ((distance - row(centers)).square() * row(exponents)).neg().exp()
            }
            Basis::Bessel { frequencies } => (distance * row(frequencies)).sin() / distance,
        }
    }
}

impl Change {
    fn apply(&self, s: &Tensor, v: &Tensor, [h, g]: [i64; 2]) -> (Tensor, Tensor) {
        let sum = |x: &Tensor| x.sum_dim_intlist(1, false, None);
        match self {
            Self::Published { mlp, mixing } => {
                // Its slope at zero is zero.
                let norm = v.norm_scalaropt_dim(2, [1], false);
                let gates = chain(mlp, &Tensor::cat(&[s, &norm], 1));
                let gate = |index| gates.narrow(1, index * h, h);
                let mixed = mixing.matmul(v);
                (s + gate(0), v * gate(1).unsqueeze(1) + mixed * gate(2).unsqueeze(1))
            }
            Self::Painn { channel_mix, mlp, norm } => {
                let mixed = channel_mix.apply(v);
                let (left, right) = (mixed.narrow(2, 0, g), mixed.narrow(2, g, g));
                let norm = match norm {
                    Norm::Root { epsilon } => (sum(&left.square()) + *epsilon).sqrt(),
                    Norm::Shifted { epsilon } => {
                        (sum(&left.square()) + epsilon * epsilon).sqrt() - *epsilon
                    }
                };
                let gates = chain(mlp, &Tensor::cat(&[s, &norm], 1));
                let product = gates.narrow(1, h + g, g) * sum(&(left * &right));
                let s = s + gates.narrow(1, 0, h) + product.constant_pad_nd([0, h - g]);
                (s, v + gates.narrow(1, h, g).unsqueeze(1) * right)
            }
        }
    }
}

/// By x = d / cutoff; zero from 1 on.
fn envelope(envelope: Envelope, x: &Tensor) -> Tensor {
    let value = match envelope {
        Envelope::Cosine => ((x * PI).cos() + 1.0) * 0.5,
        Envelope::Polynomial { power } => {
            let p = f64::from(power);
            let term = |factor: f64, power: f64| x.pow_tensor_scalar(power) * factor;
            1.0 - term(0.5 * (p + 1.0) * (p + 2.0), p) + term(p * (p + 2.0), p + 1.0)
                - term(0.5 * p * (p + 1.0), p + 2.0)
        }
    };
    value.where_self(&x.lt(1.0), &Tensor::zeros_like(x))
}

/// See `mlff_student::model::energy_range`.
fn bounded(x: &Tensor, bounds: &Tensor) -> Tensor {
    let [low, high] = [0, 1].map(|index| bounds.select(1, index));
    // Each arm is finite where the other one holds, so that its slope is, too.
    let below = (&low - x).clamp_min(0.0) / BELOW;
    let above = (x - &high).clamp_min(0.0) / ABOVE;
    x.clamp_tensor(Some(&low), Some(&high)) - below.tanh() * BELOW + above.asinh() * ABOVE
}

/// How far pairs with atoms of these numbers repel (Å, P); zero where one of them takes no part.
fn reach(radii: &Tensor, ends: &[Tensor; 2]) -> Tensor {
    let rho = ends.each_ref().map(|end| radii.index_select(0, end));
    let both = rho[0].gt(0.0).logical_and(&rho[1].gt(0.0));
    (&rho[0] + &rho[1]) * both.to_kind(Kind::Double)
}

/// The distances (Å, P × 1) that the filters see, see `mlff_student::model::Repulsion::seen`.
fn seen(reach: &Tensor, share: f64, distance: &Tensor) -> Tensor {
    // Where there is no repulsion any width will do.
    let width = (reach * (1.0 - share)).clamp_min(1e-3);
    let t = ((distance - reach * share) / &width).clamp(0.0, 1.0);
    let lost = 0.5 - t.pow_tensor_scalar(3.0) * (1.0 - &t * 0.5);
    let inside: Tensor = reach - width * lost;
    inside.where_self(&distance.lt_tensor(reach), distance)
}

/// Repulsion of each pair (eV, P), see `mlff_student::model::repulsion`.
fn repulsion(reach: &Tensor, ends: &[Tensor; 2], d: &Tensor) -> Tensor {
    let charges = ends.each_ref().map(|end| end.to_kind(Kind::Double));
    let length =
        LENGTH / (charges[0].pow_tensor_scalar(EXPONENT) + charges[1].pow_tensor_scalar(EXPONENT));
    let screening = SCREENING
        .iter()
        .map(|(c, b)| (d / &length * -b).exp() * *c)
        .reduce(|sum, term| sum + term)
        .expect("four terms");
    let both = reach.gt(0.0);
    // Where one of them takes no part any reach will do.
    let reach = reach.where_self(&both, &Tensor::ones_like(d));
    let energy =
        COULOMB * &charges[0] * &charges[1] / d * screening * envelope(ENVELOPE, &(d / reach));
    energy.where_self(&both, &Tensor::zeros_like(d))
}
