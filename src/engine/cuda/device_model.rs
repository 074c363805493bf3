//! A student in a device's memory: what all engines of a calculator share.

use std::sync::Arc;

use super::arguments::{Arguments, SLICE};
use super::device::{Array, Device, Kernel, Launch};
use super::network::DeviceNetwork;
use super::{shape, tables};
use crate::engine::{findings, layers};
use crate::error::Result;
use crate::model::energy_range::ordinary;
use crate::model::{Model, repulsion};

/// A student in a device's memory.
pub struct DeviceModel {
    /// The student, with a vector for each channel.
    pub model: Arc<Model>,
    /// The device whose memory holds the arrays below.
    pub device: Arc<dyn Device>,
    /// Its packed dense layers.
    pub network: DeviceNetwork,
    /// Name of the kernels for this number of channels.
    pub atoms_module: String,
    /// Filter tables, one for each message; layout as `Message::table` in `kernels/message.cuh`.
    pub tables: Vec<Array<f32>>,
    /// Intervals of each filter table on [0, cutoff].
    pub intervals: usize,
    /// What follows from the species of an atom alone.
    pub kinds: Kinds,
}

/// What follows from an atom's species alone. Its kind is its index in `Model::species`.
pub struct Kinds {
    /// Kind of each atomic number that the student knows.
    pub of: [u32; 256],
    /// Number of kinds.
    pub count: usize,
    /// s of each kind before the first message: records of one vector.
    pub embedding: Array<f32>,
    /// What each kind sends in the first message: records of features.
    pub features: Array<f32>,
    /// Reference energy of each kind (eV).
    pub references: Array<f64>,
    /// Nuclear charge Z of each kind.
    pub charges: Array<f64>,
    /// Z of each kind, to the power of the repulsion's screening length.
    pub charge_powers: Array<f64>,
    /// Radius of each kind in the repulsion (Å); 0: it does not repel.
    pub radii: Array<f64>,
    /// What each kind adds to the distance below which two atoms overlap (Å).
    pub reaches: Array<f64>,
    /// Between which bounded energies an atom of each kind is not far outside the training data
    /// (eV).
    pub ordinary: Array<[f64; 2]>,
    /// Between which energies an atom of each kind stays as the network gives it (eV).
    pub bounds: Array<[f64; 2]>,
}

impl Kinds {
    fn new(device: &Arc<dyn Device>, model: &Model) -> Result<Self> {
        let (h, count) = (model.hidden, model.species.len());
        let width = layers::feature_width(model.has_sender());
        let mut of = [0; 256];
        let mut embedding = vec![0.0_f32; layers::padded(h) * count];
        let mut features = vec![0.0_f32; layers::padded(h) * count * width];
        for (kind, &number) in model.species.iter().enumerate() {
            of[usize::from(number)] = kind as u32;
            let s = model.embedding_row(number);
            let sent = layers::sent(&model.blocks[0], s);
            for channel in 0..h {
                let (slice, lane) = (channel / SLICE, channel % SLICE);
                let record = slice * count + kind;
                embedding[record * SLICE + lane] = s[channel] as f32;
                for (k, run) in sent.chunks_exact(h).enumerate() {
                    features[(record * width + k) * SLICE + lane] = run[channel] as f32;
                }
            }
        }
        let each = |value: &dyn Fn(u8) -> f64| -> Result<Array<f64>> {
            Array::of(
                device,
                &model.species.iter().map(|&number| value(number)).collect::<Vec<_>>(),
            )
        };
        let bounds = || model.species.iter().map(|&number| model.energy_bounds(number));
        let radius = |number| model.repulsion.as_ref().map_or(0.0, |found| found.radius(number));
        Ok(Self {
            of,
            count,
            embedding: Array::of(device, &embedding)?,
            features: Array::of(device, &features)?,
            references: each(&|number| model.reference_energies[usize::from(number)])?,
            charges: each(&|number| f64::from(number))?,
            charge_powers: each(&|number| f64::from(number).powf(repulsion::EXPONENT))?,
            radii: each(&radius)?,
            reaches: each(&findings::reach)?,
            ordinary: Array::of(device, &bounds().map(ordinary).collect::<Vec<_>>())?,
            bounds: Array::of(device, &bounds().collect::<Vec<_>>())?,
        })
    }

    fn memory(&self) -> usize {
        let numbers =
            [&self.references, &self.charges, &self.charge_powers, &self.radii, &self.reaches];
        self.embedding.memory()
            + self.features.memory()
            + numbers.iter().map(|array| array.memory()).sum::<usize>()
            + self.bounds.memory()
            + self.ordinary.memory()
    }
}

/// Atoms of a block of threads where each atom has a warp.
pub const WARPS: usize = 4;

impl DeviceModel {
    /// Copies `model` to `device`.
    pub fn new(model: Arc<Model>, device: Arc<dyn Device>) -> Result<Self> {
        // The kernels have a vector for each channel.
        let model = if model.vectors < model.hidden { Arc::new(model.widened()) } else { model };
        let (tables, intervals) = tables::interpolated(&model)?;
        let channels = layers::padded(model.hidden);
        let special = matches!(channels, 32 | 64 | 128);
        let network = DeviceNetwork::new(&device, &model)?;
        shape::check(&network, channels, device.limits())?;
        Ok(Self {
            network,
            atoms_module: format!("atoms-{}", if special { channels } else { 0 }),
            tables: tables.iter().map(|table| Array::of(&device, table)).collect::<Result<_>>()?,
            intervals,
            kinds: Kinds::new(&device, &model)?,
            model,
            device,
        })
    }

    /// Channels, a multiple of 16.
    pub fn channels(&self) -> usize {
        layers::padded(self.model.hidden)
    }

    /// Intervals of the tables in one Å.
    pub fn per_length(&self) -> f64 {
        self.intervals as f64 / self.model.cutoff
    }

    /// Asks the device to run the kernel `name` of `module` with these arguments.
    pub fn launch<A: Arguments>(
        &self,
        module: &str,
        name: &str,
        launch: Launch,
        arguments: &A,
    ) -> Result<()> {
        let arguments: *const A = arguments;
        // SAFETY: `A` is what the kernel of this name takes, and the arrays behind its addresses
        // are those that were sized for it.
        #[allow(unsafe_code)]
        unsafe {
            self.device.launch(Kernel { module, name }, launch, arguments.cast(), size_of::<A>())
        }
    }

    /// Asks for a kernel with one warp for each of so many atoms, and so many bytes of shared
    /// memory for each warp.
    pub fn launch_warps<A: Arguments>(
        &self,
        name: &str,
        atoms: usize,
        shared: usize,
        arguments: &A,
    ) -> Result<()> {
        let grid = [atoms.div_ceil(WARPS) as u32, 1];
        let launch = Launch { grid, threads: 32 * WARPS as u32, shared: WARPS * shared };
        self.launch("messages", name, launch, arguments)
    }

    /// Asks for a kernel with one thread for each of so many items.
    pub fn launch_threads<A: Arguments>(
        &self,
        name: &str,
        items: usize,
        arguments: &A,
    ) -> Result<()> {
        const THREADS: usize = 256;
        let grid = [items.div_ceil(THREADS) as u32, 1];
        let launch = Launch { grid, threads: THREADS as u32, shared: 0 };
        self.launch("messages", name, launch, arguments)
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        self.tables.iter().map(Array::memory).sum::<usize>()
            + self.network.memory()
            + self.kinds.memory()
    }
}
