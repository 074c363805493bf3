//! Rows of atoms' features on their way to ghosts that are atoms of other ranks, through memory of the host that
//! the device reads and writes by itself.

use std::time::Instant;

use super::arguments::Halo;
use super::device::{Address, Array, Pinned};
use super::plan::Plan;
use super::student::Student;
use crate::engine::{Exchange, Rows};
use crate::error::Result;

/// What is sent and received.
pub struct Border {
    leaving: Array<[u32; 2]>,
    arriving: Array<[u32; 2]>,
    /// Rows in the caller's order, on the device and here.
    outbox: Array<f32>,
    outside: Pinned<f32>,
}

impl Border {
    /// Nothing yet.
    pub fn new(student: &Student) -> Self {
        let device = &student.device;
        Self {
            leaving: Array::new(device),
            arriving: Array::new(device),
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
            self.leaving.begin_set(&plan.leaving)?;
            self.arriving.begin_set(&plan.arriving)
        }
    }

    /// Sends records of `width` vectors to the ghosts; gives the seconds it took. `atoms`: owned and ghosts.
    pub fn exchange(
        &mut self,
        student: &Student,
        plan: &Plan,
        atoms: usize,
        (records, width): (Address, usize),
        exchange: &mut dyn Exchange,
    ) -> Result<f64> {
        let started = Instant::now();
        let channels = student.channels();
        let values = width * channels;
        self.outbox.resize(atoms * values)?;
        self.outside.resize(atoms * values)?;
        let mut halo = Halo {
            records,
            outbox: self.outbox.address(),
            atoms: self.leaving.address(),
            count: plan.active as u32,
            rows: plan.rows as u32,
            width: width as i32,
            channels: channels as i32,
        };
        move_rows(student, "leave", &halo)?;
        // SAFETY: nobody uses the rows before the device was waited for, here and at the step's end.
        #[allow(unsafe_code)]
        unsafe {
            self.outbox.begin_read(&mut self.outside)?;
            student.device.wait()?;
            exchange.forward(Rows::F32(self.outside.values_mut()), values)?;
            self.outbox.begin_set(self.outside.values())?;
        }
        halo.atoms = self.arriving.address();
        halo.count = plan.arriving.len() as u32;
        move_rows(student, "arrive", &halo)?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        self.leaving.memory()
            + self.arriving.memory()
            + self.outbox.memory()
            + self.outside.memory()
    }
}

fn move_rows(student: &Student, name: &str, halo: &Halo) -> Result<()> {
    if halo.count == 0 {
        return Ok(());
    }
    let values = halo.count as usize * (halo.width * halo.channels) as usize;
    student.launch_threads(name, values.min(256 << 20), halo)
}
