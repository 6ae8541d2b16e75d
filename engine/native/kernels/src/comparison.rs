//! Compares two texts token by token (Parikh et al., 2016, "A Decomposable Attention Model"): a few small networks, whose logits
//! are averaged. Each token of one text is compared with what of the other it stands for; what is seen is put together for
//! each text, and for both. `gateway/training/verification/network.py` is the same in PyTorch.
//!
//! A text is kept as a *signature*: four bytes of the weights' version, each token's id in two bytes, and for each network
//! and token a scale (`f32`) and the projected state's codes (`i8`), all in little-endian order.

use crate::math::exp_not_positive;
use crate::simd::{Lanes, Variant, dispatch, vectorise};

/// Beyond these a shift of an aligned token's place tells no more.
const MOST_SHIFT: f32 = 3.0;
const SCORE_SCALE: f32 = 0.1;
/// Of a token beside its vectors.
const SCALARS: usize = 6;
/// A layer's outputs are computed so many at a time, and filled up to them.
const LANES: usize = 32;
/// And of so many rows.
const ROWS: usize = 2;

const VERSION_BYTES: usize = 4;
const ID_BYTES: usize = 2;
const SCALE_BYTES: usize = 4;
const MOST_CODE: f32 = 127.0;
/// Ids from there on are words by frequency, the most frequent first, in BERT's vocabulary.
const WORDS_BEGIN: f32 = 1996.0;

/// How large the networks are, and what makes the mean of their logits a probability.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Of a token's state.
    pub width: usize,
    /// Of a state as it is compared.
    pub d: usize,
    pub hidden: usize,
    /// Numbers that are told of a pair beside its tokens.
    pub extra: usize,
    pub members: usize,
    pub slope: f32,
    pub offset: f32,
}

struct Layer {
    inputs: usize,
    outputs: usize,
    /// `[block of LANES outputs][input][output]`
    weight: Vec<f32>,
    bias: Vec<f32>,
}

struct Member {
    project: Layer,
    key: Layer,
    sharpness: f32,
    compare: Layer,
    combine: Layer,
    output: Layer,
}

/// The networks.
pub struct Comparison {
    shape: Shape,
    version: [u8; VERSION_BYTES],
    members: Vec<Member>,
    variant: Variant,
}

/// A signature that was read.
struct Text {
    ids: Vec<u16>,
    rarities: Vec<f32>,
    members: Vec<Tokens>,
}

/// A text's tokens as one network compares them.
struct Tokens {
    /// `[token][d]`
    rows: Vec<f32>,
    /// `[token][d]`, each of length 1.
    keys: Vec<f32>,
    /// Of the rows.
    lengths: Vec<f32>,
}

impl Comparison {
    /// `tensors` of each network one after the other: project, key, sharpness, compare, combine, output; of layers the weight
    /// `[outputs, inputs]` and, but for the key's, the bias.
    ///
    /// # Errors
    /// When there are not as many values as the shape says.
    pub fn new(
        shape: Shape,
        tensors: &[f32],
        version: [u8; VERSION_BYTES],
        variant: Variant,
    ) -> Result<Self, String> {
        let Shape { width, d, hidden, extra, members, .. } = shape;
        let (compared, combined) = (3 * d + SCALARS, 4 * hidden + extra);
        let each =
            d * (width + 1) + d * d + 1 + hidden * (compared + 1) + hidden * (combined + 1) + hidden + 1;
        if members == 0 || [width, d, hidden].contains(&0) || tensors.len() != members * each {
            return Err(format!("{} values are no networks of {shape:?}", tensors.len()));
        }
        let members = tensors.chunks_exact(each).map(|tensors| {
            let mut rest = Rest(tensors);
            let project = rest.layer(d, width);
            let key = Layer::new(rest.take(d * d), &vec![0.0; d]);
            let sharpness = rest.take(1)[0];
            let (compare, combine) = (rest.layer(hidden, compared), rest.layer(hidden, combined));
            Member { project, key, sharpness, compare, combine, output: rest.layer(1, hidden) }
        });
        Ok(Self { shape, version, members: members.collect(), variant })
    }

