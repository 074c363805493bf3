//! Plain float64 loops over the formulas of [`crate::model`], forward and reverse: the oracle that
//! the fast kernels are tested against, and `precision double`.
//!
//! Both passes are derived in `docs/src/internals/derivation.md`, whose notation is used here: a
//! bar is an adjoint, ∂E/∂x. Everything is a gather over an atom's own neighbors: for the pair {i,
//! j} both directions (i receives from j, j from i) are seen from i, so nothing is written to j and
//! ghosts need only their owners' rows.

use std::sync::Arc;
use std::time::Instant;

use super::table::{FilterTable, Interpolation};
use super::{Engine, Exchange, FilterMode, NeighborList, Results, Rows, Seconds, Virials, pair};
use crate::error::Result;
use crate::memory::ask_for;
use crate::model::energy_range::{bounded, is_outside};
use crate::model::filter::{silu, silu_slope};
use crate::model::{Linear, Mlp, Model, Seen, Update};

/// Vectors of `published` that are shorter count as zero: where symmetry makes v vanish, rounding
/// leaves a direction that means nothing.
const ROUNDING: f64 = 1e-12;

/// The plain float64 engine.
pub struct Reference {
    model: Arc<Model>,
    tables: Option<Arc<[FilterTable]>>,
    list: NeighborList,
    seconds: Seconds,
    memory: usize,
}

/// A neighbor within the cutoff, seen from the atom whose list it is in.
struct Neighbor {
    j: usize,
    /// r_j − r_i (Å).
    r: [f64; 3],
    d: f64,
    /// The distance that the filters see (Å), and its slope by d.
    seen: Seen,
    /// r / (d + softening).
    u: [f64; 3],
}

/// Feature rows of all atoms: scalars (h values) and vectors (3 × g, axis by axis).
#[derive(Clone)]
struct Features {
    s: Vec<f64>,
    v: Vec<f64>,
}

/// What the reverse pass needs of one block.
struct Saved {
    /// Sender rows of all atoms: h values (`published`: s) or h + 2g.
    x: Vec<f64>,
    /// Vectors of all atoms before the block.
    v: Vec<f64>,
    /// Scalars of owned atoms before the block.
    s: Vec<f64>,
    /// Owned atoms between message and update.
    between: Features,
}

impl Reference {
    /// An engine for `model`.
    pub fn new(model: Arc<Model>, filter: FilterMode) -> Result<Self> {
        let tables = match filter {
            FilterMode::Exact => None,
            FilterMode::Table => Some(
                model
                    .blocks
                    .iter()
                    .map(|block| FilterTable::new(&model, block))
                    .collect::<Result<_>>()?,
            ),
        };
        Ok(Self::with_tables(model, tables))
    }

    fn with_tables(model: Arc<Model>, tables: Option<Arc<[FilterTable]>>) -> Self {
        let seconds = Seconds::default();
        Self { model, tables, list: NeighborList::default(), seconds, memory: 0 }
    }

    fn filter(&self, block: usize, d: f64, value: &mut [f64], slope: &mut [f64]) {
        match &self.tables {
            Some(tables) => tables[block].evaluate(d, value, slope),
            None => {
                let filter = &self.model.blocks[block].filter;
                filter.evaluate(&self.model, d, value, slope);
            }
        }
    }

    /// The most that one compute allocates (bytes), growing arrays counted twice; asked for at
    /// once, so that the plain loops below need not ask for each array.
    fn most_memory(&self) -> usize {
        let values = (14 * self.model.blocks.len() + 32) * self.model.hidden + 32;
        let pair = 2 * (size_of::<Neighbor>() + size_of::<[f64; 3]>());
        let total = self.list.owned + self.list.ghosts;
        total * values * size_of::<f64>() + self.list.neighbors.len() * pair
    }

