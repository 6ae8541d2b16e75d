use half::f16;

use super::write::rotate;
use super::*;
use crate::parallel::{Serial, Threads};
use crate::step::SequenceInput;

const LAYER: usize = 1;
const PAGES: usize = 64;

/// Odd groups, head dimensions of half a vector more, heads alone.
const SHAPES: [AttentionShape; 3] = [
    AttentionShape { heads: 6, kv_heads: 2, head_dim: 24, scale: 0.2, kv_dtype: KvDtype::F16 },
    AttentionShape { heads: 7, kv_heads: 1, head_dim: 32, scale: 0.17, kv_dtype: KvDtype::F16 },
    AttentionShape { heads: 2, kv_heads: 2, head_dim: 16, scale: 0.25, kv_dtype: KvDtype::F16 },
];

fn shapes() -> impl Iterator<Item = AttentionShape> {
    let with = |kv_dtype| SHAPES.into_iter().map(move |shape| AttentionShape { kv_dtype, ..shape });
    with(KvDtype::F16).chain(with(KvDtype::Int8))
}

fn number(i: usize) -> f32 {
    ((i.wrapping_mul(2_654_435_761) >> 5) % 4001) as f32 / 1000.0 - 2.0
}

fn frequencies(shape: AttentionShape) -> Vec<f32> {
    (0..shape.head_dim / 2).map(|i| 0.5f32.powi(i as i32)).collect()
}

fn poisoned_pool(shape: AttentionShape) -> PagePool {
    let pool = PagePool::new(shape.block_bytes(LAYER + 1), PAGES).unwrap();
    for page in 0..PAGES as u32 {
        // SAFETY: within the page. All ones are NaN as half floats and as floats.
        unsafe { pool.page(page).write_bytes(0xff, pool.page_bytes()) };
    }
    pool
}

/// Query, key and value rows of a sequence: `[position][qkv width]`.
type Row<'a> = &'a dyn Fn(usize, usize) -> f32;

/// A sequence that runs beside others: its rows `[0, tokens)` are cut into `chunks`.
struct Case<'a> {
    shape: AttentionShape,
    chunks: &'a [usize],
    row: Row<'a>,
    /// Tokens of a sequence that is prefilled beside each chunk, and of another one that decodes its last.
    neighbours: [usize; 2],
}

