//! The pair kernels: messages of one chunk of atoms, forward and reverse, one channel group at a
//! time.
//!
//! Features lie in records: for each atom and channel group, K vectors of `V::LANES` channels.
//! Formulas as in `engine::reference`; both directions of a pair are computed from one look-up of
//! the filter, u changing its sign. What the pairs of a chunk give atoms of other chunks goes to
//! rows that it borrows, and from there to theirs ([`AddBorrowed`]).
#![allow(unsafe_code)]

use super::pairs::{ChunkPairs, Pair};
use super::records::{Layout, Record};
use super::scalars;
use super::simd::{Task, Vector, dot, three};
use crate::engine::table::TERMS;

/// Vectors of a record of the state.
const STATE: usize = Record::STATE.with;

/// Values for each channel and interval of a table: the coefficients of three filters.
pub const COEFFICIENTS: usize = 3 * TERMS;

/// Longest chain of additions in float32, in pairs, in what an atom's own pairs give it: longer
/// ones would lose a digit. What pairs of other atoms send back is added to its row one by one:
/// half of all, a chain of some 30.
pub const CHAIN: usize = 8;

/// What both kernels know of a chunk of atoms.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    /// Filter tables of these channel groups ([`super::tables::TableLayout`]): for each interval,
    /// three filters, or one where channels have no vectors, × [`TERMS`] coefficients × lanes.
    pub table: &'a [f32],
    /// Values of a channel group in `table`.
    pub table_stride: usize,
    /// Feature records of all chunks of atoms.
    pub features: &'a [f32],
    /// Where records are in a chunk of atoms.
    pub layout: Layout,
    /// Which chunk of atoms this is.
    pub chunk: usize,
    /// The channel group to compute, the first one of `groups_at_once`.
    pub channel: usize,
    /// How many; more than one only where channels have no vectors.
    pub groups_at_once: usize,
    /// Whether senders have rows of their own (x¹, x², x³, v) instead of (s, v).
    pub sender: bool,
    /// Whether this is the first message, where v = 0.
    pub initial: bool,
    /// Rows that the chunk borrows.
    pub borrowed: usize,
}

impl Span<'_> {
    /// Whether the channels have vectors.
    #[inline(always)]
    fn has_vectors(&self) -> bool {
        self.layout.has_vectors(self.channel)
    }
}

/// The records of one channel group, of all chunks of atoms.
#[derive(Clone, Copy)]
pub struct Records {
    first: *const f32,
    /// Values from a chunk of atoms to the next, and from a row to the next.
    chunk: usize,
    row: usize,
}

impl Records {
    /// Of `data`, records of all chunks of atoms.
    #[inline(always)]
    pub fn new<V: Vector>(data: &[f32], layout: Layout, record: Record, channel: usize) -> Self {
        Self {
            first: data[layout.start::<V>(record, channel)..].as_ptr(),
            chunk: layout.len::<V>(record),
            row: layout.record::<V>(record, channel),
        }
    }

    /// Where a record is.
    ///
    /// # Safety
    /// There is such a chunk of atoms, and it has such a row.
    #[inline(always)]
    pub unsafe fn at(self, chunk: usize, row: usize) -> *const f32 {
        // SAFETY: as the caller promises.
        unsafe { self.first.add(chunk * self.chunk + row * self.row) }
    }

    /// Where the record of a pair's neighbor is.
    ///
    /// # Safety
    /// The pair is of the plan that the records were made for.
    #[inline(always)]
    pub unsafe fn of(self, pair: &Pair) -> *const f32 {
        // SAFETY: as the caller promises.
        unsafe { self.at(pair.place.chunk(), pair.place.row()) }
    }
}

/// Rows that a kernel adds to, in one channel group.
#[derive(Clone, Copy)]
pub struct Targets {
    /// The chunk's own records of this channel group.
    own: *mut f32,
    /// Records of the rows that the chunk borrows.
    borrowed: *mut f32,
    /// Rows of the chunk, and values from one to the next.
    rows: usize,
    row: usize,
}