    /// Neighbors within the cutoff, for each owned atom.
    fn pairs(&mut self, positions: &[[f64; 3]]) -> Result<Vec<Vec<Neighbor>>> {
        pair::check_finite(positions)?;
        self.list.check_edge(positions, self.model.cutoff)?;
        (0..self.list.owned)
            .map(|i| {
                let mut pairs = Vec::new();
                for &j in self.list.neighbors_of(i) {
                    let j = j as usize;
                    let (r, d) = pair::distance(&positions[i], &positions[j]);
                    if d > self.model.cutoff {
                        continue;
                    }
                    if d < pair::COINCIDENT {
                        return Err(pair::same_place(i, self.list.name(j as u32)));
                    }
                    let u = r.map(|x| x / (d + self.model.softening));
                    let species = [i, j].map(|atom| self.list.species[atom]);
                    pairs.push(Neighbor { j, r, d, seen: self.model.seen(species, d), u });
                }
                Ok(pairs)
            })
            .collect()
    }

    /// Gives every ghost the rows of its owner; `fields` are arrays over all atoms with the number
    /// of values for each.
    fn fill_ghosts(
        &mut self,
        fields: &mut [(&mut Vec<f64>, usize)],
        exchange: Option<&mut (dyn Exchange + '_)>,
    ) -> Result<()> {
        let total = self.list.owned + self.list.ghosts;
        if let Some(exchange) = exchange {
            let width: usize = fields.iter().map(|(_, w)| w).sum();
            let mut rows = vec![0.0; total * width];
            for (atom, row) in rows.chunks_exact_mut(width).enumerate().take(self.list.owned) {
                let mut at = 0;
                for (field, w) in fields.iter() {
                    row[at..at + w].copy_from_slice(&field[atom * w..][..*w]);
                    at += w;
                }
            }
            let started = Instant::now();
            exchange.forward(Rows::F64(&mut rows), width)?;
            self.seconds.exchange += started.elapsed().as_secs_f64();
            for (atom, row) in rows.chunks_exact(width).enumerate().skip(self.list.owned) {
                let mut at = 0;
                for (field, w) in fields.iter_mut() {
                    field[atom * *w..][..*w].copy_from_slice(&row[at..at + *w]);
                    at += *w;
                }
            }
        }
        for (ghost, owner) in self.list.owner.iter().enumerate() {
            let Some(owner) = *owner else { continue };
            for (field, w) in fields.iter_mut() {
                let start = owner as usize * *w;
                field.copy_within(start..start + *w, (self.list.owned + ghost) * *w);
            }
        }
        Ok(())
    }

    /// s and v of owned atoms after the message of block `b`.
    fn message(&self, b: usize, pairs: &[Vec<Neighbor>], saved: &Saved) -> Features {
        let (h, g) = (self.model.hidden, self.model.vectors);
        let with_sender = self.model.blocks[b].sender.is_some();
        let (mut filter, mut slope) = (vec![0.0; h + 2 * g], vec![0.0; h + 2 * g]);
        let mut s = saved.s.clone();
        let mut v = saved.v[..self.list.owned * 3 * g].to_vec();
        for (i, pairs) in pairs.iter().enumerate() {
            for pair in pairs {
                self.filter(b, pair.seen.distance, &mut filter, &mut slope);
                let sender = Sender::new(&saved.x, pair.j, [h, g], with_sender);
                for c in 0..h {
                    s[i * h + c] += sender.scalar(c) * filter[c];
                }
                for c in 0..g {
                    let [x2, x3] = sender.vector(c);
                    for (a, u) in pair.u.iter().enumerate() {
                        v[(3 * i + a) * g + c] +=
                            saved.v[(3 * pair.j + a) * g + c] * x2 * filter[h + c]
                                + u * x3 * filter[h + g + c];
                    }
                }
            }
        }
        Features { s, v }
    }

    /// Reverse of [`Self::message`]. `bar` holds s̄ and v̄ of all atoms after the message; returns
    /// x̄ (h + 2g for each owned atom) and the message's part of v̄ before it, and adds to
    /// `gradient` ∂E/∂r of each pair, both directions together.
    fn message_reverse(
        &self,
        b: usize,
        pairs: &[Vec<Neighbor>],
        saved: &Saved,
        bar: &Features,
        gradient: &mut [Vec<[f64; 3]>],
    ) -> (Vec<f64>, Vec<f64>) {
        let (h, g) = (self.model.hidden, self.model.vectors);
        let owned = self.list.owned;
        let with_sender = self.model.blocks[b].sender.is_some();
        let (mut filter, mut slope) = (vec![0.0; h + 2 * g], vec![0.0; h + 2 * g]);
        let mut x_bar = vec![0.0; owned * (h + 2 * g)];
        let mut v_bar = vec![0.0; owned * 3 * g];
        for (i, pairs) in pairs.iter().enumerate() {
            let here = Sender::new(&saved.x, i, [h, g], with_sender);
            let x_bar = &mut x_bar[i * (h + 2 * g)..][..h + 2 * g];
            for (pair, gradient) in pairs.iter().zip(&mut gradient[i]) {
                let j = pair.j;
                self.filter(b, pair.seen.distance, &mut filter, &mut slope);
                let there = Sender::new(&saved.x, j, [h, g], with_sender);
                // ∂E/∂d and ∂E/∂u of the pair; u of j's view is −u.
                let mut d_bar = 0.0;
                let mut u_bar = [0.0; 3];
                for c in 0..h {
                    let (si, sj) = (bar.s[i * h + c], bar.s[j * h + c]);
                    d_bar += slope[c] * (there.scalar(c) * si + here.scalar(c) * sj);
                    x_bar[c] += filter[c] * sj;
                }
                for c in 0..g {
                    let ([xi2, xi3], [xj2, xj3]) = (here.vector(c), there.vector(c));
                    let (mut vj_vi, mut vi_vj, mut u_vj, mut u_p) = (0.0, 0.0, 0.0, 0.0);
                    for a in 0..3 {
                        let (at_i, at_j) = ((3 * i + a) * g + c, (3 * j + a) * g + c);
                        vj_vi += saved.v[at_j] * bar.v[at_i];
                        vi_vj += saved.v[at_i] * bar.v[at_j];
                        u_vj += pair.u[a] * bar.v[at_j];
                        let p = xj3 * bar.v[at_i] - xi3 * bar.v[at_j];
                        u_p += pair.u[a] * p;
                        u_bar[a] += filter[h + g + c] * p;
                        v_bar[at_i] += filter[h + c] * xi2 * bar.v[at_j];
                    }
                    d_bar += slope[h + c] * (xj2 * vj_vi + xi2 * vi_vj) + slope[h + g + c] * u_p;
                    x_bar[h + c] += filter[h + c] * vi_vj;
                    x_bar[h + g + c] -= filter[h + g + c] * u_vj;
                }
                d_bar *= pair.seen.slope;
                let part = pair::gradient(&pair.r, pair.d, self.model.softening, d_bar, &u_bar);
                gradient.iter_mut().zip(part).for_each(|(g, p)| *g += p);
            }
        }
        (x_bar, v_bar)
    }
}

/// x_j of one atom, channel by channel.
struct Sender<'a> {
    row: &'a [f64],
    h: usize,
    g: usize,
}