impl Case<'_> {
    /// Outputs of all rows of the sequence.
    fn run(&self, variant: Variant, parallel: &dyn Parallel) -> Vec<f32> {
        let Case { shape, chunks, .. } = *self;
        let pool = poisoned_pool(shape);
        let tokens: usize = chunks.iter().sum();
        let [prefilled, decoding] = self.neighbours;
        let mut result = Vec::new();
        let mut scratch = AttentionScratch::default();
        let mut done = 0;
        for &rows in chunks {
            let mut batch = Vec::new();
            let mut add = |rows: usize, context: usize, tokens: usize, place: u32| {
                if rows > 0 {
                    let blocks = (0..tokens.div_ceil(16) as u32).map(|i| i * 3 + place).collect();
                    batch.push(SequenceInput { rows, context, blocks, adapter: None });
                }
            };
            add(prefilled, 0, prefilled, 0);
            add(rows, done, tokens, 1);
            add(decoding.min(1), decoding.saturating_sub(1), decoding, 2);
            let step = Step::new(batch, &frequencies(shape)).unwrap();
            let width = shape.qkv_width();
            let mut qkv: Vec<f32> = (0..step.rows * width).map(|i| number(i + 99)).collect();
            for (i, value) in qkv[prefilled * width..][..rows * width].iter_mut().enumerate() {
                *value = (self.row)(done + i / width, i % width);
            }
            let mut out = vec![0f32; step.rows * shape.heads * shape.head_dim];
            let (scratch, out_rows) = (&mut scratch, &mut out);
            paged_attention(shape, LAYER, &qkv, None, &step, &pool, scratch, out_rows, variant, parallel);
            let width = shape.heads * shape.head_dim;
            result.extend_from_slice(&out[prefilled * width..][..rows * width]);
            done += rows;
        }
        result
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// What is attended to in the place of a key or value.
fn stored(head: &[f32], dtype: KvDtype) -> Vec<f64> {
    match dtype {
        KvDtype::F16 => head.iter().map(|value| f16::from_f32(*value).to_f64()).collect(),
        KvDtype::Int8 => {
            let largest = head.iter().fold(0f32, |m, value| m.max(value.abs()));
            let code = |value: &f32| f64::from((value * (127.0 / largest)).round_ties_even());
            head.iter().map(|value| code(value) * f64::from(largest / 127.0)).collect()
        }
    }
}

#[test]
fn equals_the_definition() {
    for shape in shapes() {
        let tokens = 300;
        let (width, d) = (shape.qkv_width(), shape.head_dim);
        let row = |position: usize, column: usize| number(position * width + column);
        let case = Case { shape, chunks: &[tokens], row: &row, neighbours: [0, 0] };
        let out = case.run(Variant::Portable, &Serial);
        let head = |position: usize, head: usize| -> Vec<f32> {
            (0..d).map(|i| row(position, head * d + i)).collect()
        };
        let rotated = |position: usize, number: usize| -> Vec<f32> {
            let mut head = head(position, number);
            let frequencies = frequencies(shape);
            let angles: Vec<f32> = frequencies.iter().map(|f| position as f32 * f).collect();
            let rope: Vec<f32> =
                angles.iter().map(|a| a.cos()).chain(angles.iter().map(|a| a.sin())).collect();
            rotate(&mut head, &rope);
            head
        };
        for kv in 0..shape.kv_heads {
            let kept = |head: Vec<f32>| stored(&head, shape.kv_dtype);
            let keys: Vec<_> = (0..tokens).map(|p| kept(rotated(p, shape.heads + kv))).collect();
            let values: Vec<_> =
                (0..tokens).map(|p| kept(head(p, shape.heads + shape.kv_heads + kv))).collect();
            for (position, g) in [0, 1, 15, 16, 127, 128, 200, 255, 256, 299]
                .into_iter()
                .flat_map(|position| (0..shape.group()).map(move |g| (position, g)))
            {
                let column = kv * shape.group() + g;
                let q = rotated(position, column);
                let products = |key: &[f64]| -> Vec<f64> {
                    q.iter().zip(key).map(|(q, k)| f64::from(q * shape.scale) * k).collect()
                };
                let weights: Vec<f64> =
                    keys[..=position].iter().map(|key| products(key).iter().sum::<f64>().exp()).collect();
                for i in 0..d {
                    let exact = weights.iter().zip(&values).map(|(w, v)| w * v[i]).sum::<f64>()
                        / weights.iter().sum::<f64>();
                    let ours = out[(position * shape.heads + column) * d + i];
                    assert!((f64::from(ours) - exact).abs() < 1e-4, "{shape:?} {position} {ours} {exact}");
                }
            }
        }
    }
}

/// One chunk on one thread in portable code against everything else: one token at a time and chunks that end
/// anywhere, beside neighbours, on more threads (which split the context) and every variant.
#[test]
fn chunks_neighbours_threads_and_variants_change_no_bit() {
    let tokens = 280;
    for shape in shapes() {
        let row = |position: usize, column: usize| number(position * shape.qkv_width() + column + 3);
        let run = |chunks: &[usize], neighbours, variant, parallel: &dyn Parallel| {
            Case { shape, chunks, row: &row, neighbours }.run(variant, parallel)
        };
        let expected = run(&[tokens], [0, 0], Variant::Portable, &Serial);
        assert!(expected.iter().all(|value| value.is_finite()));
        let one_by_one = vec![1; tokens];
        let chunkings: [&[usize]; 5] =
            [&[tokens], &[1, 279], &[16, 16, 248], &[7, 9, 110, 5, 148, 1], &one_by_one];
        for variant in Variant::available() {
            for chunks in chunkings {
                for neighbours in [[0, 0], [50, 300], [1, 1]] {
                    let threads: &[&dyn Parallel] =
                        if chunks.len() < 9 { &[&Serial, &Threads(1), &Threads(3)] } else { &[&Serial] };
                    for parallel in threads {
                        let ours = run(chunks, neighbours, variant, *parallel);
                        assert!(bits(&ours) == bits(&expected), "{shape:?} {variant:?} {chunks:?}");
                    }
                }
            }
        }
    }
}

/// A decode step that threads share is really cut over its context.
#[test]
fn few_long_sequences_are_split() {
    let step = |sequences: u32| {
        let one = |i: u32| SequenceInput {
            rows: 1,
            context: 511,
            blocks: (i * 32..i * 32 + 32).collect(),
            adapter: None,
        };
        Step::new((0..sequences).map(one).collect(), &[]).unwrap()
    };
    let shape = SHAPES[1];
    let items = |sequences, threads| Plan::new(shape, &step(sequences), threads).items.len();
    assert_eq!((items(1, 1), items(1, 2), items(1, 8), items(16, 2)), (1, 4, 4, 16));
}

/// NaN and infinity in a row make that row's results anything but finite, never those of earlier rows or of
/// other sequences.
#[test]
fn what_is_not_finite_stays_in_its_sequence() {
    let tokens = 150;
    for shape in shapes() {
        let (width, d) = (shape.qkv_width(), shape.head_dim);
        let healthy = |position: usize, column: usize| number(position * width + column);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            // A query, a key, a value; of the first KV head.
            for column in [1, shape.heads * d + 2, (shape.heads + shape.kv_heads) * d + 3] {
                let row = |position: usize, c: usize| {
                    if position == 140 && c == column { bad } else { healthy(position, c) }
                };
                for (chunks, parallel) in
                    [(&[tokens][..], &Serial as &dyn Parallel), (&[130, 10, 1, 9], &Threads(3))]
                {
                    let run = |row| {
                        Case { shape, chunks, row, neighbours: [20, 140] }
                            .run(*Variant::available().last().unwrap(), parallel)
                    };
                    let (ours, expected) = (run(&row), run(&healthy));
                    let out = shape.heads * d;
                    assert!(bits(&ours[..140 * out]) == bits(&expected[..140 * out]), "{shape:?} {column}");
                    assert!(
                        ours[140 * out..][..d].iter().any(|value| !value.is_finite()),
                        "{shape:?} {column} {bad}"
                    );
                }
            }
        }
        poisoned_neighbour(shape);
    }
}

