//! Structures without a neighbor list, side by side: their pairs are found on the device.
//!
//! Small structures go up as they are, wrapped here, and each atom is compared with all of its
//! structure. Where one is large, all are wrapped and sorted into bins on the device, and the bins'
//! order is that of the rows.

use std::sync::Arc;

use super::arguments::{Arrange, Grid, ListPairs, Scan, Scatter, Wrap};
use super::device::{Address, Array, Launch, Pinned, Plain, bytes};
use super::device_model::DeviceModel;
use super::pass::{List, Pass, PositionsInput};
use crate::engine::{Structure, pair};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Scope;
use crate::neighbors::{self, Cell};
use crate::vector::norm;

/// Structures of at most so many atoms are small: all pairs of atoms cost less than sorting.
const SMALL: usize = 512;

/// Molecules of at most so many atoms get room for all their pairs, which then need not be counted
/// first.
const TINY: usize = 64;

/// Room for pairs of each atom before the first structure shows how many there are.
const FIRST_ROOM: usize = 64;

/// Most cells between an atom and its neighbor, as `kernels/lists.cuh` packs them.
const MOST_SHIFT: i64 = 511;

// SAFETY: numbers, and none of them after padding: `reserved` fills it.
#[allow(unsafe_code)]
unsafe impl Plain for Grid {}

/// What the device knows of the structures of a call.
pub struct Structures {
    student: Arc<DeviceModel>,
    /// Bytes that are copied to the device, first on the host, then there.
    staged: Pinned<u8>,
    sent: Array<u8>,
    starts: Array<u32>,
    /// Of each atom, where there are bins: position inside the cell (Å); of each slot, its atoms.
    wrapped: Array<[f64; 3]>,
    bins: Array<[u32; 3]>,
    slots: Array<u32>,
    ranks: Array<u32>,
    slot_counts: Array<u32>,
    slot_starts: Array<u32>,
    members: Array<u32>,
    /// Of each row, where there are bins: its atom, position (Å), bin, structure and kind.
    row_atoms: Array<u32>,
    row_positions: Array<[f64; 3]>,
    row_bins: Array<[u32; 3]>,
    row_structures: Array<u32>,
    row_kinds: Array<u32>,
    /// A copy of `row_atoms`, where somebody asked.
    row_atoms_found: Pinned<u32>,
}

/// Structures that are on the device, ready for [`Structures::find_pairs`].
pub struct Ready {
    /// Their atoms, and where their pairs are.
    pub list: List,
    /// Addresses of their positions (Å) and cells.
    pub input: PositionsInput,
    /// Room that is worth making for pairs.
    pub capacity: usize,
    /// Whether pairs have to be counted before they are written.
    counted: bool,
    /// Where the bin of each row is, and the first row of each slot.
    bins: Address,
    slots: Address,
    unsorted: Option<Unsorted>,
}

impl Ready {
    /// Whether pairs are counted on the device: there may be more than there is room for.
    pub fn counted(&self) -> bool {
        self.counted
    }
}

/// What is known of atoms that are to be sorted into rows.
#[derive(Clone, Copy)]
struct Unsorted {
    given: Address,
    structures: Address,
    kinds: Address,
    slots: usize,
}

/// Where things are in what goes up: each begins on a multiple of 16 bytes.
#[derive(Default)]
struct StagingLayout {
    bytes: usize,
}

impl StagingLayout {
    fn place<T>(&mut self, count: usize) -> usize {
        let at = self.bytes.next_multiple_of(16);
        self.bytes = at + count * size_of::<T>();
        at
    }
}

impl Structures {
    /// Without structures yet, for engines of `student`.
    pub fn new(student: &Arc<DeviceModel>) -> Self {
        let device = &student.device;
        Self {
            student: Arc::clone(student),
            staged: Pinned::new(device),
            sent: Array::new(device),
            starts: Array::new(device),
            wrapped: Array::new(device),
            bins: Array::new(device),
            slots: Array::new(device),
            ranks: Array::new(device),
            slot_counts: Array::new(device),
            slot_starts: Array::new(device),
            members: Array::new(device),
            row_atoms: Array::new(device),
            row_positions: Array::new(device),
            row_bins: Array::new(device),
            row_structures: Array::new(device),
            row_kinds: Array::new(device),
            row_atoms_found: Pinned::new(device),
        }
    }

