//! What is trained: one flat vector, seen as the matrices of the network.

use tch::{Device, Kind, Tensor, no_grad};

/// Sizes of a student.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Number of chemical elements.
    pub species: usize,
    /// Channels.
    pub hidden: usize,
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
pub struct Block {
    /// 3h × (basis + 1): the last column is the bias, which the envelope multiplies too.
    pub filter: Tensor,
    /// h → h → 3h.
    pub sender: [Layer; 2],
    /// 2h × h.
    pub channel_mix: Tensor,
    /// 2h → h → 3h.
    pub update: [Layer; 2],
}

/// All weights.
#[derive(Debug)]
pub struct Parameters {
    /// Every number, in the order of [`Parameters::leaves`]; optimisers work on this.
    pub flat: Tensor,
    /// 1 where a number belongs to a matrix that weight decay applies to.
    pub decayed: Tensor,
    /// species × h.
    pub embedding: Tensor,
    /// In order.
    pub blocks: Vec<Block>,
    /// h → h/2 → 1.
    pub head: [Layer; 2],
}

/// How a matrix starts.
#[derive(Clone, Copy)]
enum Start {
    /// Uniform, variance 2 / (inputs + outputs) × the square of the factor (Glorot and Bengio 2010).
    Glorot(f64),
    Normal,
    Zero,
}

/// Cuts views out of the flat vector, one after the other.
struct Cutter<'a> {
    flat: &'a Tensor,
    at: i64,
    starts: Vec<(Vec<i64>, Start)>,
}

impl Cutter<'_> {
    fn cut(&mut self, shape: &[i64], start: Start) -> Tensor {
        let count = shape.iter().product();
        let view = self.flat.narrow(0, self.at, count).view(shape).detach();
        self.starts.push((shape.to_vec(), start));
        self.at += count;
        view.set_requires_grad(true)
    }

    fn layer(&mut self, inputs: i64, outputs: i64) -> Layer {
        Layer {
            weight: self.cut(&[outputs, inputs], Start::Glorot(1.0)),
            bias: self.cut(&[outputs], Start::Zero),
        }
    }
}

impl Shape {
    /// How many numbers are trained.
    pub fn parameters(&self) -> usize {
        let h = self.hidden;
        let linear = |inputs: usize, outputs: usize| (inputs + 1) * outputs;
        let block = linear(self.basis, 3 * h)
            + linear(h, h)
            + linear(h, 3 * h)
            + 2 * h * h
            + linear(2 * h, h)
            + linear(h, 3 * h);
        self.species * h + self.blocks * block + linear(h, h / 2) + linear(h / 2, 1)
    }
}

impl Parameters {
    /// Random weights, the same for the same seed. libtorch's generator is shared by all threads, so
    /// it would not promise that.
    pub fn random(shape: &Shape, seed: u64, device: Device) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut numbers: Vec<f32> = Vec::with_capacity(shape.parameters());
        for (shape, start) in Self::starts(shape) {
            let count = shape.iter().product::<i64>();
            numbers.extend((0..count).map(|_| match start {
                Start::Glorot(factor) => {
                    let bound = factor * (6.0 / (shape[0] + shape[1]) as f64).sqrt();
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
        let mut parameters = Self::zeros(shape, Kind::Float, device);
        parameters.set(&Tensor::from_slice(&numbers).to_device(device));
        parameters
    }

    fn starts(shape: &Shape) -> Vec<(Vec<i64>, Start)> {
        Self::cut(shape, &Tensor::zeros([shape.parameters() as i64], (Kind::Float, Device::Cpu))).1
    }

    fn zeros(shape: &Shape, kind: Kind, device: Device) -> Self {
        let flat = Tensor::zeros([shape.parameters() as i64], (kind, device));
        Self::cut(shape, &flat).0
    }

    /// The same numbers as another kind or on another device.
    pub fn copy(&self, shape: &Shape, kind: Kind, device: Device) -> Self {
        let mut copy = Self::zeros(shape, kind, device);
        copy.set(&self.flat.to_kind(kind).to_device(device));
        copy
    }

    fn cut(shape: &Shape, flat: &Tensor) -> (Self, Vec<(Vec<i64>, Start)>) {
        let h = shape.hidden as i64;
        let mut cutter = Cutter { flat, at: 0, starts: Vec::new() };
        let embedding = cutter.cut(&[shape.species as i64, h], Start::Normal);
        let blocks = (0..shape.blocks)
            .map(|_| Block {
                filter: cutter.cut(&[3 * h, shape.basis as i64 + 1], Start::Glorot(1.0)),
                sender: [cutter.layer(h, h), cutter.layer(h, 3 * h)],
                channel_mix: cutter.cut(&[2 * h, h], Start::Glorot(1.0)),
                update: [cutter.layer(2 * h, h), cutter.layer(h, 3 * h)],
            })
            .collect();
        let head = [cutter.layer(h, h / 2), cutter.layer(h / 2, 1)];
        assert_eq!(cutter.at, shape.parameters() as i64, "counted and cut alike");
        let starts = cutter.starts;
        let decayed = Tensor::zeros_like(flat);
        let mut at = 0;
        for (shape, start) in &starts {
            let count = shape.iter().product();
            if matches!(start, Start::Glorot(_)) {
                let _ = decayed.narrow(0, at, count).fill_(1.0);
            }
            at += count;
        }
        (Self { flat: flat.shallow_clone(), decayed, embedding, blocks, head }, starts)
    }

    /// Takes these numbers.
    pub fn set(&mut self, flat: &Tensor) {
        no_grad(|| self.flat.copy_(flat));
    }

    /// The matrices, in the order of the flat vector.
    pub fn leaves(&self) -> Vec<&Tensor> {
        let mut leaves = vec![&self.embedding];
        for block in &self.blocks {
            leaves.push(&block.filter);
            for layer in &block.sender {
                leaves.extend([&layer.weight, &layer.bias]);
            }
            leaves.push(&block.channel_mix);
            for layer in &block.update {
                leaves.extend([&layer.weight, &layer.bias]);
            }
        }
        for layer in &self.head {
            leaves.extend([&layer.weight, &layer.bias]);
        }
        leaves
    }
}
