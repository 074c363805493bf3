//! A student while it is trained, and the model that engines load.

use mlff_student::model::{
    Architecture, Basis, Block, Envelope, EnvelopePlace, Filter, Linear, Mlp, Model, Norm,
    Repulsion, Update, atomic_number, covalent,
};
use mlff_student::{Error, ErrorKind, Result};
use tch::{Device, Kind, Tensor};

use crate::batch::Radial;
use crate::config;
use crate::parameters::{Layer, Parameters, Shape};

/// The shape of a student that is trained: all but its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainableModel {
    /// Sizes of the network.
    pub shape: Shape,
    /// Elements in the order of the embedding's rows: ascending atomic numbers.
    pub species: Vec<u8>,
    /// Pairs with d ≤ cutoff take part (Å).
    pub cutoff: f64,
    /// Power p of the polynomial envelope.
    pub envelope_power: u32,
    /// ε of the norm √(x² + ε²) − ε of the update, in units of the vectors.
    pub epsilon: f64,
    /// Short-range repulsion of all pairs, subtracted from the labels before training.
    pub repulsion: Option<Repulsion>,
    /// Energy of each of `species` alone (eV), subtracted from the labels before training.
    pub reference_energies: Vec<f64>,
}

impl TrainableModel {
    /// As a configuration asks for it, without reference energies.
    pub fn new(config: &config::StudentConfig) -> Result<Self> {
        let mut species = Vec::new();
        for symbol in &config.species {
            let z = atomic_number(symbol).ok_or_else(|| {
                Error::new(
                    ErrorKind::Species,
                    format!("student.species: expected chemical symbols, found {symbol:?}"),
                )
            })?;
            species.push(z);
        }
        species.sort_unstable();
        species.dedup();
        let Some(&last) = species.last() else {
            return Err(Error::new(
                ErrorKind::Species,
                "student.species: expected at least one chemical symbol, found none",
            ));
        };
        let mut radii = vec![0.0; usize::from(last) + 1];
        for &z in species.iter().filter(|_| config.repulsion > 0.0) {
            let radius = covalent::radius(z).ok_or_else(|| {
                let message = format!(
                    "no covalent radius is known for atomic number {z}: set student.repulsion = 0"
                );
                Error::new(ErrorKind::Species, message)
            })?;
            radii[usize::from(z)] = config.repulsion * radius;
        }
        let repulsion = Repulsion { radii, core: config.core };
        if repulsion.longest() > config.cutoff {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "student.repulsion: expected no pair to repel beyond the cutoff of {} Å, found \
                     one that does up to {:.2} Å: lower it",
                    config.cutoff,
                    repulsion.longest()
                ),
            ));
        }
        Ok(Self {
            shape: Shape {
                species: species.len(),
                hidden: config.hidden,
                vectors: if config.vectors == 0 { config.hidden } else { config.vectors },
                blocks: config.blocks,
                basis: config.basis,
            },
            reference_energies: vec![0.0; species.len()],
            species,
            cutoff: config.cutoff,
            envelope_power: config.envelope_power,
            epsilon: config.epsilon,
            repulsion: (config.repulsion > 0.0).then_some(repulsion),
        })
    }

    /// The radial functions.
    pub fn radial(&self) -> Radial {
        Radial {
            size: self.shape.basis,
            cutoff: self.cutoff,
            envelope: Envelope::Polynomial { power: self.envelope_power },
        }
    }

    /// The model with these weights; its metadata is empty.
    pub fn model(&self, weights: &Parameters) -> Result<Model> {
        let (h, g) = (self.shape.hidden, self.shape.vectors);
        let rows = self.species.last().map_or(0, |&z| usize::from(z) + 1);
        let (mut embedding, mut reference_energies) = (vec![0.0; rows * h], vec![0.0; rows]);
        let rows = numbers(&weights.embedding)?;
        for ((&z, row), &energy) in
            self.species.iter().zip(rows.chunks_exact(h)).zip(&self.reference_energies)
        {
            let z = usize::from(z);
            embedding[z * h..][..h].copy_from_slice(row);
            reference_energies[z] = energy;
        }
        let blocks = weights.blocks.iter().map(|block| {
            let columns = self.shape.basis as i64;
            let filter = Linear {
                inputs: self.shape.basis,
                outputs: h + 2 * g,
                weight: numbers(&block.filter.narrow(1, 0, columns))?,
                bias: numbers(&block.filter.narrow(1, columns, 1))?,
            };
            Ok(Block {
                filter: Filter { layers: vec![filter], envelope: EnvelopePlace::Filter },
                sender: Some(mlp(&block.sender)?),
                update: Update::Painn {
                    channel_mix: Linear {
                        inputs: g,
                        outputs: 2 * g,
                        weight: numbers(&block.channel_mix)?,
                        bias: vec![0.0; 2 * g],
                    },
                    mlp: mlp(&block.update)?,
                    norm: Norm::Shifted { epsilon: self.epsilon },
                },
            })
        });
        let model = Model {
            architecture: Architecture::Painn,
            hidden: h,
            vectors: g,
            cutoff: self.cutoff,
            softening: 0.0,
            embedding,
            species: self.species.clone(),
            reference_energies,
            basis: Basis::Bessel { frequencies: self.radial().frequencies() },
            envelope: self.radial().envelope,
            repulsion: self.repulsion.clone(),
            energy_range: None,
            blocks: blocks.collect::<Result<_>>()?,
            head: weights.head.iter().map(linear).collect::<Result<_>>()?,
            metadata: Default::default(),
        };
        model.validate()?;
        Ok(model)
    }

    /// The weights of a model of this shape, and its reference energies.
    pub fn take(&mut self, model: &Model) -> Result<Tensor> {
        let mut flat: Vec<f64> = Vec::new();
        let scope = model.scope();
        for &z in &self.species {
            if !scope.knows(z) {
                return Err(unlike("the same elements", &scope.unknown_species(i32::from(z))));
            }
            flat.extend(model.embedding_row(z));
        }
        for block in &model.blocks {
            let [filter] = &block.filter.layers[..] else {
                return Err(unlike("filters of one layer", "more"));
            };
            for (row, bias) in filter.weight.chunks_exact(filter.inputs).zip(&filter.bias) {
                flat.extend(row);
                flat.push(*bias);
            }
            let (Some(sender), Update::Painn { channel_mix, mlp, .. }) =
                (&block.sender, &block.update)
            else {
                return Err(unlike("the painn architecture", "another one"));
            };
            push(&mut flat, [&sender.first, &sender.second]);
            flat.extend(&channel_mix.weight);
            push(&mut flat, [&mlp.first, &mlp.second]);
        }
        push(&mut flat, &model.head);
        self.reference_energies =
            self.species.iter().map(|&z| model.reference_energies[usize::from(z)]).collect();
        let tensor = Tensor::from_slice(&flat).to_kind(Kind::Float);
        // What was taken must give the model back: sizes, basis, envelope, norm and repulsion.
        if flat.len() == self.shape.parameters() {
            let mut again = self.model(&Parameters::new(&self.shape, &tensor))?;
            again.metadata.clone_from(&model.metadata);
            let [again, model] = [&again, model].map(|model| {
                let mut outline = model.clone();
                // Bits that float32 drops, and elements that the configuration leaves out.
                outline.embedding.clear();
                outline.species.clear();
                outline.reference_energies.clear();
                // It follows from weights and data.
                outline.energy_range = None;
                if let Some(repulsion) = &mut outline.repulsion {
                    // A run may go on with another core: the network learns to live with it.
                    repulsion.core = self.repulsion.as_ref().map_or(0.0, |own| own.core);
                    repulsion.radii =
                        self.species.iter().map(|&z| repulsion.radii[usize::from(z)]).collect();
                }
                outline
            });
            if again == model {
                return Ok(tensor);
            }
        }
        let others = settings(model);
        let differing = self.settings().into_iter().zip(others).find(|(own, other)| own != other);
        let (expected, found) =
            differing.unwrap_or_else(|| ("the settings under [student]".into(), "others".into()));
        Err(unlike(&expected, &found))
    }

    /// What a model of this shape has, as [`settings`] says it.
    fn settings(&self) -> [String; 8] {
        in_words(
            [self.shape.hidden, self.shape.vectors, self.shape.blocks, self.shape.basis],
            self.cutoff,
            self.radial().envelope,
            Some(Norm::Shifted { epsilon: self.epsilon }),
            self.repulsion.as_ref(),
        )
    }
}