impl<'a> Sender<'a> {
    fn new(x: &'a [f64], atom: usize, [h, g]: [usize; 2], with_sender: bool) -> Self {
        let width = if with_sender { h + 2 * g } else { h };
        Self { row: &x[atom * width..][..width], h, g }
    }

    /// x¹.
    fn scalar(&self, c: usize) -> f64 {
        self.row[c]
    }

    /// x² and x³.
    fn vector(&self, c: usize) -> [f64; 2] {
        match self.row.get(self.h + self.g + c) {
            Some(&x3) => [self.row[self.h + c], x3],
            None => [1.0, 1.0],
        }
    }
}

impl Mlp {
    pub(super) fn apply(&self, x: &[f64]) -> Vec<f64> {
        let hidden: Vec<f64> = self.first.apply(x).into_iter().map(silu).collect();
        self.second.apply(&hidden)
    }

    /// x̄ from ȳ at `x`.
    fn reverse(&self, x: &[f64], y_bar: &[f64]) -> Vec<f64> {
        let mut z_bar = self.second.apply_transposed(y_bar);
        let z = self.first.apply(x);
        z_bar.iter_mut().zip(&z).for_each(|(bar, &z)| *bar *= silu_slope(z));
        self.first.apply_transposed(&z_bar)
    }
}

