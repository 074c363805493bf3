//! What the engine asks of a GPU: memory, copies and kernels. Two answer: a GPU through its driver
//! ([`super::gpu`]), and the shim of the tests, which runs the same kernels on the processor
//! ([`super::shim`]).
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;

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
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// Blocks.
    pub grid: [u32; 2],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of shared memory for each block.
    pub shared: usize,
}

/// What a device has.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Multiprocessors.
    pub processors: usize,
    /// Most bytes of shared memory that one block of threads can have.
    pub shared: usize,
}

/// Runs kernels, one after the other in the order of the calls.
///
/// # Safety
/// Addresses are those that `allocate` gave and `free` did not take back; copies and kernels stay
/// within what was allocated there.
pub unsafe trait Device: Send + Sync {
    /// What it has.
    fn limits(&self) -> Limits;

    /// New memory. What it holds is unspecified.
    fn allocate(&self, bytes: usize) -> Result<Address>;

    /// Gives memory back.
    fn free(&self, address: Address);

    /// Copies to the device.
    ///
    /// # Safety
    /// As many bytes are allocated at `to`.
    unsafe fn upload(&self, to: Address, from: &[u8]) -> Result<()>;

    /// Copies from the device, once all kernels are done.
    ///
    /// # Safety
    /// As many bytes are allocated at `from`.
    unsafe fn download(&self, to: &mut [u8], from: Address) -> Result<()>;

    /// Starts a kernel; `arguments` is the one struct that it takes, of `size` bytes.
    ///
    /// # Safety
    /// The kernel takes such a struct, and with it stays within allocated memory.
    unsafe fn launch(
        &self,
        kernel: Kernel<'_>,
        launch: Launch,
        arguments: *const c_void,
        size: usize,
    ) -> Result<()>;
}

/// What an [`Array`] may hold.
///
/// # Safety
/// Any bytes are a value, and no byte of a value is padding.
pub unsafe trait Plain: Copy {}

// SAFETY: numbers without padding.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for f64 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: arrays have no padding of their own.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

fn bytes<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: all bytes of plain values are initialised.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

fn bytes_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and any bytes are a value.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
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
    /// Nothing yet.
    pub fn new(device: &Arc<dyn Device>) -> Self {
        let device = Arc::clone(device);
        Self { device, address: 0, len: 0, capacity: 0, kind: PhantomData }
    }

    /// A copy of `values`.
    pub fn of(device: &Arc<dyn Device>, values: &[T]) -> Result<Self> {
        let mut array = Self::new(device);
        array.set(values)?;
        Ok(array)
    }

    /// Makes room for `len` values. What they are is unspecified.
    pub fn resize(&mut self, len: usize) -> Result<()> {
        if len > self.capacity {
            // Where it must grow, it grows by an eighth more: the next list is hardly longer.
            let room = if self.capacity == 0 { len } else { len + len / 8 };
            self.release();
            self.address = self.device.allocate(room * size_of::<T>())?;
            self.capacity = room;
        }
        self.len = len;
        Ok(())
    }

    /// Takes a copy of `values`.
    pub fn set(&mut self, values: &[T]) -> Result<()> {
        self.resize(values.len())?;
        self.write(0, values)
    }

    /// Copies `values` to index `at` and on.
    pub fn write(&mut self, at: usize, values: &[T]) -> Result<()> {
        assert!(at + values.len() <= self.len, "a copy beyond an array's end");
        if values.is_empty() {
            return Ok(());
        }
        // SAFETY: within the array.
        unsafe { self.device.upload(self.at(at), bytes(values)) }
    }

    /// Copies the first of the array's values to `to`.
    pub fn read(&self, to: &mut [T]) -> Result<()> {
        assert!(to.len() <= self.len, "a copy beyond an array's end");
        if to.is_empty() {
            return Ok(());
        }
        // SAFETY: within the array.
        unsafe { self.device.download(bytes_mut(to), self.address) }
    }

    /// Where it is.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Where the value of an index is.
    pub fn at(&self, index: usize) -> Address {
        self.address + (index * size_of::<T>()) as Address
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
