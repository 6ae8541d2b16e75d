//! `QuantizedLinear` and `Linear`: a linear layer with norm, adapters and epilogue, with weights in eight bits or floats. The
//! result may lie over the second input, which it is then added to.

use std::sync::Arc;

use ort::operator::{BoxedKernel, ComputeContext, KernelContext, ShapeInferenceContext};
use ort::value::{PrimitiveTensorElementType, ValueRef};
use polylora_kernels::adapted_linear::{AdaptedLinear, Adapters, Epilogue, Norm, Weights};
use polylora_kernels::linear::Linear;
use polylora_kernels::quantized_linear::{QuantizedLinear, panels};
use polylora_kernels::step::RowOrder;

use super::state::Constant;
use super::{
    Compute, ExecutorState, Kernel, MODULES, OperatorThreads, attribute, float_attribute, optional, required,
};

/// What linear layers share.
#[derive(Clone)]
pub struct LinearState {
    pub compute: Arc<Compute>,
    /// Where layers may have adapters.
    pub decoder: Option<Arc<ExecutorState>>,
}

/// `x`, `residual`?, `codes`, `scales`, `norm`?, `bias`? with attributes `widths`, `k`, `group`, `epsilon`,
/// `epilogue`, and for adapters `layer` and `modules`.
pub fn quantized_linear<'a>(
    context: &KernelContext<'a>,
    state: &LinearState,
) -> ort::Result<BoxedKernel<'a>> {
    let layer = Layer::new(context, state)?;
    let group = attribute(context, "group")?;
    let k = layer.k.next_multiple_of(group);
    let (codes, scales) = (context.constant_input(2)?, context.constant_input(3)?);
    layer.remember(Constant::Int8 {
        codes: constant::<u8>(&codes)?,
        scales: constant::<f32>(&scales)?,
        panels: layer.panels(),
        k,
        group,
    });
    Ok(Box::new(move |context: &ComputeContext| {
        let (codes, scales) = (required(context, 2)?, required(context, 3)?);
        let weights = QuantizedLinear {
            codes: codes.try_extract_tensor::<u8>()?.1,
            scales: scales.try_extract_tensor::<f32>()?.1,
            panels: layer.panels(),
            k,
            group,
        };
        layer.run(context, Weights::Int8(weights), 4)
    }))
}

/// As [`quantized_linear`] with one input of float weights in place of codes and scales.
pub fn linear<'a>(context: &KernelContext<'a>, state: &LinearState) -> ort::Result<BoxedKernel<'a>> {
    let layer = Layer::new(context, state)?;
    let weights = context.constant_input(2)?;
    layer.remember(Constant::Float {
        weights: constant::<f32>(&weights)?,
        panels: layer.panels(),
        k: layer.k,
    });
    Ok(Box::new(move |context: &ComputeContext| {
        let weights = required(context, 2)?;
        let weights =
            Linear { weights: weights.try_extract_tensor::<f32>()?.1, panels: layer.panels(), k: layer.k };
        layer.run(context, Weights::Float(weights), 3)
    }))
}

/// A decoder's only linear layer that no adapter can change makes its logits.
pub fn kernel(context: &KernelContext<'_>, state: &LinearState) -> Kernel {
    let modules: Option<String> = context.get("modules");
    if state.decoder.is_none() || modules.is_some() { Kernel::Projections } else { Kernel::Head }
}

/// Columns of the output, as a shape inference finds them.
pub fn out_width(context: &ShapeInferenceContext) -> ort::Result<i64> {
    let widths: Vec<i64> = context.attr("widths")?;
    let epilogue: String = context.attr("epilogue")?;
    Ok(if epilogue == "swiglu" { widths[0] } else { widths.iter().sum() })
}

/// What a node's attributes say.
struct Layer {
    compute: Arc<Compute>,
    k: usize,
    widths: Vec<usize>,
    epilogue: Epilogue,
    epsilon: f32,
    adapters: Option<AdaptedLayer>,
}

/// A layer that may have adapters.
struct AdaptedLayer {
    state: Arc<ExecutorState>,
    layer: usize,
    /// The module that each projection is.
    modules: Vec<usize>,
}