impl Targets {
    /// The rows of a channel group; those that are borrowed become zero if asked for.
    #[inline(always)]
    pub fn new<V: Vector>(
        span: Span<'_>,
        channel: usize,
        record: Record,
        [own, borrowed]: [&mut [f32]; 2],
        clear: bool,
    ) -> Self {
        let part = |layout: Layout| {
            layout.start::<V>(record, channel)..layout.start::<V>(record, channel + 1)
        };
        let own = &mut own[part(span.layout)];
        let borrowed = &mut borrowed[part(Layout { rows: span.borrowed, ..span.layout })];
        if clear {
            borrowed.fill(0.0);
        }
        Self {
            own: own.as_mut_ptr(),
            borrowed: borrowed.as_mut_ptr(),
            rows: span.layout.rows,
            row: span.layout.record::<V>(record, channel),
        }
    }

    /// Where the record of one of the chunk's own rows is.
    ///
    /// # Safety
    /// There is such a row.
    #[inline(always)]
    pub unsafe fn own(self, row: usize) -> *mut f32 {
        // SAFETY: as the caller promises.
        unsafe { self.own.add(row * self.row) }
    }

    /// Where the record of a pair's target is.
    ///
    /// # Safety
    /// The target is that of a pair with an atom of this chunk (`inside`), or with a row that it
    /// borrows.
    #[inline(always)]
    pub unsafe fn of(self, pair: &Pair, inside: bool) -> *mut f32 {
        let (rows, row) = match inside {
            true => (self.own, pair.target as usize),
            false => (self.borrowed, pair.target as usize - self.rows),
        };
        // SAFETY: as the caller promises, within the rows that `new` took.
        unsafe { rows.add(row * self.row) }
    }
}

/// Value and slope (times the step) of the three filters.
#[derive(Clone, Copy)]
struct Filters<V> {
    value: [V; 3],
    slope: [V; 3],
}

/// # Safety
/// `table` is valid for reading one interval.
#[inline(always)]
unsafe fn filter<V: Vector, const INITIAL: bool>(table: *const f32, t: V) -> Filters<V> {
    // Not a loop: one that skips a filter is not unrolled, and keeps its results in memory.
    let filters: [[V; 2]; 3] = three!(|k| {
        // φ² meets v, which is zero in the first message.
        if INITIAL && k == 1 {
            [V::splat(0.0); 2]
        } else {
            // SAFETY: inside the interval.
            let c: [V; TERMS] = unsafe { load(table.add(k * TERMS * V::LANES)) };
            // Horner's scheme for c₀ + t (c₁ + t (c₂ + …)), and beside it for its slope.
            let (mut slope, mut value) = (c[5], c[5].mul_add(t, c[4]));
            for term in [3, 2, 1, 0] {
                slope = slope.mul_add(t, value);
                value = value.mul_add(t, c[term]);
            }
            [value, slope]
        }
    });
    Filters { value: three!(|k| filters[k][0]), slope: three!(|k| filters[k][1]) }
}

/// # Safety
/// `from` is valid for reading N vectors.
#[inline(always)]
pub unsafe fn load<V: Vector, const N: usize>(from: *const f32) -> [V; N] {
    let mut vectors = [V::splat(0.0); N];
    for (k, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: as the caller promises.
        *vector = unsafe { V::load(from.add(k * V::LANES)) };
    }
    vectors
}

/// # Safety
/// `to` is valid for reading and writing N vectors.
#[inline(always)]
unsafe fn accumulate<V: Vector, const N: usize>(to: *mut f32, values: [V; N]) {
    for (k, value) in values.into_iter().enumerate() {
        // SAFETY: as the caller promises.
        unsafe {
            let to = to.add(k * V::LANES);
            V::load(to).add(value).store(to);
        }
    }
}

/// A feature record: x¹, x², x³ (where senders have rows) or s, and v.
#[derive(Clone, Copy)]
struct Sender<V> {
    x: [V; 3],
    v: [V; 3],
}

