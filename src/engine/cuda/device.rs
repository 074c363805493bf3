//! What the engine asks of a GPU: memory, copies and kernels. Two answer: a GPU through its driver
//! ([`super::gpu`]), and the shim of the tests, which runs the same kernels on the processor
//! ([`super::shim`]).
//!
//! Copies and kernels are asked for, and done one after the other while the caller goes on; it
//! waits once, for what it needs.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use super::queue::Work;
use crate::error::Result;

/// A place in a device's memory; 0: none.
pub type Address = u64;

/// A kernel: the file it is in, and its name.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<'a> {
    /// `messages`, or `atoms-` and the number of channels it was compiled for.
    pub module: &'a str,
    /// Its name in the source.
    pub name: &'a str,
}

/// How many threads run a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Blocks of threads in both directions.
    pub grid: [u32; 2],
    /// Threads of each block.
    pub threads: u32,
    /// Bytes of shared memory for each block.
    pub shared: usize,
}

/// What bounds the shape of a launch on a device.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Number of multiprocessors.
    pub processors: usize,
    /// Most bytes of shared memory that one block of threads can have.
    pub shared: usize,
}

/// Does what it is asked for in the order of the calls, some time before [`Self::wait`] returns. An
/// error may be that of an earlier call.
///
/// One thread at a time asks and waits: each calculator opens a device of its own, and computes in
/// one thread.
///
/// # Safety
/// Addresses are those that `allocate` gave and `free` did not take back; copies and kernels stay
/// within what was allocated there.
pub unsafe trait Device: Send + Sync {
    /// What bounds the shape of a launch on this device.
    fn limits(&self) -> Limits;

    /// New memory. What it holds is unspecified.
    fn allocate(&self, bytes: usize) -> Result<Address>;

    /// Gives memory back, once everything asked for is done.
    fn free(&self, address: Address);

    /// New memory of the host that the device reads and writes by itself, aligned to 16 bytes at
    /// least.
    fn allocate_host(&self, bytes: usize) -> Result<*mut u8>;

    /// Gives such memory back, once everything asked for is done.
    fn free_host(&self, memory: *mut u8);

    /// Asks for something, to be done after what was asked for before.
    ///
    /// # Safety
    /// As for the calls below, of which each asks for one kind of work.
    unsafe fn ask(&self, work: Work) -> Result<()>;

    /// Asks for a copy to the device.
    ///
    /// # Safety
    /// As many bytes are allocated at `to`, and those at `from` stay as they are until
    /// [`Self::wait`].
    unsafe fn upload(&self, to: Address, from: *const u8, bytes: usize) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { self.ask(Work::Upload { to, from: from as Address, bytes }) }
    }

    /// Asks for a copy from the device.
    ///
    /// # Safety
    /// As many bytes are allocated at `from`, and nobody else uses those at `to` until
    /// [`Self::wait`].
    unsafe fn download(&self, to: *mut u8, from: Address, bytes: usize) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { self.ask(Work::Download { to: to as Address, from, bytes }) }
    }

    /// Asks for `bytes` zeros at an address.
    ///
    /// # Safety
    /// As many bytes are allocated at `at`.
    unsafe fn clear(&self, at: Address, bytes: usize) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { self.ask(Work::Clear { at, bytes }) }
    }

    /// Asks for a kernel; `arguments` is the one struct that it takes, of `size` bytes, and is
    /// copied.
    ///
    /// # Safety
    /// The kernel takes such a struct, and with it stays within allocated memory.
    unsafe fn launch(
        &self,
        kernel: Kernel<'_>,
        launch: Launch,
        arguments: *const c_void,
        size: usize,
    ) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { self.ask(Work::kernel(kernel, launch, arguments, size)) }
    }

    /// Waits until everything asked for is done.
    fn wait(&self) -> Result<()>;
}

/// What an [`Array`] may hold.
///
/// # Safety
/// Any bytes are a value, and no byte of a value is padding.
pub unsafe trait Plain: Copy {}

// SAFETY: numbers without padding.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for f64 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: arrays have no padding of their own.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// The bytes of plain values.
pub fn bytes<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: all bytes of plain values are initialised.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// An array in a device's memory, which grows and is used again.
pub struct Array<T> {
    device: Arc<dyn Device>,
    address: Address,
    len: usize,
    capacity: usize,
    kind: PhantomData<T>,
}

impl<T: Plain> Array<T> {
    /// An empty array.
    pub fn new(device: &Arc<dyn Device>) -> Self {
        let device = Arc::clone(device);
        Self { device, address: 0, len: 0, capacity: 0, kind: PhantomData }
    }

    /// An array with a copy of `values`.
    pub fn of(device: &Arc<dyn Device>, values: &[T]) -> Result<Self> {
        let mut array = Self::new(device);
        array.set(values)?;
        Ok(array)
    }

