//! How many floating-point operations a computation takes, so that its speed can be compared with
//! the machine's peak.
//!
//! A multiply-add counts as two, everything else as one. Counted is what results need, not what
//! the kernels spend: channels without padding, dense layers forward and reverse, and pairs as if
//! one look-up of the filter served both directions, which holds inside a block of atoms. Filters
//! are counted as polynomials of fifth degree, on GPUs too, whose cubics take half as many. Not
//! counted: exponentials and other work on single channels of atoms (a few per cent), positions
//! and forces, conversions, loads and stores.

use mlff_student::model::{Linear, Mlp, Model, Update};

/// Operations per atom with `pairs` directed pairs per atom.
pub(super) fn per_atom(model: &Model, pairs: f64) -> f64 {
    let sender = model.blocks.iter().any(|block| block.sender.is_some());
    let pairs: f64 = (0..model.blocks.len())
        // Two directed pairs share one look-up.
        .map(|block| {
            let scalars = (model.hidden - model.vectors) as f64 * scalar_pair(block == 0);
            0.5 * pairs * (model.vectors as f64 * pair(sender, block == 0) + scalars)
        })
        .sum();
    pairs + dense_layers(model)
}

/// Operations on one channel of both directions of a pair, forward and reverse
/// (`engine::cpu::message`). In the first message v = 0, so that φ² is not needed.
fn pair(sender: bool, initial: bool) -> f64 {
    let (sender, later) = (f64::from(u8::from(sender)), f64::from(u8::from(!initial)));
    let filters = 2.0 + later;
    // Polynomials of fifth degree, value alone: five multiply-adds.
    let forward_filters = 10.0 * filters;
    // s, three of u, three of v; a sender multiplies its own row in.
    let forward_message = 2.0 + 6.0 + 6.0 * later + sender * (1.0 + later);
    // Value and slope: four more.
    let reverse_filters = 18.0 * filters;
    // Of φ¹ (4) and φ³ (three differences, a product with u, its multiply-add, three of ∂E/∂u).
    let distance = 4.0 + 3.0 + 5.0 + 2.0 + 3.0 + 6.0 * sender;
    // Of φ²: two products of vectors, their sum, a multiply-add.
    let turned = later * (5.0 + 5.0 + 1.0 + 2.0 + sender * 2.0);
    // What each of the two atoms receives: s, three of v, and the sender's third row.
    let received = 2.0 * later * (2.0 + 6.0 + 7.0 * sender);
    // ∂E/∂d and ∂E/∂u, summed over channels.
    let sums = 4.0;
    forward_filters + 2.0 * forward_message + reverse_filters + distance + turned + received + sums
}

/// The same on one channel without a vector (`engine::cpu::scalars`): φ¹ alone.
fn scalar_pair(initial: bool) -> f64 {
    let later = f64::from(u8::from(!initial));
    let (forward_filter, reverse_filter) = (10.0, 18.0);
    let message = 2.0;
    let (distance, received, sum) = (3.0 + 2.0, 2.0 * later * 2.0, 1.0);
    forward_filter + 2.0 * message + reverse_filter + distance + received + sum
}

/// Operations in the dense layers of one atom, forward and reverse (`engine::cpu::network`).
fn dense_layers(model: &Model) -> f64 {
    let both_ways = |weights: usize| 4.0 * weights as f64;
    let layer = |linear: &Linear| both_ways(linear.inputs * linear.outputs);
    let mlp = |mlp: &Mlp| layer(&mlp.first) + layer(&mlp.second);
    let last = model.blocks.len().saturating_sub(1);
    let blocks = model.blocks.iter().enumerate().map(|(index, block)| {
        // The first block's senders depend on the species alone and come from a table.
        let sender = block.sender.as_ref().filter(|_| index > 0).map_or(0.0, mlp);
        // Gates of the last block's v reach no output and are left out.
        let (update, unused) = match &block.update {
            Update::Published { mlp: net, .. } => (mlp(net), 2),
            Update::Painn { channel_mix, mlp: net, .. } => (mlp(net) + 3.0 * layer(channel_mix), 1),
        };
        let unused = if index == last { unused } else { 0 };
        sender + update - both_ways(unused * model.hidden * model.vectors)
    });
    blocks.sum::<f64>() + model.head.iter().map(layer).sum::<f64>()
}
