//! Operators that treat each row by itself: normalization, linear layers, gated activation.

use std::sync::Arc;

use ort::operator::{BoxedKernel, ComputeContext, KernelContext};
use polylora_kernels::quantized_linear::QuantizedLinear;
use polylora_kernels::{linear as float_linear, norm, swiglu as activation};

use super::{ExecutorState, OrtThreads, attribute, float_attribute, required};

pub fn rms_norm<'a>(context: &KernelContext<'a>, state: &Arc<ExecutorState>) -> ort::Result<BoxedKernel<'a>> {
    let epsilon = float_attribute(context, "epsilon")?;
    let state = state.clone();
    Ok(Box::new(move |context: &ComputeContext| {
        let (x, weight) = (required(context, 0)?, required(context, 1)?);
        let (shape, x) = x.try_extract_tensor::<f32>()?;
        let (_, weight) = weight.try_extract_tensor::<f32>()?;
        let mut out = context.output(0, shape.to_vec())?.ok_or_else(|| ort::Error::new("no output"))?;
        let (_, out) = out.try_extract_tensor_mut::<f32>()?;
        let threads = OrtThreads { context, threads: state.threads };
        norm::rms_norm(x, weight, epsilon, out, state.variant, &threads);
        Ok(())
    }))
}

pub fn quantized_linear<'a>(
    context: &KernelContext<'a>,
    state: &Arc<ExecutorState>,
) -> ort::Result<BoxedKernel<'a>> {
    let (n, k, group) = (attribute(context, "n")?, attribute(context, "k")?, attribute(context, "group")?);
    let state = state.clone();
    Ok(Box::new(move |context: &ComputeContext| {
        let (x, codes, scales) = (required(context, 0)?, required(context, 1)?, required(context, 2)?);
        let bias = optional(context, 3)?;
        let (_, x) = x.try_extract_tensor::<f32>()?;
        let (_, codes) = codes.try_extract_tensor::<i8>()?;
        let (_, scales) = scales.try_extract_tensor::<f32>()?;
        let bias = floats(&bias)?;
        let mut out = context.output(0, [x.len() / k, n])?.ok_or_else(|| ort::Error::new("no output"))?;
        let (_, out) = out.try_extract_tensor_mut::<f32>()?;
        let threads = OrtThreads { context, threads: state.threads };
        let layer = QuantizedLinear { codes, scales, bias, n, k, group };
        let mut scratch = state.scratch.lock().expect("no operator panicked before");
        layer.forward(x, out, &mut scratch.quantized, state.variant, &threads);
        Ok(())
    }))
}

pub fn linear<'a>(context: &KernelContext<'a>, state: &Arc<ExecutorState>) -> ort::Result<BoxedKernel<'a>> {
    let (n, k) = (attribute(context, "n")?, attribute(context, "k")?);
    let state = state.clone();
    Ok(Box::new(move |context: &ComputeContext| {
        let (x, weights) = (required(context, 0)?, required(context, 1)?);
        let bias = optional(context, 2)?;
        let (_, x) = x.try_extract_tensor::<f32>()?;
        let (_, weights) = weights.try_extract_tensor::<f32>()?;
        let bias = floats(&bias)?;
        let mut out = context.output(0, [x.len() / k, n])?.ok_or_else(|| ort::Error::new("no output"))?;
        let (_, out) = out.try_extract_tensor_mut::<f32>()?;
        let threads = OrtThreads { context, threads: state.threads };
        float_linear::Linear { weights, bias, n, k }.forward(x, out, state.variant, &threads);
        Ok(())
    }))
}

pub fn swiglu<'a>(_: &KernelContext<'a>, state: &Arc<ExecutorState>) -> ort::Result<BoxedKernel<'a>> {
    let state = state.clone();
    Ok(Box::new(move |context: &ComputeContext| {
        let gate_up = required(context, 0)?;
        let (shape, gate_up) = gate_up.try_extract_tensor::<f32>()?;
        let width = shape[1] as usize / 2;
        let mut out =
            context.output(0, [shape[0] as usize, width])?.ok_or_else(|| ort::Error::new("no output"))?;
        let (_, out) = out.try_extract_tensor_mut::<f32>()?;
        let threads = OrtThreads { context, threads: state.threads };
        activation::swiglu(gate_up, width, out, state.variant, &threads);
        Ok(())
    }))
}

/// An input beyond the required ones, if the node has it.
pub fn optional(context: &ComputeContext, index: usize) -> ort::Result<Option<ort::value::ValueRef<'_>>> {
    if index < context.num_inputs()? { context.input(index) } else { Ok(None) }
}

fn floats<'a>(input: &'a Option<ort::value::ValueRef<'_>>) -> ort::Result<Option<&'a [f32]>> {
    input.as_ref().map(|input| Ok(input.try_extract_tensor::<f32>()?.1)).transpose()
}