/// # Safety
/// `from` is valid for reading a feature record.
#[inline(always)]
unsafe fn sender<V: Vector, const SENDER: bool, const INITIAL: bool>(
    from: *const f32,
) -> Sender<V> {
    let zero = V::splat(0.0);
    // SAFETY: as the caller promises; v of the first message is not read, it is zero.
    unsafe {
        let x = if SENDER { load::<V, 3>(from) } else { [V::load(from), zero, zero] };
        let at = if SENDER { 3 } else { 1 };
        let v = if INITIAL { [zero; 3] } else { load::<V, 3>(from.add(at * V::LANES)) };
        Sender { x, v }
    }
}

/// Adds what `from` sends to `to`, for one direction u.
#[inline(always)]
fn message<V: Vector, const SENDER: bool, const INITIAL: bool>(
    from: Sender<V>,
    [f1, f2, f3]: [V; 3],
    u: [V; 3],
    mut to: [V; STATE],
) -> [V; STATE] {
    let along = if SENDER { from.x[2].mul(f3) } else { f3 };
    to[0] = from.x[0].mul_add(f1, to[0]);
    for a in 0..3 {
        to[1 + a] = u[a].mul_add(along, to[1 + a]);
    }
    if !INITIAL {
        let turn = if SENDER { from.x[1].mul(f2) } else { f2 };
        for a in 0..3 {
            to[1 + a] = from.v[a].mul_add(turn, to[1 + a]);
        }
    }
    to
}

/// Adds the messages to `out`, the chunk's own records (s, v).
pub struct Forward<'a> {
    /// The filter table, the features and the channel groups to compute.
    pub span: Span<'a>,
    /// The chunk's pairs.
    pub pairs: &'a ChunkPairs,
    /// In and out: the state (s, v) of the chunk's own rows, records `Record::STATE`, to which
    /// messages are added.
    pub out: &'a mut [f32],
    /// Out: what the pairs add to each borrowed row, records `Record::STATE`; cleared here.
    pub borrowed: &'a mut [f32],
}

impl<V: Vector> Task<V> for Forward<'_> {
    #[inline(always)]
    fn run(self) {
        match (self.span.sender, self.span.initial) {
            _ if !self.span.has_vectors() => match self.span.groups_at_once {
                1 => scalars::forward::<V, 1>(self),
                _ => scalars::forward::<V, { scalars::GROUPS_AT_ONCE }>(self),
            },
            (false, true) => self.kernel::<V, false, true>(),
            (false, false) => self.kernel::<V, false, false>(),
            (true, true) => self.kernel::<V, true, true>(),
            (true, false) => self.kernel::<V, true, false>(),
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn kernel<V: Vector, const SENDER: bool, const INITIAL: bool>(self) {
        let Self { span, pairs, out, borrowed } = self;
        let targets = Targets::new::<V>(span, span.channel, Record::STATE, [out, borrowed], true);
        let features = Record::features(SENDER);
        let features = Records::new::<V>(span.features, span.layout, features, span.channel);
        // SAFETY of all pointers below: `ChunkPairs` only holds rows and targets of the plan it was
        // made for (`Plan::places`, `ChunkPlan::entries`), and intervals of this table: `pairs.rs`
        // clamps them; with exact filters a pair's interval is its place in a table of all pairs.
        // The arrays cover all chunks of atoms.
        for (i, &[start, across, alone, end]) in pairs.bounds.iter().enumerate() {
            let mut totals = [V::splat(0.0); STATE];
            // SAFETY: see above.
            let here = unsafe { sender::<V, SENDER, INITIAL>(features.at(span.chunk, i)) };
            let table = span.table;
            for chain in (start..end).step_by(CHAIN) {
                let mut sums = [V::splat(0.0); STATE];
                for k in chain..(chain + CHAIN as u32).min(end) {
                    let pair: &Pair = &pairs.list[k as usize];
                    let u = three!(|a| V::splat(pair.u[a]));
                    // SAFETY: see above.
                    unsafe {
                        let table =
                            table.as_ptr().add(pair.interval as usize * COEFFICIENTS * V::LANES);
                        let Filters { value: [f1, f2, f3], .. } =
                            filter::<V, INITIAL>(table, V::splat(pair.t));
                        let there = sender::<V, SENDER, INITIAL>(features.of(pair));
                        sums = message::<V, SENDER, INITIAL>(there, [f1, f2, f3], u, sums);
                        if k < alone {
                            let to = targets.of(pair, k < across);
                            let back = three!(|a| V::splat(0.0).sub(u[a]));
                            let sent =
                                message::<V, SENDER, INITIAL>(here, [f1, f2, f3], back, load(to));
                            for q in 0..STATE {
                                sent[q].store(to.add(q * V::LANES));
                            }
                        }
                    }
                }
                for (total, sum) in totals.iter_mut().zip(sums) {
                    *total = total.add(sum);
                }
            }
            // SAFETY: see above.
            unsafe { accumulate(targets.own(i), totals) };
        }
    }
}

/// Reverse of [`Forward`].
pub struct Reverse<'a> {
    /// The filter table, the features and the channel groups to compute.
    pub span: Span<'a>,
    /// The chunk's pairs; ∂E/∂d (times the step) and ∂E/∂u of each are added to `gradients`.
    pub pairs: &'a mut ChunkPairs,
    /// Adjoints of the state after the message, of all chunks of atoms.
    pub bar: &'a [f32],
    /// In and out: what the chunk's own rows receive, records `Record::received`. Not touched in
    /// the first message.
    pub out: &'a mut [f32],
    /// Out: what borrowed rows receive, records `Record::received`; cleared here but in the first
    /// message.
    pub borrowed: &'a mut [f32],
}