/// The update of one atom, in place: `s` of h values, `v` of 3 × g.
fn update(update: &Update, s: &mut [f64], v: &mut [f64]) {
    let (h, g) = (s.len(), v.len() / 3);
    match update {
        Update::Published { mlp, mixing } => {
            let gates = mlp.apply(&with_lengths(s, &squares(v, h), f64::sqrt));
            for c in 0..h {
                s[c] += gates[c];
                let (g1, g2) = (gates[h + c], gates[2 * h + c]);
                let before: [f64; 3] = std::array::from_fn(|a| v[a * h + c]);
                let mixed = multiply(mixing, &before);
                for a in 0..3 {
                    v[a * h + c] = before[a] * g1 + mixed[a] * g2;
                }
            }
        }
        Update::Painn { channel_mix, mlp, norm } => {
            let (left, right) = channel_mix_halves(channel_mix, v);
            let gates = mlp.apply(&with_lengths(s, &squares(&left, g), |x2| norm.at(x2).0));
            s.iter_mut().zip(&gates).for_each(|(s, gate)| *s += gate);
            for c in 0..g {
                let product: f64 = (0..3).map(|a| left[a * g + c] * right[a * g + c]).sum();
                s[c] += gates[h + g + c] * product;
                for a in 0..3 {
                    v[a * g + c] += gates[h + c] * right[a * g + c];
                }
            }
        }
    }
}

/// Reverse of [`update`]: `s`, `v` are its inputs; `s_bar`, `v_bar` become their adjoints.
fn update_reverse(update: &Update, s: &[f64], v: &[f64], s_bar: &mut [f64], v_bar: &mut [f64]) {
    let (h, g) = (s.len(), v.len() / 3);
    let mut gates_bar = vec![0.0; h + 2 * g];
    gates_bar[..h].copy_from_slice(s_bar);
    match update {
        Update::Published { mlp, mixing } => {
            let input = with_lengths(s, &squares(v, h), f64::sqrt);
            let gates = mlp.apply(&input);
            let transposed: [f64; 9] = std::array::from_fn(|k| mixing[3 * (k % 3) + k / 3]);
            for c in 0..h {
                let before: [f64; 3] = std::array::from_fn(|a| v[a * h + c]);
                let mixed = multiply(mixing, &before);
                let bar: [f64; 3] = std::array::from_fn(|a| v_bar[a * h + c]);
                let back = multiply(&transposed, &bar);
                for a in 0..3 {
                    gates_bar[h + c] += bar[a] * before[a];
                    gates_bar[2 * h + c] += bar[a] * mixed[a];
                    v_bar[a * h + c] = bar[a] * gates[h + c] + back[a] * gates[2 * h + c];
                }
            }
            let input_bar = mlp.reverse(&input, &gates_bar);
            s_bar.iter_mut().zip(&input_bar).for_each(|(s, part)| *s += part);
            for c in 0..h {
                // |v| has no slope at v = 0; PyTorch takes 0 there.
                if input[h + c] > ROUNDING {
                    for a in 0..3 {
                        v_bar[a * h + c] += input_bar[h + c] * v[a * h + c] / input[h + c];
                    }
                }
            }
        }
        Update::Painn { channel_mix, mlp, norm } => {
            let (left, right) = channel_mix_halves(channel_mix, v);
            let squares = squares(&left, g);
            let input = with_lengths(s, &squares, |x2| norm.at(x2).0);
            let gates = mlp.apply(&input);
            for c in 0..g {
                let product: f64 = (0..3).map(|a| left[a * g + c] * right[a * g + c]).sum();
                gates_bar[h + g + c] = s_bar[c] * product;
                gates_bar[h + c] = (0..3).map(|a| v_bar[a * g + c] * right[a * g + c]).sum();
            }
            let input_bar = mlp.reverse(&input, &gates_bar);
            for a in 0..3 {
                let mixed_bar: Vec<f64> = (0..2 * g)
                    .map(|k| {
                        let c = k % g;
                        let product_bar = s_bar[c] * gates[h + g + c];
                        if k < g {
                            product_bar * right[a * g + c]
                                + input_bar[h + c] * left[a * g + c] * norm.at(squares[c]).1
                        } else {
                            product_bar * left[a * g + c] + gates[h + c] * v_bar[a * g + c]
                        }
                    })
                    .collect();
                let back = channel_mix.apply_transposed(&mixed_bar);
                v_bar[a * g..][..g].iter_mut().zip(&back).for_each(|(v, part)| *v += part);
            }
            s_bar.iter_mut().zip(&input_bar).for_each(|(s, part)| *s += part);
        }
    }
}

