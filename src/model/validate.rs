//! What engines rely on: sizes that fit together, finite numbers.

use std::fmt::Display;

use super::{Architecture, Basis, Envelope, EnvelopePlace, Linear, Model, Norm, Update};
use crate::error::{Error, ErrorKind, Result};

/// Powers of the polynomial envelope; beyond these its terms cancel to noise.
pub const POWERS: std::ops::RangeInclusive<u32> = 1..=32;

impl Model {
    /// Checks that all sizes fit together, that every number is finite and that the cutoff, the
    /// widths and ε are positive. Every loaded model has passed; engines rely on it.
    pub fn validate(&self) -> Result<()> {
        self.check_numbers()?;
        self.check_elements()?;
        self.check_layers()
    }

    /// Where the envelope acts; the same in every block.
    pub(super) fn envelope_place(&self) -> EnvelopePlace {
        self.blocks.first().map_or(EnvelopePlace::Filter, |block| block.filter.envelope)
    }

    fn check_numbers(&self) -> Result<()> {
        for (name, shape, values) in self.arrays() {
            let count = shape.iter().try_fold(1_usize, |count, &n| count.checked_mul(n));
            if count != Some(values.len()) {
                let expected = format!("as many values as its shape {shape:?} has");
                return wrong(&name, expected, values.len());
            }
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(Error::new(
                    ErrorKind::Numeric,
                    format!(
                        "{name}: expected finite numbers, found {} at value {at}: the training \
                         diverged or the file is damaged, use another checkpoint",
                        values[at]
                    ),
                ));
            }
        }
        if !(self.cutoff.is_finite() && self.cutoff > 0.0) {
            return wrong("cutoff", "a positive distance (Å)", self.cutoff);
        }
        if !(self.softening.is_finite() && self.softening >= 0.0) {
            return wrong("softening", "zero or a positive distance (Å)", self.softening);
        }
        if let Basis::Gaussian { exponents, .. } = &self.basis
            && let Some(exponent) = exponents.iter().find(|&&exponent| exponent <= 0.0)
        {
            return wrong("basis.exponents", "positive exponents", exponent);
        }
        if let Envelope::Polynomial { power } = self.envelope
            && !POWERS.contains(&power)
        {
            let expected = format!("a power from {} to {}", POWERS.start(), POWERS.end());
            return wrong("envelope_power", expected, power);
        }
        if let Some(range) = &self.energy_range
            && let Some([low, high]) = range.bounds.iter().find(|[low, high]| low > high)
        {
            return wrong(
                "energy_range",
                "lower bounds before upper ones",
                format_args!("{low}, {high}"),
            );
        }
        self.check_repulsion()
    }

    fn check_repulsion(&self) -> Result<()> {
        let Some(repulsion) = &self.repulsion else { return Ok(()) };
        if let Some(radius) = repulsion.radii.iter().find(|&&radius| radius < 0.0) {
            return wrong("repulsion.radii", "zero or positive distances (Å)", radius);
        }
        if !(0.0..1.0).contains(&repulsion.core) {
            return wrong("repulsion.core", "a share from 0 to below 1", repulsion.core);
        }
        // Pairs beyond the cutoff are not looked at.
        if repulsion.longest() > self.cutoff {
            let expected = format!("radii up to half the cutoff of {} Å", self.cutoff);
            return wrong("repulsion.radii", expected, 0.5 * repulsion.longest());
        }
        Ok(())
    }

    fn check_elements(&self) -> Result<()> {
        let rows = self.reference_energies.len();
        if !self.species.is_sorted_by(|a, b| a < b) {
            return wrong(
                "species",
                "atomic numbers in ascending order",
                self.scope().species_list(),
            );
        }
        match (self.species.first(), self.species.last()) {
            (Some(1..), Some(&last))
                if usize::from(last) < rows && super::symbol(last).is_some() =>
            {
                Ok(())
            }
            _ => wrong(
                "species",
                format_args!("atomic numbers from 1 to {}", rows.saturating_sub(1).min(118)),
                format_args!("{:?}", self.species),
            ),
        }
    }

    fn check_layers(&self) -> Result<()> {
        let (hidden, vectors) = (self.hidden, self.vectors);
        let most = match self.architecture {
            Architecture::Published => hidden..=hidden,
            Architecture::Painn => 1..=hidden,
        };
        if hidden > 0 && !most.contains(&vectors) {
            let expected = format!("{} to {} vectors", most.start(), most.end());
            return wrong("vectors", expected, vectors);
        }
        // Rows that ranks exchange are whole in units of eight bytes.
        if (hidden + vectors) % 2 != 0 {
            let expected = format!("a number that is even or odd as {hidden} channels are");
            return wrong("vectors", expected, vectors);
        }
        let row = hidden + 2 * vectors;
        if hidden == 0 || self.blocks.is_empty() || self.basis.is_empty() {
            return wrong(
                "sizes",
                "at least one channel, block and basis function",
                format_args!("{hidden}, {}, {}", self.blocks.len(), self.basis.len()),
            );
        }
        for (index, block) in self.blocks.iter().enumerate() {
            let name = |part: &str| format!("blocks.{index}.{part}");
            check_chain(&name("filter"), &block.filter.layers, self.basis.len(), row)?;
            if block.filter.envelope != self.envelope_place() {
                return wrong(&name("filter"), "the envelope of block 0", "another one");
            }
            let mlp = match (self.architecture, &block.sender, &block.update) {
                (Architecture::Published, None, Update::Published { mlp, .. }) => mlp,
                (Architecture::Painn, Some(sender), Update::Painn { channel_mix, mlp, norm }) => {
                    check_layer(&name("sender.first"), &sender.first, hidden, hidden)?;
                    check_layer(&name("sender.second"), &sender.second, hidden, row)?;
                    check_layer(&name("update.channel_mix"), channel_mix, vectors, 2 * vectors)?;
                    if channel_mix.bias.iter().any(|&bias| bias != 0.0) {
                        return wrong(&name("update.channel_mix"), "no bias", "one");
                    }
                    let (Norm::Root { epsilon } | Norm::Shifted { epsilon }) = *norm;
                    // At zero the norm has no slope where V = 0, as in the first block's input;
                    // what float32 rounds to zero is no better.
                    if epsilon <= 0.0 || norm.under_root() < f64::from(f32::MIN_POSITIVE) {
                        let expected = "a positive number that is more than zero in float32";
                        return wrong(&name("update.epsilon"), expected, epsilon);
                    }
                    if self.norm().map(Norm::name) != Some(norm.name()) {
                        return wrong(&name("update"), "the norm of block 0", norm.name());
                    }
                    mlp
                }
                (architecture, ..) => {
                    return wrong(
                        &format!("blocks.{index}"),
                        format_args!("the parts of a {} block", architecture.name()),
                        "another family's",
                    );
                }
            };
            check_layer(&name("update.first"), &mlp.first, hidden + vectors, hidden)?;
            check_layer(&name("update.second"), &mlp.second, hidden, row)?;
        }
        check_chain("head", &self.head, hidden, 1)
    }
}