    /// A text's signature.
    ///
    /// # Errors
    /// When `states` are not `[ids, width]`, or there are no tokens.
    pub fn sign(&self, ids: &[u32], states: &[f32]) -> Result<Vec<u8>, String> {
        let Shape { width, d, .. } = self.shape;
        if ids.is_empty() || states.len() != ids.len() * width {
            return Err(format!("{} numbers are no states of {} tokens", states.len(), ids.len()));
        }
        let mut signature = Vec::with_capacity(VERSION_BYTES + ids.len() * self.token_bytes());
        signature.extend_from_slice(&self.version);
        signature.extend(ids.iter().flat_map(|id| (*id as u16).to_le_bytes()));
        for member in &self.members {
            for row in member.project.forward(states, self.variant).chunks_exact(d) {
                let largest = row.iter().fold(0f32, |most, value| most.max(value.abs()));
                let scale = largest / MOST_CODE;
                signature.extend_from_slice(&scale.to_le_bytes());
                let code = |value: &f32| if scale == 0.0 { 0 } else { (value / scale).round() as i8 };
                signature.extend(row.iter().map(|value| code(value) as u8));
            }
        }
        Ok(signature)
    }

    /// The probability that both ask for the same, the same whichever comes first. `None` where one was not made with these
    /// weights. `extra` is of the pair.
    ///
    /// # Errors
    /// When there are not as many `extra` as the networks take.
    pub fn compare(&self, a: &[u8], b: &[u8], extra: &[f32]) -> Result<Option<f64>, String> {
        if extra.len() != self.shape.extra {
            return Err(format!("{} numbers of a pair, not {}", extra.len(), self.shape.extra));
        }
        let (Some(a), Some(b)) = (self.read(a), self.read(b)) else { return Ok(None) };
        let mut logits = vec![0f32; self.members.len()];
        let (networks, texts, out) = (self, [&a, &b], logits.as_mut_slice());
        vectorise!(
            self.variant,
            logits_of(networks: &Comparison, texts: [&Text; 2], extra: &[f32], out: &mut [f32])
        );
        let mean = logits.iter().sum::<f32>() / self.members.len() as f32;
        let Shape { slope, offset, .. } = self.shape;
        Ok(Some(1.0 / (1.0 + (-f64::from(slope * mean + offset)).exp())))
    }

    fn token_bytes(&self) -> usize {
        ID_BYTES + self.members.len() * (SCALE_BYTES + self.shape.d)
    }

    fn read(&self, signature: &[u8]) -> Option<Text> {
        let tokens = signature.strip_prefix(&self.version)?;
        let count = tokens.len() / self.token_bytes();
        if count == 0 || !tokens.len().is_multiple_of(self.token_bytes()) {
            return None;
        }
        let (ids, states) = tokens.split_at(count * ID_BYTES);
        let ids: Vec<u16> = ids.chunks_exact(ID_BYTES).map(|id| u16::from_le_bytes([id[0], id[1]])).collect();
        let rarity = |id: &u16| (f32::from(*id) - WORDS_BEGIN).max(1.0).ln() / 10.0;
        let rarities = ids.iter().map(rarity).collect();
        let d = self.shape.d;
        let states = states.chunks_exact(count * (SCALE_BYTES + d));
        let members = self.members.iter().zip(states).map(|(member, states)| {
            let mut rows = Vec::with_capacity(count * d);
            for token in states.chunks_exact(SCALE_BYTES + d) {
                let (scale, codes) = token.split_at(SCALE_BYTES);
                let scale = f32::from_le_bytes(scale.try_into().expect("four bytes"));
                rows.extend(codes.iter().map(|code| scale * f32::from(*code as i8)));
            }
            let mut keys = member.key.forward(&rows, self.variant);
            for key in keys.chunks_exact_mut(d) {
                let length = length(key).max(1e-12);
                key.iter_mut().for_each(|value| *value /= length);
            }
            let lengths = rows.chunks_exact(d).map(|row| length(row).max(1e-6)).collect();
            Tokens { rows, keys, lengths }
        });
        Some(Text { ids, rarities, members: members.collect() })
    }