/// Σ_xyz v² of `count` vectors.
fn squares(v: &[f64], count: usize) -> Vec<f64> {
    (0..count).map(|c| (0..3).map(|a| v[a * count + c] * v[a * count + c]).sum()).collect()
}

/// [s, n(Σ_xyz v²)].
fn with_lengths(s: &[f64], squares: &[f64], length: impl Fn(f64) -> f64) -> Vec<f64> {
    s.iter().copied().chain(squares.iter().map(|&square| length(square))).collect()
}

/// V and W of the channel mix, 3 × g each.
fn channel_mix_halves(channel_mix: &Linear, v: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let g = channel_mix.inputs;
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for axis in v.chunks_exact(g) {
        let mixed = channel_mix.apply(axis);
        left.extend_from_slice(&mixed[..g]);
        right.extend_from_slice(&mixed[g..]);
    }
    (left, right)
}

fn multiply(matrix: &[f64; 9], vector: &[f64; 3]) -> [f64; 3] {
    std::array::from_fn(|a| (0..3).map(|b| matrix[3 * a + b] * vector[b]).sum())
}

/// Energy of one atom from its scalars, and s̄.
fn readout(head: &[Linear], s: &[f64]) -> (f64, Vec<f64>) {
    let mut before = Vec::new();
    let mut x = s.to_vec();
    for (index, layer) in head.iter().enumerate() {
        if index > 0 {
            before.push(x.clone());
            x.iter_mut().for_each(|x| *x = silu(*x));
        }
        x = layer.apply(&x);
    }
    let mut bar = vec![1.0];
    for layer in head.iter().rev() {
        bar = layer.apply_transposed(&bar);
        if let Some(z) = before.pop() {
            bar.iter_mut().zip(&z).for_each(|(bar, &z)| *bar *= silu_slope(z));
        }
    }
    (x[0], bar)
}

impl Engine for Reference {
    fn set_neighbor_list(&mut self, list: NeighborList) -> Result<()> {
        self.list = list;
        Ok(())
    }

