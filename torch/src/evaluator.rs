//! A model on libtorch: energies of atoms, and ∂E/∂r of pairs by automatic differentiation.

use mlff_student::model::Model;
use mlff_student::{Error, ErrorKind, Result};
use tch::{CModule, Device, IValue, Kind, TchError, Tensor};

use crate::plain::TensorNetwork;

/// A student, or a TorchScript model.
pub struct Evaluator {
    potential: Potential,
    kind: Kind,
    device: Device,
}

enum Potential {
    Student(TensorNetwork),
    Script(CModule),
}

/// Atoms and directed pairs within the cutoff; see `mlff_student::engine::torch`.
pub struct System<'a> {
    /// Atomic number of each atom.
    pub species: &'a [i64],
    /// Position of each atom (Å).
    pub positions: &'a [[f64; 3]],
    /// The receiving atom i of each pair.
    pub to: &'a [i64],
    /// The sending atom j of each pair.
    pub from: &'a [i64],
    /// What is added to r_j − r_i (Å).
    pub shifts: &'a [[f64; 3]],
}

impl Evaluator {
    /// Reads a student's file, or, if it is a `script`, a TorchScript archive.
    pub fn new(file: &[u8], script: bool, kind: Kind, device: Device) -> Result<Self> {
        let potential = if script {
            let load = || {
                let mut module = CModule::load_data_on_device(&mut &*file, device)?;
                module.f_set_eval()?;
                Ok(module)
            };
            let module = load().map_err(|error| {
                let what = "libtorch cannot read this TorchScript model";
                failed(ErrorKind::Format, what, &error)
            })?;
            Potential::Script(module)
        } else {
            Potential::Student(TensorNetwork::new(&Model::from_bytes(file)?, kind, device))
        };
        Ok(Self { potential, kind, device })
    }

    /// Energy of each atom (eV), and ∂E/∂r of each pair (eV/Å).
    pub fn evaluate(&self, system: &System<'_>) -> Result<(Vec<f64>, Vec<f64>)> {
        let integers = |values: &[i64]| Tensor::from_slice(values).to_device(self.device);
        let rows = |values: &[[f64; 3]]| {
            Tensor::from_slice(values.as_flattened()).view([-1, 3]).to_device(self.device)
        };
        let species = integers(system.species);
        let (to, from) = (integers(system.to), integers(system.from));
        let (positions, shifts) = (rows(system.positions), rows(system.shifts));
        let (energies, gradients) = match &self.potential {
            Potential::Student(network) => {
                let vectors =
                    positions.index_select(0, &from) + shifts - positions.index_select(0, &to);
                let vectors = vectors.set_requires_grad(true);
                let energies = network.energies(&species, &to, &from, &vectors);
                let [gradients] = gradients(&energies, [&vectors])?;
                (energies, gradients)
            }
            Potential::Script(module) => {
                // Whole Å move from positions to shifts: far from the origin float32 would lose
                // their digits.
                let whole = positions.floor();
                let shifts = shifts + whole.index_select(0, &from) - whole.index_select(0, &to);
                let positions = positions - whole;
                let leaf = |tensor: Tensor| tensor.to_kind(self.kind).set_requires_grad(true);
                let (positions, shifts) = (leaf(positions), leaf(shifts));
                let pairs = Tensor::stack(&[&to, &from], 0);
                let energies = run(module, [&species, &positions, &pairs, &shifts])?;
                let [by_position, gradients] = gradients(&energies, [&positions, &shifts])?;
                check_pairs(&by_position, &gradients, &to, &from)?;
                (by_atom(energies, system.species.len())?, gradients)
            }
        };
        let values = |tensor: &Tensor| {
            let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Double).reshape([-1]);
            Vec::<f64>::try_from(flat)
                .map_err(|error| failed(ErrorKind::Internal, "results cannot be copied", &error))
        };
        Ok((values(&energies)?, values(&gradients)?))
    }
}

fn failed(kind: ErrorKind, what: &str, error: &TchError) -> Error {
    of_libtorch(kind, what, &error.to_string())
}