    #[inline(always)]
    fn logit(&self, index: usize, member: &Member, a: &Text, b: &Text, extra: &[f32]) -> f32 {
        let Shape { d, hidden, .. } = self.shape;
        let (own, other) = (&a.members[index], &b.members[index]);
        let (count, of_other) = (a.ids.len(), b.ids.len());
        let mut scores = vec![0f32; count * of_other];
        let mut transposed = vec![0f32; count * of_other];
        for (i, key) in own.keys.chunks_exact(d).enumerate() {
            for (j, against) in other.keys.chunks_exact(d).enumerate() {
                let score = dot(key, against) * member.sharpness;
                scores[i * of_other + j] = score;
                transposed[j * count + i] = score;
            }
        }
        let (mean_a, most_a) = self.side(index, member, a, b, &mut scores);
        let (mean_b, most_b) = self.side(index, member, b, a, &mut transposed);
        let mut inputs = Vec::with_capacity(4 * hidden + extra.len());
        let pairs = |a: &[f32], b: &[f32], put: fn(f32, f32) -> f32| -> Vec<f32> {
            a.iter().zip(b).map(|(a, b)| put(*a, *b)).collect()
        };
        inputs.extend(pairs(&mean_a, &mean_b, |a, b| a + b));
        inputs.extend(pairs(&mean_a, &mean_b, |a, b| (a - b).abs()));
        inputs.extend(pairs(&most_a, &most_b, |a, b| a + b));
        inputs.extend(pairs(&most_a, &most_b, f32::max));
        inputs.extend_from_slice(extra);
        let mut combined = member.combine.forward(&inputs, self.variant);
        combined.iter_mut().for_each(|value| *value = value.max(0.0));
        member.output.forward(&combined, self.variant)[0]
    }

    /// Compares each token of `a` with what of `b` it stands for, by scores `[of a][of b]`, which become shares: what was seen, on
    /// average and at most.
    #[inline(always)]
    fn side(
        &self,
        index: usize,
        member: &Member,
        a: &Text,
        b: &Text,
        scores: &mut [f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let Shape { d, hidden, .. } = self.shape;
        let (own, other) = (&a.members[index], &b.members[index]);
        let (count, of_other) = (a.ids.len(), b.ids.len());
        let width = 3 * d + SCALARS;
        let mut inputs = vec![0f32; count * width];
        let mut partner = vec![0f32; d];
        let mut place_before = 0.0;
        for (i, scores) in scores.chunks_exact_mut(of_other).enumerate() {
            let most = softmax(scores);
            partner.fill(0.0);
            let mut place = 0.0;
            for (j, (share, row)) in scores.iter().zip(other.rows.chunks_exact(d)).enumerate() {
                place += share * j as f32;
                partner.iter_mut().zip(row).for_each(|(sum, value)| *sum += share * value);
            }
            let row = &own.rows[i * d..][..d];
            let (before, input) = inputs.split_at_mut(i * width);
            let (vectors, scalars) = input[..width].split_at_mut(3 * d);
            let (same, rest) = vectors.split_at_mut(d);
            let (apart, together) = rest.split_at_mut(d);
            same.copy_from_slice(row);
            for ((apart, together), (own, other)) in
                apart.iter_mut().zip(together).zip(row.iter().zip(&partner))
            {
                *apart = (own - other).abs();
                *together = own * other;
            }
            scalars[0] = dot(row, &partner) / (own.lengths[i] * length(&partner).max(1e-6));
            scalars[1] = if b.ids.contains(&a.ids[i]) { 1.0 } else { 0.0 };
            scalars[2] = most * SCORE_SCALE;
            scalars[3] = a.rarities[i];
            if i > 0 {
                let step = (place - place_before - 1.0).clamp(-MOST_SHIFT, MOST_SHIFT) / MOST_SHIFT;
                scalars[4] = step;
                before[(i - 1) * width + 3 * d + 5] = step;
            }
            place_before = place;
        }
        let (mut mean, mut most) = (vec![0f32; hidden], vec![0f32; hidden]);
        for seen in member.compare.forward(&inputs, self.variant).chunks_exact(hidden) {
            for ((mean, most), value) in mean.iter_mut().zip(&mut most).zip(seen) {
                *mean += value.max(0.0) / count as f32;
                *most = most.max(*value);
            }
        }
        (mean, most)
    }
}

/// What each network says of two texts.
#[inline(always)]
fn logits_of(networks: &Comparison, [a, b]: [&Text; 2], extra: &[f32], out: &mut [f32]) {
    for (index, (member, logit)) in networks.members.iter().zip(out).enumerate() {
        *logit = networks.logit(index, member, a, b, extra);
    }
}

/// Tensors that are still to be taken.
struct Rest<'a>(&'a [f32]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> &'a [f32] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    /// Weight and bias.
    fn layer(&mut self, outputs: usize, inputs: usize) -> Layer {
        let weight = self.take(outputs * inputs);
        Layer::new(weight, self.take(outputs))
    }
}

