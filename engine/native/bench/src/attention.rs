//! `PagedAttention` over all layers: decoding with a filled cache, and reading a prompt.

use polylora_kernels::attention::{AttentionScratch, AttentionShape, KvDtype, paged_attention};
use polylora_kernels::pool::PagePool;
use polylora_kernels::simd::Variant;
use polylora_kernels::step::{BLOCK_TOKENS, SequenceInput, Step};

use crate::limits::Work;
use crate::model::{HEAD_DIM, HEADS, KV_HEADS, LAYERS, numbers};
use crate::side::{Case, Part, Side, time};
use crate::threads::with_spinning_threads;

/// 2⁻⁴ as a half float; any bits do as codes and scales.
const CACHED: u16 = 0x2c00;

/// Sequences, tokens before the step, tokens in it.
const LOADS: [(usize, usize, usize); 7] =
    [(1, 512, 1), (1, 512, 4), (1, 2048, 1), (1, 2048, 4), (16, 512, 1), (16, 2048, 1), (1, 0, 512)];

pub fn cases(variant: Variant) -> Vec<Case> {
    LOADS
        .into_iter()
        .map(|(sequences, context, rows)| {
            let name = if context == 0 {
                format!("prefill, tokens: {rows}")
            } else {
                let drafts = if rows > 1 { format!(", drafts: {}", rows - 1) } else { String::new() };
                format!("decode, sequences: {sequences}, context: {context}{drafts}")
            };
            let side = |kv_dtype| -> Box<dyn Side> {
                Box::new(Attention::new(kv_dtype, sequences, context, rows, variant))
            };
            Case { kernel: "PagedAttention", name, sides: vec![side(KvDtype::F16), side(KvDtype::Int8)] }
        })
        .collect()
}

struct Attention {
    shape: AttentionShape,
    step: Step,
    pool: PagePool,
    qkv: Vec<f32>,
    out: Vec<f32>,
    scratch: AttentionScratch,
    work: Work,
    variant: Variant,
}

impl Attention {
    fn new(kv_dtype: KvDtype, sequences: usize, context: usize, rows: usize, variant: Variant) -> Self {
        let shape =
            AttentionShape { heads: HEADS, kv_heads: KV_HEADS, head_dim: HEAD_DIM, scale: 0.125, kv_dtype };
        let blocks = (context + rows).div_ceil(BLOCK_TOKENS);
        let pool =
            PagePool::new(shape.block_bytes(LAYERS), sequences * blocks).expect("the pool can be allocated");
        for page in 0..pool.pages() {
            // SAFETY: the page's bytes, aligned; nobody else uses the pool yet.
            let page = unsafe {
                std::slice::from_raw_parts_mut(pool.page(page as u32).cast::<u16>(), pool.page_bytes() / 2)
            };
            page.fill(CACHED);
        }
        let input = |sequence: usize| SequenceInput {
            rows,
            context,
            blocks: (sequence * blocks..(sequence + 1) * blocks).map(|block| block as u32).collect(),
            adapter: None,
        };
        let step =
            Step::new((0..sequences).map(input).collect(), &[0.01; HEAD_DIM / 2]).expect("the step is sound");
        let all_rows = sequences * rows;
        // The keys that each row sees, itself included.
        let seen = sequences * (0..rows).map(|row| context + row + 1).sum::<usize>();
        Self {
            shape,
            step,
            qkv: numbers(all_rows * shape.qkv_width()),
            out: vec![0.0; all_rows * HEADS * HEAD_DIM],
            scratch: AttentionScratch::default(),
            work: Work {
                bytes: sequences * (context + rows) * shape.block_bytes(LAYERS) / BLOCK_TOKENS,
                int8: 0,
                // With a key and with a value.
                float: LAYERS * seen * HEADS * 2 * HEAD_DIM,
            },
            pool,
            variant,
        }
    }
}

impl Side for Attention {
    fn name(&self) -> String {
        match self.shape.kv_dtype {
            KvDtype::F16 => "f16 cache".into(),
            KvDtype::Int8 => "int8 cache".into(),
        }
    }

    fn measure(&mut self, threads: usize) -> Vec<Part> {
        let Self { shape, step, pool, qkv, out, scratch, variant, .. } = self;
        let seconds = with_spinning_threads(threads, |threads| {
            time(|| {
                for layer in 0..LAYERS {
                    paged_attention(*shape, layer, qkv, None, step, pool, scratch, out, *variant, threads);
                }
            })
        });
        vec![Part::new("all", seconds, self.work)]
    }
}