/// What must be the same to go on from a model.
fn settings(model: &Model) -> [String; 8] {
    in_words(
        [model.hidden, model.vectors, model.blocks.len(), model.basis.len()],
        model.cutoff,
        model.envelope,
        model.norm(),
        model.repulsion.as_ref(),
    )
}

fn in_words(
    [hidden, vectors, blocks, basis]: [usize; 4],
    cutoff: f64,
    envelope: Envelope,
    norm: Option<Norm>,
    repulsion: Option<&Repulsion>,
) -> [String; 8] {
    [
        format!("{hidden} channels"),
        format!("{vectors} vectors"),
        format!("{blocks} blocks"),
        format!("{basis} basis functions"),
        format!("a cutoff of {cutoff} Å"),
        match envelope {
            Envelope::Polynomial { power } => format!("an envelope of power {power}"),
            Envelope::Cosine => "a cosine envelope".into(),
        },
        match norm {
            Some(Norm::Shifted { epsilon }) => format!("epsilon {epsilon}"),
            _ => "another norm".into(),
        },
        match repulsion {
            Some(found) => {
                format!("repulsion up to {:.3} Å", found.longest())
            }
            None => "no repulsion".into(),
        },
    ]
}

fn unlike(expected: &str, found: &str) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        format!(
            "expected a student with {expected}, found {found}: train from another one, or change \
             [student]"
        ),
    )
}

fn push<'a>(flat: &mut Vec<f64>, layers: impl IntoIterator<Item = &'a Linear>) {
    for layer in layers {
        flat.extend(&layer.weight);
        flat.extend(&layer.bias);
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Double).contiguous().view([-1]);
    Vec::try_from(flat).map_err(|error| {
        Error::new(ErrorKind::Internal, format!("a tensor cannot be read: {error}"))
    })
}

fn linear(layer: &Layer) -> Result<Linear> {
    let shape = layer.weight.size();
    Ok(Linear {
        inputs: shape[1] as usize,
        outputs: shape[0] as usize,
        weight: numbers(&layer.weight)?,
        bias: numbers(&layer.bias)?,
    })
}

fn mlp([first, second]: &[Layer; 2]) -> Result<Mlp> {
    Ok(Mlp { first: linear(first)?, second: linear(second)? })
}
