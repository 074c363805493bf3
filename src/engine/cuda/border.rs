//! Rows of atoms' features on their way to ghosts that are atoms of other ranks, through memory of
//! the host that the device reads and writes by itself.

use std::time::Instant;

use super::arguments::Halo;
use super::device::{Address, Array, Pinned};
use super::device_model::DeviceModel;
use super::plan::Plan;
use crate::engine::layers::{STATE, feature_width};
use crate::engine::{Exchange, Rows};
use crate::error::Result;

/// Room for the rows that one rank exchanges with others, and which atoms they belong to.
pub struct Border {
    sent: Array<[u32; 2]>,
    received: Array<[u32; 2]>,
    /// Rows in the caller's order, on the device and here.
    outbox: Array<f32>,
    outside: Pinned<f32>,
}

impl Border {
    /// Without room for any row yet.
    pub fn new(student: &DeviceModel) -> Self {
        let device = &student.device;
        Self {
            sent: Array::new(device),
            received: Array::new(device),
            outbox: Array::new(device),
            outside: Pinned::new(device),
        }
    }

    /// Asks for copies of what follows from a neighbor list.
    ///
    /// # Safety
    /// The plan stays as it is until the device was waited for.
    #[allow(unsafe_code)]
    pub unsafe fn begin_set(&mut self, plan: &Plan) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe {
            self.sent.begin_set(&plan.sent)?;
            self.received.begin_set(&plan.received)
        }
    }

    /// Makes room for rows of so many owned atoms and ghosts.
    pub fn resize(&mut self, student: &DeviceModel, atoms: usize) -> Result<()> {
        let values = atoms * widest(student) * student.channels();
        self.outbox.resize(values)?;
        self.outside.resize(values)
    }

    /// Sends records of `width` vectors from owned atoms to the ghosts behind them; gives the
    /// seconds that the caller took.
    pub fn exchange(
        &mut self,
        student: &DeviceModel,
        plan: &Plan,
        [owned, ghosts]: [usize; 2],
        (records, width): (Address, usize),
        exchange: &mut dyn Exchange,
    ) -> Result<f64> {
        let channels = student.channels();
        let values = width * channels;
        let (owned_values, all) = (owned * values, (owned + ghosts) * values);
        self.resize(student, owned + ghosts)?;
        let mut halo = Halo {
            records,
            outbox: self.outbox.address(),
            atoms: self.sent.address(),
            count: plan.active as u32,
            rows: plan.rows as u32,
            width: width as i32,
            channels: channels as i32,
        };
        move_rows(student, "pack_rows", &halo)?;
        // Which owned atoms have ghosts elsewhere only the caller knows: all their rows go down,
        // the ghosts' rows up.
        let called;
        // SAFETY: nobody uses the rows before the device was waited for, here and at the step's
        // end.
        #[allow(unsafe_code)]
        unsafe {
            self.outbox.begin_read(0..owned_values, &mut self.outside)?;
            student.device.wait()?;
            let started = Instant::now();
            exchange.forward(Rows::F32(&mut self.outside.values_mut()[..all]), values)?;
            called = started.elapsed().as_secs_f64();
            self.outbox.begin_write(owned_values..all, &self.outside)?;
        }
        halo.atoms = self.received.address();
        halo.count = plan.received.len() as u32;
        move_rows(student, "unpack_rows", &halo)?;
        Ok(called)
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        self.sent.memory() + self.received.memory() + self.outbox.memory() + self.outside.memory()
    }
}

/// Bytes on the device for rows of so many owned atoms and ghosts.
pub fn needed(student: &DeviceModel, atoms: usize) -> usize {
    size_of::<f32>() * atoms * widest(student) * student.channels()
}

/// Most vectors of a row that is sent.
fn widest(student: &DeviceModel) -> usize {
    feature_width(student.model.has_sender()).max(STATE)
}

fn move_rows(student: &DeviceModel, name: &str, halo: &Halo) -> Result<()> {
    if halo.count == 0 {
        return Ok(());
    }
    let values = halo.count as usize * (halo.width * halo.channels) as usize;
    student.launch_threads(name, values.min(256 << 20), halo)
}
