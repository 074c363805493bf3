//! CUDA, where libtorch has it.

/// Loads libtorch's CUDA half if it is there, which registers its devices. The program is linked
/// against the CPU half alone, so that one binary serves machines with and without a GPU.
pub fn load() {
    // SAFETY: libtorch's own library, whose initialisers register kernels and nothing else; it
    // stays loaded.
    unsafe {
        libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL);
    }
}
