//! A work item: some rows of one sequence against one KV head, over all parts of the context or some of them.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::code::KvCode;
use super::layout::{AttentionShape, KvDtype};
use super::part::{Part, PartScratch};
use super::plan::{Item, Meeting, Tile};
use super::records::{finish, merge, record_floats};
use super::{Call, PART_BLOCKS, PART_TOKENS};
use crate::simd::Lanes;
use crate::step::BLOCK_TOKENS;

/// Buffers for one item at a time.
#[derive(Default)]
pub(super) struct Workspace {
    /// `[state][head_dim]`, a state for each row and head of the group.
    queries: Vec<f32>,
    key: Vec<f32>,
    halves: Vec<u16>,
    bytes: Vec<i8>,
    valid: Vec<usize>,
    part: PartScratch,
    part_records: Vec<f32>,
    records: Vec<f32>,
}

/// Writes the keys and values of a tile.
///
/// # Safety
/// The call's shapes must fit; no other item may use the tile's rows meanwhile.
#[inline(always)]
pub(super) unsafe fn write<L: Lanes>(call: &Call<'_>, index: usize, space: &mut Workspace) {
    let tile = call.plan.tiles[call.plan.writes[index]];
    for head in 0..call.shape.kv_heads {
        // SAFETY: passed on.
        unsafe { write_rows::<L>(call, tile, tile.first..tile.first + tile.rows, head, space) };
    }
}

/// # Safety
/// As [`write`].
#[inline(always)]
unsafe fn write_rows<L: Lanes>(
    call: &Call<'_>,
    tile: Tile<'_>,
    rows: Range<usize>,
    head: usize,
    space: &mut Workspace,
) {
    let Workspace { key, halves, bytes, .. } = space;
    let width = call.shape.head_dim;
    key.resize(width, 0.0);
    // SAFETY: passed on.
    unsafe {
        match call.shape.kv_dtype {
            KvDtype::F16 => {
                halves.resize(width, 0);
                call.write_rows::<L, u16>(tile.sequence, rows, head, key, halves);
            }
            KvDtype::Int8 => {
                bytes.resize(width, 0);
                call.write_rows::<L, i8>(tile.sequence, rows, head, key, bytes);
            }
        }
    }
}

/// Computes an item; the last of those that share a tile and head merges their parts.
///
/// # Safety
/// The call's shapes must fit, all writes of its plan be done, and each item be computed once.
#[inline(always)]
pub(super) unsafe fn attend<L: Lanes>(call: &Call<'_>, index: usize, space: &mut Workspace) {
    let item = &call.plan.items[index];
    let tile = call.plan.tiles[item.tile];
    // SAFETY: the shape's type is the one that pages hold.
    unsafe {
        match call.shape.kv_dtype {
            KvDtype::F16 => attend_as::<L, u16>(call, item, tile, space),
            KvDtype::Int8 => attend_as::<L, i8>(call, item, tile, space),
        }
    }
}

/// # Safety
/// As [`attend`], with `C` the type that pages hold.
#[inline(always)]
unsafe fn attend_as<L: Lanes, C: KvCode>(
    call: &Call<'_>,
    item: &Item,
    tile: Tile<'_>,
    space: &mut Workspace,
) {
    let states = tile.rows * call.shape.group();
    let floats = states * record_floats(call.shape.head_dim);
    if tile.is_whole_sequence() {
        // SAFETY: nobody else reads or writes the tokens of this sequence, head and these parts.
        unsafe { write_rows::<L>(call, tile, rows_of(tile, &item.parts), item.head, space) };
    }
    load_queries(call, tile, item.head, &mut space.queries);
    space.part.reserve(call.shape.head_dim, states);
    if let Some(meeting) = item.meeting {
        let meeting = &call.plan.meetings[meeting];
        for part in item.parts.clone() {
            // SAFETY: each part's records are written by one item.
            let records = unsafe { call.partials.range(meeting.start + part * floats, floats) };
            // SAFETY: passed on.
            unsafe { attend_part::<L, C>(call, tile, item.head, part, space, records) };
        }
        // Releases this item's records, and acquires the others' for the last one.
        if meeting.done.fetch_add(1, Ordering::AcqRel) + 1 == meeting.items {
            // SAFETY: all other items of this meeting are done.
            unsafe { merge_all::<L>(call, tile, item.head, meeting, floats) };
        }
        return;
    }
    let mut records = std::mem::take(&mut space.records);
    let mut part_records = std::mem::take(&mut space.part_records);
    records.resize(records.len().max(floats), 0.0);
    part_records.resize(part_records.len().max(floats), 0.0);
    for part in item.parts.clone() {
        let target = if part == 0 { &mut records[..floats] } else { &mut part_records[..floats] };
        // SAFETY: passed on.
        unsafe { attend_part::<L, C>(call, tile, item.head, part, space, target) };
        if part > 0 {
            merge_part::<L>(call, tile, part, &mut records[..floats], &part_records[..floats]);
        }
    }
    // SAFETY: this tile and head are this item's alone.
    unsafe { leave(call, tile, item.head, &records[..floats]) };
    space.records = records;
    space.part_records = part_records;
}