/// The error for what libtorch says, of `kind` unless its text tells better.
pub fn of_libtorch(kind: ErrorKind, what: &str, text: &str) -> Error {
    // Panics of tch hold the text as Rust writes strings; behind the first lines stands a call
    // stack of C++.
    let text = text.replace("\\n", "\n");
    let lines = text.lines().take_while(|line| !line.starts_with("Exception raised"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
    if says(&["out of memory", "can't allocate memory", "bad_alloc"]) {
        return Error::new(ErrorKind::Memory, format!("{what}: {text}"));
    }
    if says(&["no kernel image is available"]) {
        let what_to_do = "use a libtorch that was built for this GPU, or device cpu";
        return Error::new(ErrorKind::Unsupported, format!("{what}: {text}: {what_to_do}"));
    }
    if says(&LOST) {
        let what_to_do =
            "this GPU is lost to this process until it is started again; use device cpu";
        return Error::new(ErrorKind::DeviceLost, format!("{what}: {text}: {what_to_do}"));
    }
    Error::new(kind, format!("{what}: {text}"))
}

/// What CUDA says of errors after which it refuses everything.
const LOST: [&str; 12] = [
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "invalid program counter",
    "operation not supported on global/shared address space",
    "hardware stack error",
    "unspecified launch failure",
    "launch timed out",
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "CUDA error: unknown error",
];

fn run(module: &CModule, inputs: [&Tensor; 4]) -> Result<Tensor> {
    let inputs = inputs.map(|tensor| IValue::Tensor(tensor.shallow_clone()));
    let output = module.forward_is(&inputs).map_err(|error| {
        let what = "the TorchScript model failed on (species, positions, pairs, shifts)";
        failed(ErrorKind::InvalidArgument, what, &error)
    })?;
    match output {
        IValue::Tensor(energies) => Ok(energies),
        other => Err(Error::new(
            ErrorKind::Format,
            format!(
                "expected a TorchScript model that returns energies as one tensor, found \
                 {other:?}: return the energy of each atom, or of all"
            ),
        )),
    }
}

/// Derivatives of the sum of `energies`, the last one by what pairs depend on.
fn gradients<const N: usize>(energies: &Tensor, by: [&Tensor; N]) -> Result<[Tensor; N]> {
    let total = energies.sum(energies.kind());
    let what = "the energy cannot be differentiated by positions and shifts";
    // Behind what depends on nothing libtorch would follow a null pointer.
    if !total.requires_grad() {
        let message = format!("{what}: look for detach() or no_grad() in the model");
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let found = Tensor::f_run_backward(&[total], &by, false, false)
        .map_err(|error| failed(ErrorKind::InvalidArgument, what, &error))?;
    // Without pairs an energy need not depend on them; with pairs, one that does not has lost its
    // derivative.
    let lost = |(gradient, by): (&Tensor, &&Tensor)| !gradient.defined() && by.numel() > 0;
    if found.iter().zip(&by).next_back().is_some_and(lost) {
        let message =
            format!("{what}: it does not depend on pairs; look for detach() in the model");
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let mut found = found
        .into_iter()
        .zip(by)
        .map(|(gradient, by)| if gradient.defined() { gradient } else { Tensor::zeros_like(by) });
    Ok(std::array::from_fn(|_| found.next().expect("one for each tensor")))
}

/// The energy of each atom, where there is only that of all: equal parts.
fn by_atom(energies: Tensor, atoms: usize) -> Result<Tensor> {
    match energies.numel() {
        found if found == atoms => Ok(energies),
        1 => Ok((energies / atoms as f64).reshape([1]).expand([atoms as i64], false)),
        found => Err(Error::new(
            ErrorKind::Format,
            format!(
                "expected the energy of all atoms or of each of {atoms}, found {found} numbers"
            ),
        )),
    }
}

/// Forces and virials follow from pairs alone, so positions must enter the energy by
/// r_j + shift − r_i only.
fn check_pairs(by_position: &Tensor, by_pair: &Tensor, to: &Tensor, from: &Tensor) -> Result<()> {
    let gathered =
        Tensor::zeros_like(by_position).index_add(0, from, by_pair).index_add(0, to, &-by_pair);
    let largest = |x: &Tensor| match x.numel() {
        0 => 0.0,
        _ => x.abs().max().double_value(&[]),
    };
    let difference = largest(&(gathered - by_position));
    // Rounding of float32 grows with the sizes of what cancels.
    if difference > 1e-3 * (1.0 + largest(by_pair)) {
        return Err(Error::new(
            ErrorKind::Format,
            format!(
                "this TorchScript model uses positions in other ways than as positions[pairs[1]] + \
                 shifts - positions[pairs[0]]: its forces differ by {difference:.2e} eV/Å from \
                 those of pairs, so no virial can be given: compute the energy from these vectors \
                 alone"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libtorch_says_of_a_gpu_decides_whether_it_is_lost() {
        let kind = |text: &str| of_libtorch(ErrorKind::Internal, "libtorch failed", text);
        let lost =
            kind("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might");
        assert_eq!(lost.kind(), ErrorKind::DeviceLost);
        assert!(lost.message().contains("until it is started again"), "{lost}");
        let old = kind("CUDA error: no kernel image is available for execution on the device");
        assert_eq!(old.kind(), ErrorKind::Unsupported);
        assert!(old.message().contains("built for this GPU"), "{old}");
        let memory = kind("CUDA out of memory. Tried to allocate 2.00 GiB");
        assert_eq!(memory.kind(), ErrorKind::Memory);
        assert_eq!(kind("CUDA error: invalid argument").kind(), ErrorKind::Internal);
    }
}
