//! `BatchedLora`: adds each row's adapter to a projection, in place where ONNX Runtime lets it.

use std::sync::Arc;

use ort::operator::{BoxedKernel, ComputeContext, KernelContext};
use polylora_kernels::lora::{Projection, batched_lora as add_adapters};

use super::{ExecutorState, MODULES, OrtThreads, attribute, required};

pub fn batched_lora<'a>(
    context: &KernelContext<'a>,
    state: &Arc<ExecutorState>,
) -> ort::Result<BoxedKernel<'a>> {
    let layer = attribute(context, "layer")?;
    let projections = projections(context)?;
    let state = state.clone();
    Ok(Box::new(move |context: &ComputeContext| {
        let (x, base) = (required(context, 0)?, required(context, 1)?);
        let (x_shape, x) = x.try_extract_tensor::<f32>()?;
        let k = x_shape[1] as usize;
        let (shape, source) = {
            let (shape, base) = base.try_extract_tensor::<f32>()?;
            (shape.to_vec(), base.as_ptr())
        };
        let n = shape[1] as usize;
        let mut out = context.output(0, shape)?.ok_or_else(|| ort::Error::new("no output"))?;
        let (_, out) = out.try_extract_tensor_mut::<f32>()?;
        if !std::ptr::eq(source, out.as_ptr()) {
            // SAFETY: another buffer of the same shape, alive as long as `base`.
            out.copy_from_slice(unsafe { std::slice::from_raw_parts(source, out.len()) });
        }
        let step = state.step.read().expect("no operator panicked before");
        let threads = OrtThreads { context, threads: state.threads };
        add_adapters(x, k, out, n, layer, &projections, &step, &state.pool, state.variant, &threads);
        Ok(())
    }))
}

fn projections(context: &KernelContext<'_>) -> ort::Result<Vec<Projection>> {
    let missing = |name| ort::Error::new(format!("operator attribute {name} is missing"));
    let names: String = context.get("modules").ok_or_else(|| missing("modules"))?;
    let widths: Vec<i64> = context.get("widths").ok_or_else(|| missing("widths"))?;
    let mut column = 0;
    let mut projections = Vec::new();
    for (name, width) in names.split(',').zip(&widths) {
        let module = MODULES.iter().position(|known| *known == name);
        let module = module.ok_or_else(|| ort::Error::new(format!("unknown module {name}")))?;
        projections.push(Projection { module, column, width: *width as usize });
        column += *width as usize;
    }
    Ok(projections)
}
