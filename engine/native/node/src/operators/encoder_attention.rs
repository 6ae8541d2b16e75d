//! `EncoderAttention`: texts' rows look at their own text.

use std::sync::Arc;

use ort::operator::{BoxedKernel, ComputeContext, KernelContext};
use polylora_kernels::encoder_attention::EncoderAttention;

use super::{Compute, OperatorThreads, attribute, float_attribute, required};

/// `qkv`, and the texts' `lengths`, with attributes `heads`, `head_dim` and `scale`.
pub fn encoder_attention<'a>(
    context: &KernelContext<'a>,
    compute: &Arc<Compute>,
) -> ort::Result<BoxedKernel<'a>> {
    let attention = EncoderAttention {
        heads: attribute(context, "heads")?,
        head_dim: attribute(context, "head_dim")?,
        scale: float_attribute(context, "scale")?,
    };
    let compute = compute.clone();
    Ok(Box::new(move |context: &ComputeContext| {
        let (qkv, lengths) = (required(context, 0)?, required(context, 1)?);
        let (_, qkv) = qkv.try_extract_tensor::<f32>()?;
        let (_, lengths) = lengths.try_extract_tensor::<i64>()?;
        let lengths: Vec<usize> = lengths.iter().map(|length| *length as usize).collect();
        let width = attention.heads * attention.head_dim;
        let rows = qkv.len() / (3 * width);
        if lengths.iter().sum::<usize>() != rows {
            return Err(ort::Error::new(format!("texts of {lengths:?} tokens have not {rows} rows")));
        }
        let mut out = context.output(0, [rows, width])?.ok_or_else(|| ort::Error::new("no output"))?;
        let (_, out) = out.try_extract_tensor_mut::<f32>()?;
        let threads = OperatorThreads { context, compute: &compute };
        attention.forward(qkv, &lengths, out, compute.variant, &threads);
        Ok(())
    }))
}