    /// Sends structures up and, where one is large, sorts their atoms. None: a cell is so thin that
    /// its images cannot be numbered on the device.
    pub fn prepare(
        &mut self,
        structures: &[Structure<'_>],
        scope: &Scope,
    ) -> Result<Option<Ready>> {
        let atoms: usize = structures.iter().map(|structure| structure.positions.len()).sum();
        if atoms >= i32::MAX as usize {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("expected fewer than {} atoms, found {atoms}", i32::MAX),
            ));
        }
        let binned = structures.iter().any(|structure| structure.positions.len() > SMALL);
        let open = |structure: &Structure<'_>| structure.periodic == [false; 3];
        let tiny = structures.iter().all(|s| open(s) && s.positions.len() <= TINY);

        let mut grids: Vec<Grid> = Vec::new();
        grids.try_reserve_exact(structures.len())?;
        let mut first_slot = 0;
        for structure in structures {
            let grid = grid(structure, scope.cutoff)?;
            let thin = |k: usize| grid.around[k] / grid.count[k] + 1 > MOST_SHIFT;
            if (0..3).any(|k| grid.cell.periodic[k] && thin(k)) {
                return Ok(None);
            }
            let slots = grid.slots(structure.positions.len()) as u32;
            grids.push(arguments(&grid, first_slot, slots));
            first_slot += slots;
        }

        let mut layout = StagingLayout::default();
        let positions_at = layout.place::<[f64; 3]>(atoms);
        let grids_at = layout.place::<Grid>(grids.len());
        let kinds_at = layout.place::<u32>(atoms);
        let structures_at = layout.place::<u32>(atoms);
        let slots_at = layout.place::<u32>(if binned { 0 } else { structures.len() + 1 });
        let starts_at = layout.place::<u32>(if tiny { atoms + 1 } else { 0 });
        self.staged.resize(layout.bytes)?;
        let staged = self.staged.values_mut();
        let mut put = |at: usize, from: &[u8]| staged[at..at + from.len()].copy_from_slice(from);
        put(grids_at, bytes(&grids));
        let (mut first, mut room) = (0, 0_u32);
        for (index, structure) in structures.iter().enumerate() {
            let count = structure.positions.len();
            let at = positions_at + first * size_of::<[f64; 3]>();
            if binned || open(structure) {
                put(at, bytes(structure.positions));
            } else {
                // The device sees them wrapped.
                neighbors::largest_coordinate(structure.positions, scope.cutoff)?;
                let cell = Cell::new(structure.cell, structure.periodic)?;
                put(at, bytes(&neighbors::wrap(structure.positions, &cell)?.0));
            }
            for (k, &number) in structure.species.iter().enumerate() {
                let known = u8::try_from(number).ok().filter(|&number| scope.knows(number));
                let Some(number) = known else {
                    return Err(scope.unknown_atom(k, number));
                };
                let (kind, word) = (self.student.kinds.of[usize::from(number)], 4 * (first + k));
                put(kinds_at + word, &kind.to_ne_bytes());
                put(structures_at + word, &(index as u32).to_ne_bytes());
                if tiny {
                    put(starts_at + word, &room.to_ne_bytes());
                    room += count as u32 - 1;
                }
            }
            if !binned {
                put(slots_at + 4 * index, &(first as u32).to_ne_bytes());
            }
            first += count;
        }
        if !binned {
            put(slots_at + 4 * structures.len(), &(atoms as u32).to_ne_bytes());
        }
        if tiny {
            put(starts_at + 4 * atoms, &room.to_ne_bytes());
        }
        // SAFETY: what is staged changes in the next call, after the device was waited for.
        #[allow(unsafe_code)]
        unsafe {
            self.sent.begin_set(self.staged.values())?;
        }

