//! The message of one block: what pairs add to the scalars and vectors of their atoms.
//!
//! ```text
//! Δs_i = Σ_j x_j¹ ⊙ φ¹        Δv_i = Σ_j v_j ⊙ x_j² ⊙ φ² + u ⊗ (x_j³ ⊙ φ³)
//! ```
//!
//! On the CPU, in float32, it is one operation (`message.cpp`): in plain tensor operations, arrays
//! of pairs × channels would take most of the time. Everywhere else it is plain tensor operations.

use std::ffi::{CStr, c_char};

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::batch::Pairs;

unsafe extern "C" {
    fn mlff_message(
        x: *const C_tensor,
        v: *const C_tensor,
        phi: *const C_tensor,
        u: *const C_tensor,
        to: *const C_tensor,
        from: *const C_tensor,
        first: *const C_tensor,
        h: i64,
        ds: *mut *mut C_tensor,
        dv: *mut *mut C_tensor,
    ) -> *mut c_char;
}

/// Δs (N × h) and Δv (N × 3 × g) from sender rows `x` (N × (h + 2g)), vectors `v` (N × 3 × g;
/// `None` in the first block, where they are zero) and filter rows `phi` (P × (h + 2g)).
pub fn message(
    x: &Tensor,
    v: Option<&Tensor>,
    phi: &Tensor,
    pairs: &Pairs,
    h: i64,
) -> (Tensor, Tensor) {
    if x.device() == Device::Cpu && x.kind() == Kind::Float {
        fused(x, v, phi, pairs, h)
    } else {
        plain(x, v, phi, pairs, h)
    }
}

/// The message in tensor operations alone, which the fused one is tested against.
pub fn plain(
    x: &Tensor,
    v: Option<&Tensor>,
    phi: &Tensor,
    pairs: &Pairs,
    h: i64,
) -> (Tensor, Tensor) {
    let (atoms, g) = (x.size()[0], (x.size()[1] - h) / 2);
    let rows = x.index_select(0, &pairs.from) * phi;
    let parts = rows.split_with_sizes([h, g, g], 1);
    let ds = Tensor::zeros([atoms, h], (x.kind(), x.device())).index_add(0, &pairs.to, &parts[0]);
    let mut dv = pairs.unit.unsqueeze(2) * parts[2].unsqueeze(1);
    if let Some(v) = v {
        dv += v.index_select(0, &pairs.from) * parts[1].unsqueeze(1);
    }
    let zeros = Tensor::zeros([atoms, 3, g], (x.kind(), x.device()));
    (ds, zeros.index_add(0, &pairs.to, &dv))
}

fn fused(x: &Tensor, v: Option<&Tensor>, phi: &Tensor, pairs: &Pairs, h: i64) -> (Tensor, Tensor) {
    let (x, phi, unit) = (x.contiguous(), phi.contiguous(), pairs.unit.contiguous());
    let v = v.map_or_else(|| Tensor::empty([0], (x.kind(), x.device())), Tensor::contiguous);
    let (mut ds, mut dv) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: all tensors live until the call returns; the lists index into them (`Batch` makes
    // both), and the shapes follow from x.
    let failure = unsafe {
        mlff_message(
            x.as_ptr(),
            v.as_ptr(),
            phi.as_ptr(),
            unit.as_ptr(),
            pairs.to.as_ptr(),
            pairs.from.as_ptr(),
            pairs.first.as_ptr(),
            h,
            &mut ds,
            &mut dv,
        )
    };
    if !failure.is_null() {
        // SAFETY: a C string that the call allocated and leaves to its caller; it is leaked, since
        // the process ends here.
        let message = unsafe { CStr::from_ptr(failure) };
        panic!("libtorch: {}", message.to_string_lossy());
    }
    // SAFETY: the call made both tensors and gave them away.
    unsafe { (Tensor::from_ptr(ds), Tensor::from_ptr(dv)) }
}