/// The tile's rows whose tokens lie in these parts.
fn rows_of(tile: Tile<'_>, parts: &Range<usize>) -> Range<usize> {
    let row = |token: usize| tile.first + token.saturating_sub(tile.position()).min(tile.rows);
    row(parts.start * PART_TOKENS)..row(parts.end.saturating_mul(PART_TOKENS))
}

/// The tile's states that have no token in a part, the first ones.
fn states_before(call: &Call<'_>, tile: Tile<'_>, part: usize) -> usize {
    (part * PART_TOKENS).saturating_sub(tile.position()) * call.shape.group()
}

#[inline(always)]
fn load_queries(call: &Call<'_>, tile: Tile<'_>, head: usize, queries: &mut Vec<f32>) {
    let AttentionShape { head_dim, scale, .. } = call.shape;
    let group = call.shape.group();
    queries.resize(tile.rows * group * head_dim, 0.0);
    let norm = call.norm.map(|norm| (norm.q, norm.epsilon));
    for (state, query) in queries.chunks_exact_mut(head_dim).enumerate() {
        call.rotated(tile.first + state / group, (head * group + state % group) * head_dim, norm, query);
        query.iter_mut().for_each(|q| *q *= scale);
    }
}

/// Computes the records of the states that have tokens in a part; the others' are left as they are.
///
/// # Safety
/// As [`attend_as`], with the tile's queries loaded and room in the workspace.
#[inline(always)]
unsafe fn attend_part<L: Lanes, C: KvCode>(
    call: &Call<'_>,
    tile: Tile<'_>,
    head: usize,
    part: usize,
    space: &mut Workspace,
    records: &mut [f32],
) {
    let AttentionShape { head_dim, .. } = call.shape;
    let group = call.shape.group();
    let start = part * PART_TOKENS;
    let skipped = states_before(call, tile, part);
    space.valid.clear();
    let states = skipped..tile.rows * group;
    let valid = states.map(|state| PART_TOKENS.min(tile.position() + state / group + 1 - start));
    space.valid.extend(valid);
    let last = (tile.position() + tile.rows - 1) / BLOCK_TOKENS;
    let first = start / BLOCK_TOKENS;
    let blocks: [_; PART_BLOCKS] =
        std::array::from_fn(|block| call.block::<C>(tile.sequence, last.min(first + block), head));
    let part = Part { head_dim, queries: &space.queries[skipped * head_dim..], valid: &space.valid, blocks };
    let records = &mut records[skipped * record_floats(head_dim)..];
    // SAFETY: room was made for all states; the part's tokens are written.
    unsafe { part.compute::<L>(&mut space.part, records) };
}

/// Merges the records of a later part into those of the parts before.
#[inline(always)]
fn merge_part<L: Lanes>(call: &Call<'_>, tile: Tile<'_>, part: usize, totals: &mut [f32], records: &[f32]) {
    let width = record_floats(call.shape.head_dim);
    let skipped = states_before(call, tile, part);
    let (totals, records) = (&mut totals[skipped * width..], &records[skipped * width..]);
    for (total, record) in totals.chunks_exact_mut(width).zip(records.chunks_exact(width)) {
        merge::<L::Wide>(total, record);
    }
}

/// Merges all parts that the items of a meeting left, in ascending order.
///
/// # Safety
/// Nobody else may use the meeting's records any more.
#[inline(always)]
unsafe fn merge_all<L: Lanes>(
    call: &Call<'_>,
    tile: Tile<'_>,
    head: usize,
    meeting: &Meeting,
    floats: usize,
) {
    // SAFETY: as the caller promises.
    let all = unsafe { call.partials.range(meeting.start, tile.parts() * floats) };
    let (totals, later) = all.split_at_mut(floats);
    for (part, records) in later.chunks_exact(floats).enumerate() {
        merge_part::<L>(call, tile, part + 1, totals, records);
    }
    // SAFETY: only one item of a meeting merges.
    unsafe { leave(call, tile, head, totals) };
}

/// Leaves the results of a tile and head in the call's output.
///
/// # Safety
/// Nobody else may write the rows' columns of this head's group.
#[inline(always)]
unsafe fn leave(call: &Call<'_>, tile: Tile<'_>, head: usize, records: &[f32]) {
    let AttentionShape { heads, head_dim, .. } = call.shape;
    let group = call.shape.group();
    for (state, record) in records.chunks_exact(record_floats(head_dim)).enumerate() {
        let column = (head * group + state % group) * head_dim;
        // SAFETY: as the caller promises.
        let out =
            unsafe { call.out.range((tile.first + state / group) * heads * head_dim + column, head_dim) };
        finish(record, out);
    }
}