        let mut ready = Ready {
            list: List {
                active: atoms,
                rows: atoms,
                owned: atoms,
                starts: self.sent.at(starts_at),
                kinds: self.sent.at(kinds_at),
            },
            input: PositionsInput {
                positions: self.sent.at(positions_at),
                atoms: 0,
                structures: self.sent.at(structures_at),
                grids: self.sent.at(grids_at),
            },
            capacity: if tiny { room as usize } else { FIRST_ROOM * atoms },
            counted: !tiny,
            bins: 0,
            slots: self.sent.at(slots_at),
            unsorted: None,
        };
        if !tiny {
            self.starts.resize(atoms + 1)?;
            ready.list.starts = self.starts.address();
        }
        if binned {
            self.make_room(atoms, first_slot as usize)?;
            ready.unsorted = Some(Unsorted {
                given: ready.input.positions,
                structures: ready.input.structures,
                kinds: ready.list.kinds,
                slots: first_slot as usize,
            });
            ready.list.kinds = self.row_kinds.address();
            ready.input.positions = self.row_positions.address();
            ready.input.atoms = self.row_atoms.address();
            ready.input.structures = self.row_structures.address();
            ready.bins = self.row_bins.address();
            ready.slots = self.slot_starts.address();
        }
        Ok(Some(ready))
    }

    /// Room for atoms that are sorted into so many slots.
    fn make_room(&mut self, atoms: usize, slots: usize) -> Result<()> {
        self.wrapped.resize(atoms)?;
        self.row_positions.resize(atoms)?;
        self.bins.resize(atoms)?;
        self.row_bins.resize(atoms)?;
        for words in [
            &mut self.slots,
            &mut self.ranks,
            &mut self.members,
            &mut self.row_atoms,
            &mut self.row_structures,
            &mut self.row_kinds,
        ] {
            words.resize(atoms)?;
        }
        self.slot_counts.resize(slots)?;
        self.slot_starts.resize(slots + 1)?;
        Ok(())
    }

    /// Asks for the pairs within the cutoff of all atoms.
    pub fn find_pairs(&mut self, ready: &Ready, pass: &Pass) -> Result<()> {
        if let Some(unsorted) = ready.unsorted {
            self.sort(ready, unsorted, pass)?;
        }
        let student = &*self.student;
        let arguments = ListPairs {
            positions: ready.input.positions,
            structures: ready.input.structures,
            bins: ready.bins,
            kinds: ready.list.kinds,
            grids: ready.input.grids,
            slots: ready.slots,
            starts: ready.list.starts,
            pairs: pass.pairs(),
            counts: pass.counts(),
            bad: pass.bad(),
            total: if ready.counted { pass.total() } else { 0 },
            capacity: pass.capacity() as u64,
            radii: student.kinds.radii.address(),
            cutoff: student.model.cutoff,
            softening: student.model.softening,
            per_length: student.per_length(),
            core: student.model.core(),
            farthest: neighbors::farthest(student.model.cutoff),
            intervals: student.intervals as u32,
            active: ready.list.active as u32,
        };
        if ready.counted {
            student.launch_warps("count_pairs", ready.list.active, 0, &arguments)?;
            self.scan(pass.counts(), ready.list.starts, pass.total(), ready.list.active)?;
        }
        student.launch_warps("write_pairs", ready.list.active, 0, &arguments)
    }

    /// Wraps atoms into their cells and sorts them into bins.
    fn sort(&mut self, ready: &Ready, unsorted: Unsorted, pass: &Pass) -> Result<()> {
        let atoms = ready.list.active;
        self.slot_counts.clear()?;
        self.student.launch_threads(
            "wrap",
            atoms,
            &Wrap {
                given: unsorted.given,
                structures: unsorted.structures,
                grids: ready.input.grids,
                wrapped: self.wrapped.address(),
                bins: self.bins.address(),
                slots: self.slots.address(),
                ranks: self.ranks.address(),
                counts: self.slot_counts.address(),
                bad: pass.bad(),
                farthest: neighbors::farthest(self.student.model.cutoff),
                atoms: atoms as u32,
                reserved: 0,
            },
        )?;
        let starts = self.slot_starts.address();
        self.scan(self.slot_counts.address(), starts, 0, unsorted.slots)?;
        self.student.launch_threads(
            "scatter",
            atoms,
            &Scatter {
                slots: self.slots.address(),
                ranks: self.ranks.address(),
                starts,
                members: self.members.address(),
                atoms: atoms as u32,
                reserved: 0,
            },
        )?;
        self.student.launch_threads(
            "arrange",
            atoms,
            &Arrange {
                slots: self.slots.address(),
                starts,
                members: self.members.address(),
                wrapped: self.wrapped.address(),
                bins: self.bins.address(),
                structures: unsorted.structures,
                kinds: unsorted.kinds,
                row_atoms: self.row_atoms.address(),
                row_positions: self.row_positions.address(),
                row_bins: self.row_bins.address(),
                row_structures: self.row_structures.address(),
                row_kinds: self.row_kinds.address(),
                atoms: atoms as u32,
                reserved: 0,
            },
        )
    }

    /// Asks for the running sums of `count` counts: where each row or slot begins.
    fn scan(&self, counts: Address, starts: Address, total: Address, count: usize) -> Result<()> {
        const THREADS: u32 = 512;
        let shared = THREADS as usize * size_of::<u64>();
        let launch = Launch { grid: [1, 1], threads: THREADS, shared };
        let arguments = Scan { counts, starts, total, count: count as u32, reserved: 0 };
        self.student.launch("messages", "scan", launch, &arguments)
    }

    /// The atom of each row; none: the row's number is the atom's.
    pub fn atoms_of_rows(&mut self, ready: &Ready) -> Result<Option<&[u32]>> {
        if ready.unsorted.is_none() {
            return Ok(None);
        }
        self.row_atoms_found.resize(ready.list.active)?;
        // SAFETY: nobody uses the copy before the next line has waited for it.
        #[allow(unsafe_code)]
        unsafe {
            self.row_atoms.begin_read(0..ready.list.active, &mut self.row_atoms_found)?;
        }
        self.student.device.wait()?;
        Ok(Some(self.row_atoms_found.values()))
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        let words = [
            &self.starts,
            &self.slots,
            &self.ranks,
            &self.slot_counts,
            &self.slot_starts,
            &self.members,
            &self.row_atoms,
            &self.row_structures,
            &self.row_kinds,
        ];
        words.iter().map(|array| array.memory()).sum::<usize>()
            + self.wrapped.memory()
            + self.row_positions.memory()
            + self.bins.memory()
            + self.row_bins.memory()
            + self.sent.memory()
            + self.staged.memory()
            + self.row_atoms_found.memory()
    }
}