fn wrong<T>(name: &str, expected: impl Display, found: impl Display) -> Result<T> {
    Err(Error::new(
        ErrorKind::Format,
        format!("{name}: expected {expected}, found {found}: the model is damaged, export it anew"),
    ))
}

/// `inputs` → any → … → `outputs`.
fn check_chain(name: &str, layers: &[Linear], inputs: usize, outputs: usize) -> Result<()> {
    let mut inputs = inputs;
    for (index, layer) in layers.iter().enumerate() {
        let outputs = if index + 1 == layers.len() { outputs } else { layer.outputs };
        check_layer(&format!("{name}.{index}"), layer, inputs, outputs)?;
        inputs = outputs;
    }
    if layers.is_empty() { wrong(name, "at least one layer", "none") } else { Ok(()) }
}

/// The numbers themselves are counted in `check_numbers`.
fn check_layer(name: &str, layer: &Linear, inputs: usize, outputs: usize) -> Result<()> {
    if (layer.inputs, layer.outputs) == (inputs, outputs) && layer.bias.len() == outputs {
        return Ok(());
    }
    wrong(
        name,
        format_args!("{inputs} inputs and {outputs} outputs"),
        format_args!(
            "{} inputs, {} outputs, {} biases",
            layer.inputs,
            layer.outputs,
            layer.bias.len()
        ),
    )
}