    fn compute(
        &mut self,
        positions: &[[f64; 3]],
        mut exchange: Option<&mut dyn Exchange>,
        _: Virials,
        results: &mut Results,
    ) -> Result<()> {
        let started = Instant::now();
        let exchanging = self.seconds.exchange;
        if exchange.is_none() {
            self.list.check_resolved()?;
        }
        let model = Arc::clone(&self.model);
        let (h, g) = (model.hidden, model.vectors);
        let owned = self.list.owned;
        let total = owned + self.list.ghosts;
        // Everything below allocates as it goes, so whether all of it fits is asked once, here.
        ask_for(self.most_memory())?;
        let pairs = self.pairs(positions)?;

        let mut now = Features { s: vec![0.0; total * h], v: vec![0.0; total * 3 * g] };
        for (s, &species) in now.s.chunks_exact_mut(h).zip(&self.list.species) {
            if species > 0 {
                s.copy_from_slice(model.embedding_row(species));
            }
        }
        let mut saved: Vec<Saved> = Vec::new();
        for (b, block) in model.blocks.iter().enumerate() {
            // Ghosts of the first block are known from their species.
            let known = if b == 0 { total } else { owned };
            let mut x: Vec<f64> = match &block.sender {
                None => now.s.clone(),
                Some(sender) => {
                    now.s[..known * h].chunks_exact(h).flat_map(|s| sender.apply(s)).collect()
                }
            };
            if b > 0 {
                let width = if block.sender.is_some() { h + 2 * g } else { h };
                x.resize(total * width, 0.0);
                let fields = &mut [(&mut x, width), (&mut now.v, 3 * g)];
                self.fill_ghosts(fields, exchange.as_deref_mut())?;
            }
            let mut keep = Saved {
                x,
                v: now.v.clone(),
                s: now.s[..owned * h].to_vec(),
                between: Features { s: Vec::new(), v: Vec::new() },
            };
            keep.between = self.message(b, &pairs, &keep);
            now.s[..owned * h].copy_from_slice(&keep.between.s);
            now.v[..owned * 3 * g].copy_from_slice(&keep.between.v);
            for (s, v) in now.s.chunks_exact_mut(h).zip(now.v.chunks_exact_mut(3 * g)).take(owned) {
                update(&block.update, s, v);
            }
            saved.push(keep);
        }

        let mut atomic_energies = vec![0.0; owned];
        let mut outside = Vec::new();
        let mut bar = Features { s: vec![0.0; total * h], v: vec![0.0; total * 3 * g] };
        for i in (0..owned).filter(|&i| self.list.species[i] > 0) {
            let (energy, mut s_bar) = readout(&model.head, &now.s[i * h..][..h]);
            let number = self.list.species[i];
            let range = model.energy_bounds(number);
            let (energy, slope) = bounded(energy, range);
            if is_outside(energy, range) {
                outside.push(i as u32);
            }
            s_bar.iter_mut().for_each(|bar| *bar *= slope);
            atomic_energies[i] = energy + model.reference_energies[usize::from(number)];
            bar.s[i * h..][..h].copy_from_slice(&s_bar);
        }

        let mut gradient: Vec<Vec<[f64; 3]>> =
            pairs.iter().map(|pairs| vec![[0.0; 3]; pairs.len()]).collect();
        for (b, block) in model.blocks.iter().enumerate().rev() {
            let keep = &saved[b];
            for i in 0..owned {
                update_reverse(
                    &block.update,
                    &keep.between.s[i * h..][..h],
                    &keep.between.v[3 * i * g..][..3 * g],
                    &mut bar.s[i * h..][..h],
                    &mut bar.v[3 * i * g..][..3 * g],
                );
            }
            let fields = &mut [(&mut bar.s, h), (&mut bar.v, 3 * g)];
            self.fill_ghosts(fields, exchange.as_deref_mut())?;
            let (x_bar, v_bar) = self.message_reverse(b, &pairs, keep, &bar, &mut gradient);
            bar.v.iter_mut().zip(&v_bar).for_each(|(bar, part)| *bar += part);
            for i in 0..owned {
                let x_bar = &x_bar[i * (h + 2 * g)..][..h + 2 * g];
                let part = match &block.sender {
                    None => x_bar[..h].to_vec(),
                    Some(sender) => sender.reverse(&keep.s[i * h..][..h], x_bar),
                };
                bar.s[i * h..][..h].iter_mut().zip(&part).for_each(|(bar, part)| *bar += part);
            }
        }

        let mut forces = vec![[0.0; 3]; owned];
        let mut virials = vec![[0.0; 9]; owned];
        for (i, (pairs, gradients)) in pairs.iter().zip(&mut gradient).enumerate() {
            for (pair, g) in pairs.iter().zip(gradients) {
                if let Some(repulsion) = &model.repulsion {
                    let species = [i, pair.j].map(|atom| self.list.species[atom]);
                    let (energy, slope) = repulsion.at(species, pair.d);
                    atomic_energies[i] += 0.5 * energy;
                    g.iter_mut().zip(pair.r).for_each(|(g, r)| *g += slope * r / pair.d);
                }
                pair::add(&mut forces[i], &mut virials[i], &pair.r, g);
            }
        }
        let found = Results { outside, ..pair::total(atomic_energies, forces, virials) };
        pair::check_results(&found)?;
        *results = found;
        self.memory = saved.len() * total * 10 * h * size_of::<f64>();
        let exchanged = self.seconds.exchange - exchanging;
        self.seconds.rest += started.elapsed().as_secs_f64() - exchanged;
        Ok(())
    }

    fn seconds(&self) -> Seconds {
        self.seconds
    }

    fn memory(&self) -> [usize; 2] {
        [self.memory + self.list.memory(), 0]
    }

    fn neighbor_list(&self) -> &NeighborList {
        &self.list
    }

    fn atoms_per_batch(&self) -> usize {
        super::cpu::CHUNK
    }

    fn for_another_thread(&self) -> Result<Box<dyn Engine>> {
        let (model, tables) = (Arc::clone(&self.model), self.tables.clone());
        Ok(Box::new(Self::with_tables(model, tables)))
    }
}
