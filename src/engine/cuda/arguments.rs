//! The structs that kernels take, field by field as in `kernels/*.cuh`.

use super::device::Address;

/// Bytes of a pair within the cutoff.
pub const PAIR_BYTES: usize = 32;

/// Channels of a slice.
pub const SLICE: usize = 16;

/// Lanes that go through a pair together.
pub const GROUP: usize = SLICE / 2;

/// Most layers of a readout before the last one.
pub const HEAD: usize = 4;

/// A struct that a kernel takes.
///
/// # Safety
/// It is `repr(C)` and has the fields of the struct of the same name in the kernels' source.
#[allow(unsafe_code)]
pub unsafe trait Arguments: Copy {}

macro_rules! arguments {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $kind:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Default)]
        #[repr(C)]
        pub struct $name { $(pub $field: $kind),* }

        // SAFETY: written beside the kernels' source; the shim compares sizes, and its tests
        // results.
        #[allow(unsafe_code)]
        unsafe impl Arguments for $name {}

        // Their bytes are copied and compared (`queue.rs`): `reserved` fills what would be padding.
        const _: () = assert!(
            0 $(+ size_of::<$kind>())* == size_of::<$name>(),
            "padding: add `reserved`",
        );
    )*};
}

arguments! {
    /// As in `kernels/pairs.cuh`, which says what each field is.
    FindPairs {
        positions: Address, atoms: Address, starts: Address, entries: Address, places: Address,
        pairs: Address, counts: Address, bad: Address, radii: Address,
        cutoff: f64, softening: f64, per_length: f64, core: f64,
        intervals: u32, active: u32, coordinates: u64,
    }

    /// As in `kernels/lists.cuh`, which says what each field is.
    Grid {
        vectors: [f64; 9], inverse: [f64; 9], origin: [f64; 3], width: [f64; 3],
        count: [i32; 3], around: [i32; 3], periodic: [i32; 3],
        first_slot: u32, slots: u32, reserved: u32,
    }

    /// As in `kernels/lists.cuh`, which says what each field is.
    Wrap {
        given: Address, structures: Address, grids: Address,
        wrapped: Address, bins: Address, slots: Address, ranks: Address, counts: Address,
        bad: Address,
        farthest: f64, atoms: u32, reserved: u32,
    }

    /// As in `kernels/lists.cuh`, which says what each field is.
    Scan { counts: Address, starts: Address, total: Address, count: u32, reserved: u32 }

    /// As in `kernels/lists.cuh`, which says what each field is.
    Scatter {
        slots: Address, ranks: Address, starts: Address, members: Address, atoms: u32,
        reserved: u32,
    }

    /// As in `kernels/lists.cuh`, which says what each field is.
    Arrange {
        slots: Address, starts: Address, members: Address,
        wrapped: Address, bins: Address, structures: Address, kinds: Address,
        row_atoms: Address, row_positions: Address, row_bins: Address, row_structures: Address,
        row_kinds: Address, atoms: u32, reserved: u32,
    }

    /// As in `kernels/lists.cuh`, which says what each field is.
    ListPairs {
        positions: Address, structures: Address, bins: Address, kinds: Address,
        grids: Address, slots: Address, starts: Address,
        pairs: Address, counts: Address, bad: Address, total: Address, capacity: u64,
        radii: Address,
        cutoff: f64, softening: f64, per_length: f64, core: f64, farthest: f64,
        intervals: u32, active: u32,
    }

    /// As in `kernels/message.cuh`, which says what each field is.
    Message {
        pairs: Address, starts: Address, counts: Address, kinds: Address, table: Address,
        features: Address, embedding: Address, state: Address, bar: Address, received: Address,
        gradients: Address, capacity: u64,
        active: u32, rows: u32, feature_rows: u32, slices: u32, nodes: u32, resident: u32,
        overwrite: u32, reserved: u32,
    }

    /// As in `kernels/atoms.cuh`, which says what each field is.
    Linear { weight: Address, bias: Address, inputs: i32, outputs: i32 }

    /// As in `kernels/atoms.cuh`, which says what each field is.
    Mlp { first: Linear, second: Linear, second_reverse: Linear, first_reverse: Linear }

    /// As in `kernels/atoms.cuh`, which says what each field is.
    Head {
        forward: [Linear; HEAD], reverse: [Linear; HEAD],
        weights: Address, bias: f64, layers: i32, inputs: i32,
    }

    /// As in `kernels/atoms.cuh`, which says what each field is.
    Atoms {
        update: Mlp, sender: Mlp, mix: Linear, mix_reverse: Linear, head: Head,
        mixing: [f32; 9], under_root: f32, epsilon: f32,
        shifted: i32, channels: i32, room: i32, active: u32, rows: u32,
        state: Address, kept: Address, next_kept: Address, next_state: Address,
        features: Address, received: Address, bar: Address,
        kinds: Address, bounds: Address, energies: Address,
    }

    /// As in `kernels/sums.cuh`, which says what each field is.
    Sums {
        positions: Address, atoms: Address, structures: Address, grids: Address,
        pairs: Address, starts: Address, counts: Address, kinds: Address,
        gradients: Address, capacity: u64,
        parts: u32, active: u32, total: u32, reserved: u32,
        per_length: f64, softening: f64, core: f64,
        references: Address, charges: Address, charge_powers: Address, radii: Address,
        ordinary: Address, reaches: Address,
        network: Address, energies: Address, forces: Address, virials: Address,
        outside: Address, near: Address,
    }

    /// As in `kernels/halo.cuh`, which says what each field is.
    Halo {
        records: Address, outbox: Address, atoms: Address,
        count: u32, rows: u32, width: i32, channels: i32,
    }
}
