//! What is trained: one flat vector, seen as the matrices of the network.

use tch::{Device, Kind, Tensor, no_grad};

/// Sizes of a student.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Number of chemical elements.
    pub species: usize,
    /// Channels: h.
    pub hidden: usize,
    /// Vectors: g.
    pub vectors: usize,
    /// Message-passing blocks.
    pub blocks: usize,
    /// Radial basis functions.
    pub basis: usize,
}

/// y = W x + b, as tensors.
#[derive(Debug)]
pub struct Layer {
    /// W, outputs × inputs.
    pub weight: Tensor,
    /// b.
    pub bias: Tensor,
}

/// One block; see `mlff_student::model::Block`.
#[derive(Debug)]
pub struct BlockParameters {
    /// (h + 2g) × (basis + 1): the last column is the bias, which the envelope multiplies too.
    pub filter: Tensor,
    /// h → h → h + 2g.
    pub sender: [Layer; 2],
    /// 2g × g.
    pub channel_mix: Tensor,
    /// h + g → h → h + 2g.
    pub update: [Layer; 2],
}

/// Where a linear map stands in the flat vector.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    /// First number.
    pub at: i64,
    /// Outputs.
    pub rows: i64,
    /// Inputs.
    pub columns: i64,
}

/// All weights.
#[derive(Debug)]
pub struct Parameters {
    /// Every number, in the order of [`Parameters::leaves`]; optimisers work on this.
    pub flat: Tensor,
    /// 1 where a number belongs to a matrix that weight decay applies to.
    pub decayed: Tensor,
    /// Maps to h outputs (or h/2), each on its own where several are computed together.
    pub matrices: Vec<Matrix>,
    /// species × h.
    pub embedding: Tensor,
    /// In order.
    pub blocks: Vec<BlockParameters>,
    /// h → h/2 → 1.
    pub head: [Layer; 2],
    leaves: Vec<Tensor>,
}

/// How a matrix starts.
#[derive(Clone, Copy)]
enum Start {
    /// Uniform, variance 2 / (inputs + outputs) (Glorot and Bengio 2010).
    Glorot,
    Normal,
    Zero,
}

/// Cuts views out of the flat vector, one after the other.
struct Cutter<'a> {
    flat: &'a Tensor,
    at: i64,
    /// Most outputs of a matrix of its own.
    channels: i64,
    leaves: Vec<Tensor>,
    starts: Vec<Start>,
    matrices: Vec<Matrix>,
}

impl Cutter<'_> {
    fn cut(&mut self, shape: &[i64], start: Start) -> Tensor {
        let count = shape.iter().product();
        let view = self.flat.narrow(0, self.at, count).view(shape).detach().set_requires_grad(true);
        match *shape {
            // A single row has no directions to balance.
            [outputs, columns] if matches!(start, Start::Glorot) && outputs > 1 => {
                let rows = outputs.min(self.channels);
                let places = (0..outputs / rows).map(|k| self.at + k * rows * columns);
                self.matrices.extend(places.map(|at| Matrix { at, rows, columns }));
            }
            _ => {}
        }
        self.at += count;
        self.starts.push(start);
        self.leaves.push(view.shallow_clone());
        view
    }

    fn layer(&mut self, inputs: i64, outputs: i64) -> Layer {
        Layer {
            weight: self.cut(&[outputs, inputs], Start::Glorot),
            bias: self.cut(&[outputs], Start::Zero),
        }
    }
}

impl Shape {
    /// How many numbers are trained.
    pub fn parameters(&self) -> usize {
        let (h, g) = (self.hidden, self.vectors);
        let linear = |inputs: usize, outputs: usize| (inputs + 1) * outputs;
        let block = linear(self.basis, h + 2 * g)
            + linear(h, h)
            + linear(h, h + 2 * g)
            + 2 * g * g
            + linear(h + g, h)
            + linear(h, h + 2 * g);
        self.species * h + self.blocks * block + linear(h, h / 2) + linear(h / 2, 1)
    }
}

impl Parameters {
    /// Random weights, the same for the same seed. libtorch's generator is shared by all threads,
    /// so it would not promise that.
    pub fn random(shape: &Shape, seed: u64, device: Device) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut numbers: Vec<f32> = Vec::with_capacity(shape.parameters());
        let zeros = Tensor::zeros([shape.parameters() as i64], (Kind::Float, Device::Cpu));
        let (parameters, starts) = Self::cut(shape, &zeros);
        for (leaf, start) in parameters.leaves.iter().zip(starts) {
            numbers.extend((0..leaf.numel()).map(|_| match start {
                Start::Glorot => {
                    let bound = (6.0 / leaf.size().iter().sum::<i64>() as f64).sqrt();
                    (bound * (2.0 * random.f64() - 1.0)) as f32
                }
                // Box and Muller 1958.
                Start::Normal => {
                    let (radius, angle) =
                        (1.0 - random.f64(), std::f64::consts::TAU * random.f64());
                    ((-2.0 * radius.ln()).sqrt() * angle.cos()) as f32
                }
                Start::Zero => 0.0,
            }));
        }
        Self::new(shape, &Tensor::from_slice(&numbers).to_device(device))
    }

    /// Weights with a copy of these numbers, of their kind and on their device.
    pub fn new(shape: &Shape, flat: &Tensor) -> Self {
        Self::cut(shape, &flat.copy()).0
    }

    /// A copy as another kind of numbers, or on another device.
    pub fn copy(&self, shape: &Shape, kind: Kind, device: Device) -> Self {
        Self::new(shape, &self.flat.to_kind(kind).to_device(device))
    }

    /// Views of `flat`, and how each of them starts.
    fn cut(shape: &Shape, flat: &Tensor) -> (Self, Vec<Start>) {
        let (h, g) = (shape.hidden as i64, shape.vectors as i64);
        let mut cutter = Cutter {
            flat,
            at: 0,
            channels: h,
            leaves: Vec::new(),
            starts: Vec::new(),
            matrices: Vec::new(),
        };
        let embedding = cutter.cut(&[shape.species as i64, h], Start::Normal);
        let blocks = (0..shape.blocks)
            .map(|_| BlockParameters {
                filter: cutter.cut(&[h + 2 * g, shape.basis as i64 + 1], Start::Glorot),
                sender: [cutter.layer(h, h), cutter.layer(h, h + 2 * g)],
                channel_mix: cutter.cut(&[2 * g, g], Start::Glorot),
                update: [cutter.layer(h + g, h), cutter.layer(h, h + 2 * g)],
            })
            .collect();
        let head = [cutter.layer(h, h / 2), cutter.layer(h / 2, 1)];
        assert_eq!(cutter.at, shape.parameters() as i64, "counted and cut alike");
        let Cutter { leaves, starts, matrices, .. } = cutter;
        let decays = leaves.iter().zip(&starts).map(|(leaf, start)| {
            let decays = matches!(start, Start::Glorot);
            Tensor::full([leaf.numel() as i64], f64::from(decays), (flat.kind(), flat.device()))
        });
        let decayed = Tensor::cat(&decays.collect::<Vec<_>>(), 0);
        let flat = flat.shallow_clone();
        (Self { flat, decayed, matrices, embedding, blocks, head, leaves }, starts)
    }

    /// Takes these numbers.
    pub fn set(&mut self, flat: &Tensor) {
        no_grad(|| self.flat.copy_(flat));
    }

    /// The matrices, in the order of the flat vector.
    pub fn leaves(&self) -> &[Tensor] {
        &self.leaves
    }
}
