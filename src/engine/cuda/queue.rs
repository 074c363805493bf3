//! What a device was asked for and has not begun: it begins when somebody waits, and then knows all
//! of it. What comes again and again, as the steps of a molecule do, can be handed over as one
//! whole.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::c_void;

use super::device::{Address, Kernel, Launch};

/// One piece of work for a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// A copy from the host to the device.
    Upload {
        /// Address in the memory of the device.
        to: Address,
        /// Address in the memory of the host.
        from: Address,
        /// Bytes to copy.
        bytes: usize,
    },
    /// A copy from the device to the host.
    Download {
        /// Address in the memory of the host.
        to: Address,
        /// Address in the memory of the device.
        from: Address,
        /// Bytes to copy.
        bytes: usize,
    },
    /// Zeros in the memory of the device.
    Clear {
        /// Address in the memory of the device.
        at: Address,
        /// Bytes to clear.
        bytes: usize,
    },
    /// A run of a kernel.
    Kernel {
        /// The file it is in, as `Kernel::module`.
        module: String,
        /// Its name in that file.
        name: String,
        /// Its grid, threads and shared memory.
        launch: Launch,
        /// The struct that it takes, in words.
        arguments: Vec<u64>,
        /// Bytes of that struct.
        size: usize,
    },
}

impl Work {
    /// A kernel with a copy of its arguments.
    ///
    /// # Safety
    /// There are `size` bytes of arguments.
    pub unsafe fn kernel(
        kernel: Kernel<'_>,
        launch: Launch,
        arguments: *const c_void,
        size: usize,
    ) -> Self {
        let mut copy = vec![0_u64; size.div_ceil(size_of::<u64>())];
        // SAFETY: as the caller promises, and there is room for as many.
        unsafe { copy.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(arguments.cast(), size) };
        let (module, name) = (kernel.module.to_owned(), kernel.name.to_owned());
        Self::Kernel { module, name, launch, arguments: copy, size }
    }
}

/// Names of the kernels in a list of work.
pub fn kernels(work: &[Work]) -> Vec<&str> {
    let names = work.iter().filter_map(|work| match work {
        Work::Kernel { name, .. } => Some(name.as_str()),
        _ => None,
    });
    names.collect()
}

/// How often a list must have come before it is made a whole, which is expected to cost as much as
/// several runs of its parts (not measured): a neighbor list of molecular dynamics lives for some
/// ten steps.
const OFTEN: usize = 3;

/// How many lists are remembered: molecules of several sizes in turn have one each, and a step with
/// exchanges has two for each block.
const REMEMBERED: usize = 32;

/// Lists that came before, the last one in front. `W` is what a device makes of one.
pub struct Repeats<W> {
    lists: VecDeque<Seen<W>>,
}

struct Seen<W> {
    work: Vec<Work>,
    times: usize,
    /// What the device made of the list: none before it was tried, `Some(None)` where it cannot.
    whole: Option<Option<W>>,
}

impl<W> Default for Repeats<W> {
    fn default() -> Self {
        Self { lists: VecDeque::new() }
    }
}

impl<W> Repeats<W> {
    /// The whole that stands for this list, if there is one or `make` makes one; none: do its parts
    /// one by one.
    pub fn whole(
        &mut self,
        work: &[Work],
        make: impl FnOnce(&[Work]) -> Option<W>,
    ) -> Option<&mut W> {
        // A single kernel is no less work as a whole.
        if kernels(work).len() < 2 {
            return None;
        }
        match self.lists.iter().position(|seen| seen.work == work) {
            Some(index) => {
                let seen = self.lists.remove(index)?;
                self.lists.push_front(seen);
            }
            None => {
                self.lists.truncate(REMEMBERED - 1);
                self.lists.push_front(Seen { work: work.to_vec(), times: 0, whole: None });
            }
        }
        let seen = self.lists.front_mut()?;
        seen.times += 1;
        if seen.times < OFTEN {
            return None;
        }
        seen.whole.get_or_insert_with(|| make(&seen.work)).as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(argument: u64) -> Vec<Work> {
        let kernel = |name: &str| Work::Kernel {
            module: "messages".into(),
            name: name.into(),
            launch: Launch { grid: [1, 1], threads: 32, shared: 0 },
            arguments: vec![argument],
            size: 8,
        };
        vec![Work::Upload { to: 1, from: 2, bytes: 3 }, kernel("first"), kernel("second")]
    }

    #[test]
    fn a_list_that_comes_often_becomes_a_whole_once() {
        let mut repeats = Repeats::default();
        let mut made = 0;
        let mut ask = |argument: u64| {
            let make = |_: &[Work]| {
                made += 1;
                Some(argument)
            };
            repeats.whole(&work(argument), make).copied()
        };
        assert_eq!([ask(1), ask(1), ask(1), ask(1)], [None, None, Some(1), Some(1)]);
        // Another list does not disturb it, and has a whole of its own.
        assert_eq!([ask(2), ask(2), ask(1), ask(2)], [None, None, Some(1), Some(2)]);
        // Too many others do.
        for other in 3..3 + REMEMBERED as u64 {
            assert_eq!(ask(other), None);
        }
        assert_eq!(ask(1), None);
        assert_eq!(made, 2);
    }

    #[test]
    fn a_list_that_cannot_be_made_a_whole_is_not_tried_again() {
        let mut repeats: Repeats<u64> = Repeats::default();
        let mut tries = 0;
        for _ in 0..6 {
            let make = |_: &[Work]| {
                tries += 1;
                None
            };
            assert!(repeats.whole(&work(1), make).is_none());
        }
        assert_eq!(tries, 1);
        assert!(repeats.whole(&work(1)[..2], |_| Some(1)).is_none(), "one kernel");
    }
}