    /// Makes room for `len` values; whether it had to be made anew. What they are is unspecified.
    pub fn resize(&mut self, len: usize) -> Result<bool> {
        let grows = len > self.capacity;
        if grows {
            // Where it must grow, it grows by an eighth more: the next list is hardly longer.
            let room = if self.capacity == 0 { len } else { len + len / 8 };
            self.release();
            self.address = self.device.allocate(room * size_of::<T>())?;
            self.capacity = room;
        }
        self.len = len;
        Ok(grows)
    }

    /// Takes a copy of `values`, before it returns.
    pub fn set(&mut self, values: &[T]) -> Result<()> {
        // SAFETY: the values are borrowed until the device was waited for, whether they were asked
        // for or not.
        let asked = unsafe { self.begin_set(values) };
        asked.and(self.device.wait())
    }

    /// Asks for a copy of `values`.
    ///
    /// # Safety
    /// They stay as they are until the device was waited for.
    pub unsafe fn begin_set(&mut self, values: &[T]) -> Result<()> {
        self.resize(values.len())?;
        if values.is_empty() {
            return Ok(());
        }
        // SAFETY: there is room for as many, and as the caller promises.
        unsafe { self.device.upload(self.address, values.as_ptr().cast(), size_of_val(values)) }
    }

    /// Asks for a copy of a part of the values to the same places of `to`.
    ///
    /// # Safety
    /// Nobody uses `to` until the device was waited for.
    pub unsafe fn begin_read(&self, part: Range<usize>, to: &mut Pinned<T>) -> Result<()> {
        assert!(part.end <= self.len && part.end <= to.len, "a copy beyond an array's end");
        if part.is_empty() {
            return Ok(());
        }
        let bytes = part.len() * size_of::<T>();
        // SAFETY: within both arrays, and as the caller promises.
        unsafe {
            self.device.download(to.address.add(part.start).cast(), self.at(part.start), bytes)
        }
    }

    /// Asks for a copy of a part of `from` to the same places.
    ///
    /// # Safety
    /// `from` stays as it is until the device was waited for.
    pub unsafe fn begin_write(&self, part: Range<usize>, from: &Pinned<T>) -> Result<()> {
        assert!(part.end <= self.len && part.end <= from.len, "a copy beyond an array's end");
        if part.is_empty() {
            return Ok(());
        }
        let bytes = part.len() * size_of::<T>();
        // SAFETY: within both arrays, and as the caller promises.
        unsafe {
            self.device.upload(self.at(part.start), from.address.add(part.start).cast(), bytes)
        }
    }

    /// Asks for zeros in place of all values.
    pub fn clear(&mut self) -> Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        // SAFETY: the array's own bytes.
        unsafe { self.device.clear(self.address, self.len * size_of::<T>()) }
    }

    /// Address of the first value.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Address of the value at `index`.
    pub fn at(&self, index: usize) -> Address {
        self.address + (index * size_of::<T>()) as Address
    }

    /// How many values it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        self.capacity * size_of::<T>()
    }
}

impl<T> Array<T> {
    fn release(&mut self) {
        if self.capacity > 0 {
            self.device.free(self.address);
            (self.address, self.len, self.capacity) = (0, 0, 0);
        }
    }
}

impl<T> Drop for Array<T> {
    fn drop(&mut self) {
        self.release();
    }
}

/// An array of the host that the device copies to and from by itself, which grows and is used
/// again.
pub struct Pinned<T> {
    device: Arc<dyn Device>,
    address: *mut T,
    len: usize,
    capacity: usize,
}

// SAFETY: it owns its memory, which any thread may use.
unsafe impl<T: Send> Send for Pinned<T> {}

impl<T: Plain> Pinned<T> {
    /// An empty array.
    pub fn new(device: &Arc<dyn Device>) -> Self {
        Self { device: Arc::clone(device), address: std::ptr::dangling_mut(), len: 0, capacity: 0 }
    }

    /// Makes room for `len` values. What they are is unspecified.
    pub fn resize(&mut self, len: usize) -> Result<()> {
        if len > self.capacity {
            let room = if self.capacity == 0 { len } else { len + len / 8 };
            self.release();
            let memory = self.device.allocate_host(room * size_of::<T>())?;
            // SAFETY: as many bytes were allocated; any bytes are values.
            unsafe { memory.write_bytes(0, room * size_of::<T>()) };
            (self.address, self.capacity) = (memory.cast(), room);
        }
        self.len = len;
        Ok(())
    }

    /// The values.
    pub fn values(&self) -> &[T] {
        // SAFETY: as many values, all initialised; whoever asked for a copy to here has waited for
        // it.
        unsafe { std::slice::from_raw_parts(self.address, self.len) }
    }

    /// The values, to be changed.
    pub fn values_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.address, self.len) }
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        self.capacity * size_of::<T>()
    }
}

impl<T> Pinned<T> {
    fn release(&mut self) {
        if self.capacity > 0 {
            self.device.free_host(self.address.cast());
            (self.address, self.len, self.capacity) = (std::ptr::dangling_mut(), 0, 0);
        }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        self.release();
    }
}
