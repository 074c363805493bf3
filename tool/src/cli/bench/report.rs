//! What was measured, for programs and for people.

use std::fmt::Write;

use serde::Serialize;

use super::summary::Summary;

/// All that `bench` found. Times are wall time.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) library: String,
    pub(super) version: String,
    pub(super) model: String,
    pub(super) architecture: &'static str,
    pub(super) parameters: usize,
    pub(super) atoms: usize,
    /// Edge of the periodic cube (Å).
    pub(super) edge: f64,
    /// Directed pairs within the cutoff.
    pub(super) pairs_per_atom: f64,
    pub(super) threads: u32,
    pub(super) instruction_set: &'static str,
    pub(super) rounds: usize,
    /// Of each round (µs).
    pub(super) microseconds_per_atom_step: Summary,
    /// What a step with a new neighbor list takes longer; the list itself is the caller's (µs).
    pub(super) rebuild_microseconds_per_atom: f64,
    pub(super) share_of_time: Shares,
    pub(super) operations_per_atom_step: f64,
    /// 10⁹ operations per second at the median step.
    pub(super) gflops: f64,
    /// The same of multiply-adds on registers, on as many threads of the processor.
    pub(super) peak_gflops: Option<f64>,
    pub(super) peak_share: Option<f64>,
    /// 10⁹ bytes read and written per second where memory is copied, on as many threads.
    pub(super) copy_gigabytes_per_second: Option<f64>,
    pub(super) memory: Memory,
    /// Of the last minute, at the end: how busy the machine was.
    pub(super) load_average: Option<f64>,
    /// Where the model knows its elements.
    pub(super) molecule: Option<Molecule>,
    pub(super) pytorch: Option<Comparison>,
}

/// A small molecule, from its positions alone.
#[derive(Serialize)]
pub(super) struct Molecule {
    pub(super) name: &'static str,
    pub(super) atoms: usize,
    /// One call (µs).
    pub(super) microseconds: Summary,
    /// Copies in a batch.
    pub(super) batch: usize,
    /// Each of them, on all threads (µs).
    pub(super) batch_microseconds: Summary,
    pub(super) pytorch: Option<Against>,
    pub(super) torchscript: Option<Against>,
}

/// Another program's time for the same, in the same rounds.
#[derive(Serialize)]
pub(super) struct Against {
    pub(super) microseconds_per_atom_step: Summary,
    /// Its median over the engine's.
    pub(super) ratio_of_medians: f64,
    /// Its time over the engine's in each round.
    pub(super) ratio: Summary,
}

impl Against {
    /// Seconds of each round, and µs per atom for a second.
    pub(super) fn new(other: &[f64], engine: &[f64], per_atom: f64) -> Self {
        let ratios: Vec<f64> = other.iter().zip(engine).map(|(a, b)| a / b).collect();
        let median = Summary::new(other).median;
        Self {
            microseconds_per_atom_step: Summary::new(other).times(per_atom),
            ratio_of_medians: median / Summary::new(engine).median,
            ratio: Summary::new(&ratios),
        }
    }

    fn text(&self) -> String {
        format!(
            "{:.1} times (medians; {:.1} to {:.1} in single rounds)",
            self.ratio_of_medians, self.ratio.min, self.ratio.max
        )
    }
}

/// Parts of the steps' time; sums to 1.
#[derive(Serialize)]
pub(super) struct Shares {
    pub(super) lists: f64,
    pub(super) pairs: f64,
    /// Messages, forward and in reverse.
    pub(super) forward: f64,
    pub(super) reverse: f64,
    pub(super) atoms: f64,
    pub(super) exchange: f64,
    pub(super) rest: f64,
}

/// Bytes of a calculator.
#[derive(Serialize)]
pub(super) struct Memory {
    /// Tables and weights.
    pub(super) fixed: u64,
    pub(super) per_atom: f64,
}

/// The same network in PyTorch, in the same rounds.
#[derive(Serialize)]
pub(super) struct Comparison {
    pub(super) version: String,
    #[serde(flatten)]
    pub(super) eager: Against,
    pub(super) torchscript: Against,
    /// eV.
    pub(super) energy_difference_per_atom: f64,
    /// eV/Å.
    pub(super) largest_force_difference: f64,
    /// eV/Å.
    pub(super) largest_force: f64,
}

/// Decimals of a value that is printed with so many of them, or with three digits where it is below
/// 1.
fn decimals(value: f64, usual: usize) -> usize {
    match value.abs() {
        small if small > 1e-9 && small < 1.0 => (2 - small.log10().floor() as i32) as usize,
        _ => usual,
    }
}

