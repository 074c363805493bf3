//! `mlff_neighbor_list`: a neighbor list in the shape that LAMMPS has it.

use super::arguments::{array, array_address, count, invalid, reserved};
use super::boundary::status_of;
use super::calculator::{enter, mlff_calculator};
use super::status::mlff_status;
use super::versioned::{self, versioned};
use crate::engine::NeighborListInput;
use crate::error::Result;

/// A full neighbor list: for each owned atom all atoms within `list_cutoff`, each pair in both
/// atoms' lists, an atom's own periodic images included.
///
/// Owned atoms are those whose energy this process computes, numbered from 0. Ghosts are copies of
/// atoms, periodic images or atoms of other processes, numbered after the owned ones.
///
/// Everything is copied: nothing is borrowed after mlff_calculator_set_neighbor_list() returns.
///
/// @since 0.1.0
#[derive(Clone, Copy)]
#[repr(C)]
pub struct mlff_neighbor_list {
    /// sizeof(mlff_neighbor_list).
    pub struct_size: u32,
    /// Owned atoms (LAMMPS: nlocal). 0 is normal for a process among several.
    pub owned: i32,
    /// Ghosts (LAMMPS: nghost).
    pub ghosts: i32,
    /// Entries of `ilist` (LAMMPS: inum).
    pub centers: i32,
    /// Atomic numbers, owned + ghosts entries; 0 or less: not part of this model. May be NULL
    /// without atoms, as may all arrays.
    pub species: *const i32,
    /// Which owned atoms have a list, `centers` entries; NULL: atoms 0 to centers - 1. Must hold
    /// every owned atom that is part of the model.
    pub ilist: *const i32,
    /// Lengths of the lists, indexed by ATOM, as in LAMMPS; read only at atoms in `ilist`.
    pub numneigh: *const i32,
    /// The lists: indices of owned atoms and ghosts, indexed by ATOM, as in LAMMPS; read only at
    /// atoms in `ilist`.
    pub firstneigh: *const *const i32,
    /// For each ghost the owned atom it is a copy of, or -1 if that belongs to another process;
    /// NULL: all ghosts belong to other processes. Where no ghost does, no exchange is needed.
    pub owner: *const i32,
    /// The distance up to which the list and the ghosts are complete (Å); at least the model's
    /// cutoff. May be larger: pairs beyond the model's cutoff are skipped at every step.
    pub list_cutoff: f64,
    /// Bits of a list's entry that are its index (LAMMPS: NEIGHMASK); 0: all.
    pub neighbor_mask: u32,
    /// 0.
    pub reserved: u32,
}
versioned!(mlff_neighbor_list, published [72], fields
    struct_size owned ghosts centers species ilist numneigh firstneigh owner list_cutoff
    neighbor_mask reserved);

/// Takes a neighbor list: checks and copies it. Call it when the list, the species or the order of
/// atoms changed, then mlff_calculator_compute() at every step.
///
/// One call at a time for each calculator.
///
/// @param calculator borrowed for the call
/// @param list borrowed for the call
/// @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT (among others: an index out of range, a list that
///     is not full, a list_cutoff below the model's), MLFF_ERROR_SPECIES, MLFF_ERROR_MEMORY,
///     MLFF_ERROR_STATE, or MLFF_ERROR_UNSUPPORTED (MLFF_ENGINE_TORCH, and a ghost that another
///     process owns). After an error the list before stays in use
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_calculator_set_neighbor_list(
    calculator: *mut mlff_calculator,
    list: *const mlff_neighbor_list,
) -> mlff_status {
    status_of(|| {
        // SAFETY: both are what is documented.
        let (mut calculator, list) = unsafe { (enter(calculator)?, versioned::read(list)?) };
        // SAFETY: as documented, the arrays have the lengths that the struct gives.
        let slices = unsafe { Slices::new(&list) }?;
        calculator.set_neighbor_list(&slices.input(&list))
    })
}

/// A caller's arrays as slices.
struct Slices<'a> {
    species: &'a [i32],
    centers: Vec<i32>,
    neighbors: Vec<&'a [i32]>,
    owner: Option<&'a [i32]>,
}

impl<'a> Slices<'a> {
    /// # Safety
    /// The arrays are as `mlff_neighbor_list` says, and nobody changes them during `'a`.
    unsafe fn new(list: &mlff_neighbor_list) -> Result<Self> {
        let owned = count(list.owned, "mlff_neighbor_list.owned")?;
        let ghosts = count(list.ghosts, "mlff_neighbor_list.ghosts")?;
        let entries = count(list.centers, "mlff_neighbor_list.centers")?;
        reserved(list.reserved, "mlff_neighbor_list.reserved")?;
        if entries > owned {
            return invalid(format!(
                "mlff_neighbor_list.centers is {entries}: expected at most one list for each of \
                 the {owned} owned atoms"
            ));
        }
        let by_atom = if entries == 0 { 0 } else { owned };
        // SAFETY: the caller's promise.
        let (species, ilist, owner) = unsafe {
            (
                array(list.species, owned + ghosts, "mlff_neighbor_list.species")?,
                optional_array(list.ilist, entries, "mlff_neighbor_list.ilist")?,
                optional_array(list.owner, ghosts, "mlff_neighbor_list.owner")?,
            )
        };
        // Entries for atoms without a list may be uninitialised, so these stay pointers.
        let numneigh = array_address(list.numneigh, by_atom, "mlff_neighbor_list.numneigh")?;
        let firstneigh = array_address(list.firstneigh, by_atom, "mlff_neighbor_list.firstneigh")?;

        let mut centers = Vec::new();
        centers.try_reserve_exact(entries)?;
        let mut neighbors: Vec<&[i32]> = Vec::new();
        neighbors.try_reserve_exact(entries)?;
        for entry in 0..entries {
            let center = ilist.map_or(entry as i32, |ilist| ilist[entry]);
            let atom = match usize::try_from(center) {
                Ok(atom) if atom < owned => atom,
                _ => {
                    return invalid(format!(
                        "mlff_neighbor_list.ilist[{entry}] is {center}: expected the index of one \
                         of the {owned} owned atoms"
                    ));
                }
            };
            // SAFETY: `atom` is below `owned`, and both arrays are indexed by owned atom.
            let (len, list) = unsafe { (*numneigh.add(atom), *firstneigh.add(atom)) };
            let len = count(len, "an entry of mlff_neighbor_list.numneigh")
                .map_err(|error| error.within(format_args!("atom {atom}")).about([atom]))?;
            // SAFETY: the caller's promise.
            let list = unsafe { array(list, len, "an entry of mlff_neighbor_list.firstneigh") }
                .map_err(|error| error.within(format_args!("atom {atom}")).about([atom]))?;
            centers.push(center);
            neighbors.push(list);
        }
        Ok(Self { species, centers, neighbors, owner })
    }

    fn input(&'a self, list: &mlff_neighbor_list) -> NeighborListInput<'a> {
        NeighborListInput {
            owned: list.owned as usize,
            ghosts: list.ghosts as usize,
            species: self.species,
            centers: &self.centers,
            neighbors: &self.neighbors,
            mask: match list.neighbor_mask {
                0 => !0,
                mask => mask as i32,
            },
            owner: self.owner,
            list_cutoff: list.list_cutoff,
        }
    }
}

/// # Safety
/// As [`array`].
unsafe fn optional_array<'a, T>(
    pointer: *const T,
    len: usize,
    name: &str,
) -> Result<Option<&'a [T]>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { array(pointer, len, name) }.map(Some)
}