impl Layer {
    fn new(weight: &[f32], bias: &[f32]) -> Self {
        let outputs = bias.len();
        let inputs = weight.len() / outputs;
        let blocks = outputs.div_ceil(LANES);
        let mut blocked = vec![0f32; blocks * inputs * LANES];
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            for (input, value) in row.iter().enumerate() {
                blocked[(output / LANES * inputs + input) * LANES + output % LANES] = *value;
            }
        }
        let mut filled = bias.to_vec();
        filled.resize(blocks * LANES, 0.0);
        Self { inputs, outputs, weight: blocked, bias: filled }
    }

    /// `[rows, outputs]` of `[rows, inputs]`; each sum over its inputs in order.
    fn forward(&self, x: &[f32], variant: Variant) -> Vec<f32> {
        let mut out = vec![0f32; x.len() / self.inputs * self.outputs];
        let (layer, result) = (self, out.as_mut_slice());
        // SAFETY: the variant was detected on this processor.
        unsafe { dispatch!(variant, forward(layer: &Layer, x: &[f32], result: &mut [f32])) };
        out
    }
}

/// # Safety
/// None; `dispatch!` takes unsafe functions only.
#[inline(always)]
unsafe fn forward<L: Lanes>(layer: &Layer, x: &[f32], out: &mut [f32]) {
    let Layer { weight, bias, .. } = layer;
    let (inputs, outputs) = (layer.inputs, layer.outputs);
    let rows = x.chunks(ROWS * inputs).zip(out.chunks_mut(ROWS * outputs));
    for (x, out) in rows {
        for (block, (weight, bias)) in
            weight.chunks_exact(inputs * LANES).zip(bias.chunks_exact(LANES)).enumerate()
        {
            // Where a last row has no partner it is its own.
            let second = x.len() - inputs;
            let sums = multiply::<L>([x, &x[second..]], weight, bias, inputs);
            let columns = block * LANES..outputs.min((block + 1) * LANES);
            for (row, sums) in out.chunks_exact_mut(outputs).zip(sums) {
                let count = columns.len();
                row[columns.clone()].copy_from_slice(&sums[..count]);
            }
        }
    }
}

/// A block's outputs of two rows.
#[inline(always)]
fn multiply<L: Lanes>(
    x: [&[f32]; ROWS],
    weight: &[f32],
    bias: &[f32],
    inputs: usize,
) -> [[f32; LANES]; ROWS] {
    assert!(bias.len() == LANES && weight.len() == inputs * LANES);
    let x = x.map(|row| &row[..inputs]);
    // SAFETY: LANES values.
    let bias = std::array::from_fn(|part| unsafe { L::load(bias.as_ptr().add(part * 8)) });
    let mut sums: [[L; LANES / 8]; ROWS] = [bias; ROWS];
    for input in 0..inputs {
        // SAFETY: each input has LANES weights, and each row so many inputs.
        let (weights, values): ([L; LANES / 8], [L; ROWS]) = unsafe {
            let weight = weight.as_ptr().add(input * LANES);
            (
                std::array::from_fn(|part| L::load(weight.add(part * 8))),
                x.map(|row| L::splat(*row.get_unchecked(input))),
            )
        };
        for (sums, value) in sums.iter_mut().zip(values) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = sum.add(value.mul(weight));
            }
        }
    }
    let mut out = [[0f32; LANES]; ROWS];
    for (out, sums) in out.iter_mut().zip(sums) {
        for (part, sum) in sums.into_iter().enumerate() {
            // SAFETY: LANES values.
            unsafe { sum.store(out.as_mut_ptr().add(part * 8)) };
        }
    }
    out
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = (a.remainder(), b.remainder());
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(rest.0).zip(rest.1) {
        *sum += a * b;
    }
    sums.iter().sum()
}

