//! `PagedAttention`: reads the fused projections, writes keys and values to the step's pages.

use std::sync::Arc;

use ort::operator::{BoxedKernel, ComputeContext, KernelContext};
use polylora_kernels::attention::{AttentionShape, HeadNorm, paged_attention as attend};

use super::{ExecutorState, OperatorThreads, attribute, float_attribute, optional, required};

pub fn paged_attention<'a>(
    context: &KernelContext<'a>,
    state: &Arc<ExecutorState>,
) -> ort::Result<BoxedKernel<'a>> {
    let shape = AttentionShape {
        heads: attribute(context, "heads")?,
        kv_heads: attribute(context, "kv_heads")?,
        head_dim: attribute(context, "head_dim")?,
        scale: float_attribute(context, "scale")?,
        kv_dtype: state.kv_dtype,
    };
    let layer = attribute(context, "layer")?;
    let epsilon = float_attribute(context, "epsilon")?;
    let frequencies: Vec<f32> =
        context.get("inv_freq").ok_or_else(|| ort::Error::new("operator attribute inv_freq is missing"))?;
    if frequencies.len() * 2 != shape.head_dim {
        return Err(ort::Error::new("inv_freq must have head_dim / 2 values"));
    }
    state.inverse_frequencies.get_or_init(|| frequencies);
    let state = state.clone();
    Ok(Box::new(move |context: &ComputeContext| {
        let qkv = required(context, 0)?;
        let (q_norm, k_norm) = (optional(context, 1)?, optional(context, 2)?);
        let (_, qkv) = qkv.try_extract_tensor::<f32>()?;
        let norm = match (&q_norm, &k_norm) {
            (Some(q), Some(k)) => Some(HeadNorm {
                q: q.try_extract_tensor::<f32>()?.1,
                k: k.try_extract_tensor::<f32>()?.1,
                epsilon,
            }),
            _ => None,
        };
        let step = state.step.read().expect("no operator panicked before");
        let mut out = context
            .output(0, [step.rows(), shape.heads * shape.head_dim])?
            .ok_or_else(|| ort::Error::new("no output"))?;
        let (_, out) = out.try_extract_tensor_mut::<f32>()?;
        let threads = OperatorThreads { context, compute: &state.compute };
        let (pool, variant) = (&state.pool, state.compute.variant);
        let scratch = &mut state.compute.scratch.lock().expect("no operator panicked before").attention;
        attend(shape, layer, qkv, norm, &step, pool, scratch, out, variant, &threads);
        Ok(())
    }))
}