/// The bins of a structure: one if it is small.
fn grid(structure: &Structure<'_>, cutoff: f64) -> Result<neighbors::Grid> {
    let cell = Cell::new(structure.cell, structure.periodic)?;
    let lengths: f64 = cell.vectors.iter().map(|&vector| norm(vector)).sum();
    if structure.positions.len() <= SMALL {
        return neighbors::Grid::single(cell, neighbors::reach(cutoff, lengths));
    }
    let bounds = match structure.periodic {
        [true, true, true] => None,
        _ => neighbors::bounds(structure.positions, &cell),
    };
    let size = bounds.iter().flatten().flatten().fold(lengths, |size, x| size.max(x.abs()));
    if size > neighbors::farthest(cutoff) {
        neighbors::check_positions(structure.positions, &cell, cutoff)?;
    }
    neighbors::Grid::new(cell, neighbors::reach(cutoff, size), bounds)
}

fn arguments(grid: &neighbors::Grid, first_slot: u32, slots: u32) -> Grid {
    let flat = |rows: [[f64; 3]; 3]| std::array::from_fn(|k| rows[k / 3][k % 3]);
    Grid {
        vectors: flat(grid.cell.vectors),
        inverse: flat(grid.cell.inverse),
        origin: grid.origin,
        width: grid.width,
        count: grid.count.map(|count| count as i32),
        around: grid.around.map(|around| around as i32),
        periodic: grid.cell.periodic.map(i32::from),
        first_slot,
        slots,
        reserved: 0,
    }
}

/// Why a structure whose positions the device refused is refused.
pub fn check_positions(structures: &[Structure<'_>], cutoff: f64) -> Result<()> {
    structures.iter().try_for_each(|structure| {
        let cell = Cell::new(structure.cell, structure.periodic)?;
        neighbors::check_positions(structure.positions, &cell, cutoff)
    })
}

/// Refuses atoms at one place, where something went wrong.
pub fn check_places(structures: &[Structure<'_>], cutoff: f64) -> Result<()> {
    for Structure { positions, cell, periodic, .. } in structures {
        let around = neighbors::neighborhood(positions, *cell, *periodic, cutoff)?;
        for (i, row) in around.offsets.windows(2).enumerate() {
            for &j in &around.neighbors[row[0]..row[1]] {
                let (owner, there) = around.place(positions, j);
                if pair::distance(&positions[i], &there).1 < pair::COINCIDENT {
                    return Err(pair::same_place(i, owner));
                }
            }
        }
    }
    Ok(())
}
