//! Normalization and gated activation by themselves, where no [`super::adapted_linear`] operator can take them in.

use std::sync::Arc;

use ort::operator::{BoxedKernel, ComputeContext, KernelContext};
use polylora_kernels::{norm, swiglu as activation};

use super::{ExecutorState, OrtThreads, float_attribute, required};

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