/// A neighbour of NaN changes no bit.
fn poisoned_neighbour(shape: AttentionShape) {
    let pool = poisoned_pool(shape);
    let width = shape.qkv_width();
    let outputs = [number as fn(usize) -> f32, |_| f32::NAN].map(|neighbour| {
        let sequence = |context, place: u32| SequenceInput {
            rows: 20,
            context,
            blocks: (0..2).map(|i| i * 2 + place).collect(),
            adapter: None,
        };
        let step = Step::new(vec![sequence(0, 0), sequence(0, 1)], &frequencies(shape)).unwrap();
        let mut qkv: Vec<f32> = (0..20 * width).map(neighbour).collect();
        qkv.extend((0..20 * width).map(number));
        let mut out = vec![0f32; 40 * shape.heads * shape.head_dim];
        let (scratch, variant) = (&mut AttentionScratch::default(), Variant::Portable);
        paged_attention(shape, LAYER, &qkv, None, &step, &pool, scratch, &mut out, variant, &Serial);
        out.split_off(20 * shape.heads * shape.head_dim)
    });
    assert!(bits(&outputs[0]) == bits(&outputs[1]));
}

#[test]
fn eight_bit_tokens_far_from_one_keep_their_precision() {
    use super::code::KvCode;
    use crate::simd::PortableLanes;
    for magnitude in [0.0f32, 1e-38, 1e-30, 1e-20, 1.0, 1e20, 3e38] {
        let values: Vec<f32> = (0..16).map(|i| (i as f32 - 7.5) / 8.0 * magnitude).collect();
        let mut codes = [0i8; 16];
        let scale = <i8 as KvCode>::encode::<PortableLanes>(&values, &mut codes);
        for (value, code) in values.iter().zip(codes) {
            let error = (f32::from(code) * scale - value).abs();
            assert!(error <= scale * 0.51 || error < 1e-29, "{magnitude}");
        }
    }
}