fn spread(of: &Summary, digits: usize) -> String {
    format!("{:.digits$} ({:.digits$} to {:.digits$})", of.median, of.min, of.max)
}

fn of_another(program: &Against) -> String {
    let micro = &program.microseconds_per_atom_step;
    // Of a GPU it is a few; of a processor hundreds.
    spread(micro, if micro.median < 10.0 { decimals(micro.median, 2) } else { 0 })
}

impl Report {
    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<20} {value}");
        };
        line("library", format!("{}, version {}", self.library, self.version));
        line(
            "model",
            format!("{}: {}, {} parameters", self.model, self.architecture, self.parameters),
        );
        line(
            "system",
            format!(
                "{} atoms of water in a cube of {:.2} Å, {:.1} pairs per atom within the cutoff",
                self.atoms, self.edge, self.pairs_per_atom
            ),
        );
        let plural = if self.threads == 1 { "" } else { "s" };
        let threads = format!("{} thread{plural}, {}", self.threads, self.instruction_set);
        line(
            "engine",
            if self.peak_share.is_some() { threads } else { self.instruction_set.into() },
        );
        let of_step = self.microseconds_per_atom_step.median;
        line(
            "µs/atom/step",
            format!(
                "{}, median and range of {} rounds",
                spread(&self.microseconds_per_atom_step, decimals(of_step, 2)),
                self.rounds
            ),
        );
        let rebuild = self.rebuild_microseconds_per_atom;
        line("new neighbor list", format!("{rebuild:.*} µs/atom", decimals(rebuild, 2)));
        let Shares { lists, pairs, forward, reverse, atoms, exchange, rest } = self.share_of_time;
        let parts = [
            ("messages", forward),
            ("reverse messages", reverse),
            ("atoms", atoms),
            ("pairs", pairs),
            ("lists", lists),
            ("exchange", exchange),
            ("rest", rest),
        ];
        let parts = parts.map(|(name, share)| format!("{name} {:.1} %", 100.0 * share));
        line("time", parts.join(", "));
        line(
            "operations",
            format!("{:.2} million per atom and step", self.operations_per_atom_step * 1e-6),
        );
        let of_peak =
            self.peak_share.zip(self.peak_gflops).map_or(String::new(), |(share, peak)| {
                format!(", {:.0} % of the float32 peak of {peak:.1} measured here", 100.0 * share)
            });
        line("GFLOP/s", format!("{:.1}{of_peak}", self.gflops));
        if let Some(copy) = self.copy_gigabytes_per_second {
            line("copying memory", format!("{copy:.1} GB/s read and written, measured here"));
        }
        line(
            "memory",
            format!(
                "{:.1} KiB per atom, {:.1} MiB for tables and weights",
                self.memory.per_atom / 1024.0,
                self.memory.fixed as f64 / (1024.0 * 1024.0)
            ),
        );
        if let Some(load) = self.load_average {
            line("load average", format!("{load:.1}"));
        }
        if let Some(pytorch) = &self.pytorch {
            line(
                "PyTorch",
                format!("{}, µs/atom/step {}", pytorch.version, of_another(&pytorch.eager)),
            );
            line("TorchScript", {
                format!("the same traced, µs/atom/step {}", of_another(&pytorch.torchscript))
            });
            line(
                "agreement",
                format!(
                    "energy {:.1e} eV/atom, forces {:.1e} eV/Å (largest force {:.1} eV/Å)",
                    pytorch.energy_difference_per_atom,
                    pytorch.largest_force_difference,
                    pytorch.largest_force
                ),
            );
            line(
                "faster by",
                format!(
                    "{}; than TorchScript {}",
                    pytorch.eager.text(),
                    pytorch.torchscript.text()
                ),
            );
        }
        if let Some(molecule) = &self.molecule {
            let Molecule { name, atoms, microseconds, batch, batch_microseconds, .. } = molecule;
            line(
                name,
                format!(
                    "{atoms} atoms, positions alone: {} µs a call, {} µs each in a batch of {batch}",
                    spread(microseconds, 1),
                    spread(batch_microseconds, decimals(batch_microseconds.median, 1))
                ),
            );
            if let (Some(eager), Some(script)) = (&molecule.pytorch, &molecule.torchscript) {
                let text = format!("{}; than TorchScript {}", eager.text(), script.text());
                line("faster by", text);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_times_keep_three_digits() {
        let printed = [12.3456, 1.0, 0.5, 0.0333333, 0.00412, 0.0009996, 0.0]
            .map(|x: f64| format!("{x:.*}", decimals(x, 2)));
        let expected = ["12.35", "1.00", "0.500", "0.0333", "0.00412", "0.001000", "0.00"];
        assert_eq!(printed, expected);
    }
}