#[inline(always)]
fn length(row: &[f32]) -> f32 {
    dot(row, row).sqrt()
}

/// Returns the largest score.
#[inline(always)]
fn softmax(scores: &mut [f32]) -> f32 {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Not with their sum, which has an order of its own.
    scores.iter_mut().for_each(|score| *score = exp_not_positive(*score - most));
    let sum = scores.iter().fold(0.0, |sum, score| sum + *score);
    scores.iter_mut().for_each(|score| *score /= sum);
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { width: 12, d: 5, hidden: 7, extra: 2, members: 2, slope: 0.8, offset: 0.1 };
    const VERSION: [u8; 4] = [1, 2, 3, 4];

    fn values(count: usize, seed: f32) -> Vec<f32> {
        (0..count).map(|i| ((i as f32 + seed) * 0.61).sin() * 0.7).collect()
    }

    fn networks(variant: Variant) -> Comparison {
        let each = 5 * 13 + 25 + 1 + 7 * (21 + 1) + 7 * (30 + 1) + 8;
        Comparison::new(SHAPE, &values(2 * each, 3.0), VERSION, variant).unwrap()
    }

    #[test]
    fn two_texts_are_as_alike_as_the_other_way_round_with_equal_bits_on_every_variant() {
        let mut seen = None;
        for variant in Variant::available() {
            let networks = networks(variant);
            let a = networks.sign(&[2000, 5, 60_000, 7], &values(48, 0.0)).unwrap();
            let b = networks.sign(&[2000, 8], &values(24, 9.0)).unwrap();
            let alike = networks.compare(&a, &b, &[0.3, 0.9]).unwrap().unwrap();
            assert!(alike > 0.0 && alike < 1.0);
            assert_eq!(networks.compare(&b, &a, &[0.3, 0.9]), Ok(Some(alike)));
            assert_ne!(networks.compare(&a, &a, &[0.3, 0.9]), Ok(Some(alike)));
            let bits = (a, b, alike.to_bits());
            assert_eq!(*seen.get_or_insert_with(|| bits.clone()), bits);
        }
    }

    #[test]
    fn what_others_signed_or_nobody_cannot_be_compared() {
        let networks = networks(Variant::Portable);
        let own = networks.sign(&[7], &values(12, 0.0)).unwrap();
        let other = Comparison { version: [9, 2, 3, 4], ..self::networks(Variant::Portable) };
        let theirs = other.sign(&[7], &values(12, 0.0)).unwrap();
        let cut = &own[..own.len() - 1];
        for signature in [&theirs, cut, &own[..4], &own[..2], &[]] {
            assert_eq!(networks.compare(&own, signature, &[0.0; 2]), Ok(None));
        }
        assert!(networks.compare(&own, &own, &[0.0; 3]).is_err());
        assert!(networks.sign(&[7], &values(13, 0.0)).is_err());
        assert!(networks.sign(&[], &[]).is_err());
    }

    #[test]
    fn weights_of_another_shape_are_refused() {
        assert!(Comparison::new(SHAPE, &values(7, 0.0), VERSION, Variant::Portable).is_err());
        let none = Shape { members: 0, ..SHAPE };
        assert!(Comparison::new(none, &[], VERSION, Variant::Portable).is_err());
    }
}