impl<V: Vector> Task<V> for Reverse<'_> {
    #[inline(always)]
    fn run(self) {
        match (self.span.sender, self.span.initial) {
            _ if !self.span.has_vectors() => match self.span.groups_at_once {
                1 => scalars::reverse::<V, 1>(self),
                _ => scalars::reverse::<V, { scalars::GROUPS_AT_ONCE }>(self),
            },
            (false, true) => self.kernel::<V, false, true, 4>(),
            (false, false) => self.kernel::<V, false, false, 4>(),
            (true, true) => self.kernel::<V, true, true, 5>(),
            (true, false) => self.kernel::<V, true, false, 5>(),
        }
    }
}

impl Reverse<'_> {
    #[inline(always)]
    fn kernel<V: Vector, const SENDER: bool, const INITIAL: bool, const OUT: usize>(self) {
        let Self { span, pairs, bar, out, borrowed } = self;
        let received = Record::received(SENDER);
        let targets = Targets::new::<V>(span, span.channel, received, [out, borrowed], !INITIAL);
        let features = Record::features(SENDER);
        let features = Records::new::<V>(span.features, span.layout, features, span.channel);
        let bar = Records::new::<V>(bar, span.layout, Record::STATE, span.channel);
        let gradients = pairs.gradients.as_mut_ptr();
        // SAFETY of all pointers below: as in `Forward`; `gradients` holds four values a pair.
        for (i, &[start, across, alone, end]) in pairs.bounds.iter().enumerate() {
            // SAFETY: see above.
            let (here, bar_here) = unsafe {
                (
                    sender::<V, SENDER, INITIAL>(features.at(span.chunk, i)),
                    load::<V, STATE>(bar.at(span.chunk, i)),
                )
            };
            let [s_i, v_i @ ..] = bar_here;
            let mut totals = [V::splat(0.0); OUT];
            let table = span.table;
            for chain in (start..end).step_by(CHAIN) {
                let mut sums = [V::splat(0.0); OUT];
                for k in chain..(chain + CHAIN as u32).min(end) {
                    let pair: &Pair = &pairs.list[k as usize];
                    let u = three!(|a| V::splat(pair.u[a]));
                    // SAFETY: see above.
                    unsafe {
                        let table =
                            table.as_ptr().add(pair.interval as usize * COEFFICIENTS * V::LANES);
                        let Filters { value: [f1, f2, f3], slope: [g1, g2, g3] } =
                            filter::<V, INITIAL>(table, V::splat(pair.t));
                        let there = sender::<V, SENDER, INITIAL>(features.of(pair));
                        let [s_j, v_j @ ..] = load::<V, STATE>(bar.of(pair));

                        let p: [V; 3] = three!(|a| {
                            if SENDER {
                                there.x[2].mul(v_i[a]).sub(here.x[2].mul(v_j[a]))
                            } else {
                                v_i[a].sub(v_j[a])
                            }
                        });
                        let mut d_bar = g1.mul(there.x[0].mul_add(s_i, here.x[0].mul(s_j)));
                        d_bar = g3.mul_add(dot(u, p), d_bar);
                        let u_bar = three!(|a| f3.mul(p[a]));
                        if !INITIAL {
                            let to_j = dot(here.v, v_j);
                            let to_i = dot(there.v, v_i);
                            let turned = if SENDER {
                                there.x[1].mul_add(to_i, here.x[1].mul(to_j))
                            } else {
                                to_i.add(to_j)
                            };
                            d_bar = g2.mul_add(turned, d_bar);
                            sums[0] = f1.mul_add(s_j, sums[0]);
                            for a in 0..3 {
                                sums[1 + a] = f2.mul_add(v_j[a], sums[1 + a]);
                            }
                            if SENDER {
                                sums[OUT - 1] = sums[OUT - 1].sub(f3.mul(dot(u, v_j)));
                            }
                            if k < alone {
                                let to = targets.of(pair, k < across);
                                let mut sent = load::<V, OUT>(to);
                                sent[0] = f1.mul_add(s_i, sent[0]);
                                for a in 0..3 {
                                    sent[1 + a] = f2.mul_add(v_i[a], sent[1 + a]);
                                }
                                if SENDER {
                                    sent[OUT - 1] = f3.mul_add(dot(u, v_i), sent[OUT - 1]);
                                }
                                for (q, value) in sent.into_iter().enumerate() {
                                    value.store(to.add(q * V::LANES));
                                }
                            }
                        }
                        let [x, y, z] = u_bar;
                        V::add_sums(gradients.add(4 * k as usize), [d_bar, x, y, z]);
                    }
                }
                if !INITIAL {
                    for (total, sum) in totals.iter_mut().zip(sums) {
                        *total = total.add(sum);
                    }
                }
            }
            if !INITIAL {
                // SAFETY: see above.
                unsafe { accumulate(targets.own(i), totals) };
            }
        }
    }
}