impl Layer {
    fn new(context: &KernelContext<'_>, state: &LinearState) -> ort::Result<Self> {
        let missing = |name| ort::Error::new(format!("operator attribute {name} is missing"));
        let widths: Vec<i64> = context.get("widths").ok_or_else(|| missing("widths"))?;
        let epilogue: String = context.get("epilogue").ok_or_else(|| missing("epilogue"))?;
        let modules: Option<String> = context.get("modules");
        let adapters = match modules {
            None => None,
            Some(names) => Some(AdaptedLayer {
                state: state.decoder.clone().ok_or_else(|| ort::Error::new("only decoders have adapters"))?,
                layer: attribute(context, "layer")?,
                modules: module_numbers(&names)?,
            }),
        };
        Ok(Self {
            compute: state.compute.clone(),
            k: attribute(context, "k")?,
            widths: widths.into_iter().map(|width| width as usize).collect(),
            epilogue: match epilogue.as_str() {
                "store" => Epilogue::Store,
                "add" => Epilogue::Add,
                "swiglu" => Epilogue::SwiGlu,
                "gelu" => Epilogue::Gelu,
                other => return Err(ort::Error::new(format!("unknown epilogue {other}"))),
            },
            epsilon: float_attribute(context, "epsilon")?,
            adapters,
        })
    }

    /// Lets adapters that depend on the base model's weights find them.
    fn remember(&self, weights: Constant) {
        let Some(AdaptedLayer { state, layer, modules }) = &self.adapters else { return };
        let mut first = 0;
        for (module, width) in modules.iter().zip(&self.widths) {
            // SAFETY: the state is used for loading adapters only while the session lives; see `executor.rs`.
            unsafe { state.base.set(*layer, *module, weights, first, *width) };
            first += panels(*width);
        }
    }

    fn panels(&self) -> usize {
        self.widths.iter().map(|width| panels(*width)).sum()
    }

    /// Computes; inputs `first_optional` and the next are norm and bias.
    fn run(&self, context: &ComputeContext, weights: Weights<'_>, first_optional: usize) -> ort::Result<()> {
        let x = required(context, 0)?;
        let (_, x) = x.try_extract_tensor::<f32>()?;
        let (norm, bias) = (optional(context, first_optional)?, optional(context, first_optional + 1)?);
        let adapters = self.adapters.as_ref().map(|AdaptedLayer { state, layer, modules }| Adapters {
            layer: *layer,
            modules,
            pool: &state.pool,
        });
        let layer = AdaptedLinear {
            k: self.k,
            widths: &self.widths,
            weights,
            bias: floats(&bias)?,
            norm: floats(&norm)?.map(|weight| Norm { weight, epsilon: self.epsilon }),
            adapters,
            epilogue: self.epilogue,
        };
        let rows = x.len() / self.k;
        let mut output =
            context.output(0, [rows, layer.out_width()])?.ok_or_else(|| ort::Error::new("no output"))?;
        let (_, out) = output.try_extract_tensor_mut::<f32>()?;
        if self.epilogue == Epilogue::Add {
            start_from(&required(context, 1)?, out)?;
        }
        let step = self.adapters.as_ref().map(|adapted| adapted.state.step.read());
        let step = step.transpose().expect("no operator panicked before");
        let plain;
        let order = match &step {
            Some(step) => step.order(),
            None => {
                plain = RowOrder::plain(rows);
                &plain
            }
        };
        let threads = OperatorThreads { context, compute: &self.compute };
        let mut scratch = self.compute.scratch.lock().expect("no operator panicked before");
        layer.forward(x, order, out, &mut scratch.linear, self.compute.variant, &threads);
        Ok(())
    }
}

/// Puts the residual into the output, where ONNX Runtime has not laid them over each other.
fn start_from(residual: &ValueRef<'_>, out: &mut [f32]) -> ort::Result<()> {
    let (length, source) = {
        let (_, residual) = residual.try_extract_tensor::<f32>()?;
        (residual.len(), residual.as_ptr())
    };
    if length != out.len() {
        return Err(ort::Error::new(format!("a residual of {length} values for {}", out.len())));
    }
    if !std::ptr::eq(source, out.as_ptr()) {
        // SAFETY: another buffer of the same length, alive as long as `residual`.
        out.copy_from_slice(unsafe { std::slice::from_raw_parts(source, length) });
    }
    Ok(())
}

fn constant<T: PrimitiveTensorElementType>(value: &ValueRef<'_>) -> ort::Result<*const [T]> {
    Ok(std::ptr::from_ref(value.try_extract_tensor::<T>()?.1))
}

fn module_numbers(names: &str) -> ort::Result<Vec<usize>> {
    let number = |name: &str| MODULES.iter().position(|known| *known == name);
    let unknown = |name| ort::Error::new(format!("unknown module {name}"));
    names.split(',').map(|name| number(name).ok_or_else(|| unknown(name))).collect()
}

fn floats<'a>(input: &'a Option<ValueRef<'_>>) -> ort::Result<Option<&'a [f32]>> {
    input.as_ref().map(|input| Ok(input.try_extract_tensor::<f32>()?.1)).transpose()
}