/// Adds to a chunk's rows what others computed for them.
pub struct AddBorrowed<'a> {
    /// In and out: records of the chunk's own rows.
    pub out: &'a mut [f32],
    /// Which kind of record `out` and `borrowed` hold.
    pub record: Record,
    /// Where records are in the arrays of a chunk.
    pub layout: Layout,
    /// Row of the chunk, for each of the rows that the other chunk borrowed.
    pub rows: &'a [u32],
    /// Row of the chunk's first atom among all rows.
    pub first: usize,
    /// Records of the rows that the other chunk borrowed, and how many it borrowed in all.
    pub borrowed: (&'a [f32], usize),
    /// Where those of this chunk begin among them.
    pub start: usize,
}

impl<V: Vector> Task<V> for AddBorrowed<'_> {
    #[inline(always)]
    fn run(self) {
        let (borrowed, count) = self.borrowed;
        let borrowed_layout = Layout { rows: count, ..self.layout };
        for c in 0..self.layout.channel_groups {
            let width = self.layout.record::<V>(self.record, c);
            for (k, &row) in self.rows.iter().enumerate() {
                let from = borrowed_layout.at::<V>(self.record, 0, self.start + k, c);
                let to = self.layout.at::<V>(self.record, 0, row as usize - self.first, c);
                let (from, to) = (&borrowed[from..][..width], &mut self.out[to..][..width]);
                for (from, to) in from.chunks_exact(V::LANES).zip(to.chunks_exact_mut(V::LANES)) {
                    // SAFETY: `LANES` values each.
                    unsafe {
                        V::load(from.as_ptr()).add(V::load(to.as_ptr())).store(to.as_mut_ptr());
                    }
                }
            }
        }
    }
}
