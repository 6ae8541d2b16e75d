//! The custom operators of domain `polylora`: one struct describes them all, one file each family computes.

mod adapted_linear;
mod attention;
mod encoder_attention;
mod sample;
mod state;

use std::sync::Arc;
use std::time::Instant;

use ort::operator::{
    BoxedKernel, ComputeContext, Kernel as _, KernelContext, Operator, OperatorDomain, OperatorInput,
    OperatorOutput, ShapeInferenceContext,
};
use ort::value::{Shape, TensorElementType, ValueRef, ValueType};
use polylora_kernels::parallel::Parallel;
use polylora_kernels::team::Team;

use adapted_linear::LinearState;
pub use sample::{SampleJob, SampleOutcome};
pub use state::{BaseWeights, Compute, ExecutorState, Kernel};

/// The modules an adapter can change, in the order of their numbers; as `LORA_MODULES` in TypeScript.
pub const MODULES: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

type Factory<S> = for<'a> fn(&KernelContext<'a>, &S) -> ort::Result<BoxedKernel<'a>>;

/// What a node's time is counted under.
type KernelOf<S> = fn(&KernelContext<'_>, &S) -> Kernel;

/// Where an output's shape comes from.
enum OutputShape {
    /// The first input's, with this done to its last dimension by the attributes.
    Last(fn(&ShapeInferenceContext, i64) -> ort::Result<i64>),
    /// One value for each row of the first input.
    Rows,
}

/// An input that a node must have, or may leave out.
enum Input {
    Required(TensorElementType),
    Optional(TensorElementType),
}

/// An operator; `IN_PLACE` ones may write their output over their second input.
struct CustomOperator<S, const IN_PLACE: bool> {
    name: &'static str,
    inputs: &'static [Input],
    output: TensorElementType,
    shape: OutputShape,
    factory: Factory<S>,
    kernel: KernelOf<S>,
    state: S,
    compute: Arc<Compute>,
}

impl<S: Send + Sync + 'static, const IN_PLACE: bool> Operator for CustomOperator<S, IN_PLACE> {
    type Kernel<'attr> = BoxedKernel<'attr>;

    const INPLACES: &[(u32, u32)] = if IN_PLACE { &[(1, 0)] } else { &[] };

    fn name(&self) -> &str {
        self.name
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        self.inputs.iter().map(|input| match input {
            Input::Required(ty) => OperatorInput::required(*ty),
            Input::Optional(ty) => OperatorInput::optional(*ty),
        })
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(self.output)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<BoxedKernel<'attr>> {
        let mut kernel = (self.factory)(context, &self.state)?;
        let counted = (self.kernel)(context, &self.state);
        let compute = self.compute.clone();
        Ok(Box::new(move |context: &ComputeContext| {
            let started = Instant::now();
            let outcome = kernel.compute(context);
            compute.kernel_times.add(counted, started.elapsed());
            outcome
        }))
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        let inputs = context.inputs();
        let ValueType::Tensor { shape, dimension_symbols, .. } = &inputs[0] else {
            return Ok(());
        };
        let mut dimensions = shape.to_vec();
        let mut symbols = dimension_symbols.clone();
        let Some(last) = dimensions.last_mut() else {
            return Ok(());
        };
        match &self.shape {
            OutputShape::Last(change) => *last = change(context, *last)?,
            OutputShape::Rows => {
                dimensions.pop();
                symbols = symbols.iter().take(dimensions.len()).cloned().collect();
            }
        }
        let output =
            ValueType::Tensor { ty: self.output, shape: Shape::new(dimensions), dimension_symbols: symbols };
        context.set_output(0, &output)
    }
}

const DOMAIN: &str = "polylora";

/// A decoder's operators, sharing `state`.
pub fn decoder_domain(state: &Arc<ExecutorState>) -> ort::Result<OperatorDomain> {
    use Input::{Optional, Required};
    use TensorElementType::{Float32, Int64};
    let compute = &state.compute;
    let linear = LinearState { compute: compute.clone(), decoder: Some(state.clone()) };
    linears(OperatorDomain::new(DOMAIN)?, &linear)?
        .add(operator::<_, false>(
            (state, compute),
            "PagedAttention",
            &[Required(Float32), Optional(Float32), Optional(Float32)],
            OutputShape::Last(|context, _| {
                Ok(context.attr::<i64>("heads")? * context.attr::<i64>("head_dim")?)
            }),
            attention::paged_attention,
            |_, _| Kernel::Attention,
        ))?
        .add(CustomOperator {
            output: Int64,
            ..operator::<_, false>(
                (state, compute),
                "Sample",
                &[Required(Float32)],
                OutputShape::Rows,
                sample::sample,
                |_, _| Kernel::Sampling,
            )
        })
}

/// An encoder's operators.
pub fn encoder_domain(compute: &Arc<Compute>) -> ort::Result<OperatorDomain> {
    use Input::Required;
    use TensorElementType::{Float32, Int64};
    let linear = LinearState { compute: compute.clone(), decoder: None };
    linears(OperatorDomain::new(DOMAIN)?, &linear)?.add(operator::<_, false>(
        (compute, compute),
        "EncoderAttention",
        &[Required(Float32), Required(Int64)],
        OutputShape::Last(|context, _| Ok(context.attr::<i64>("heads")? * context.attr::<i64>("head_dim")?)),
        encoder_attention::encoder_attention,
        |_, _| Kernel::Attention,
    ))
}

/// The linear layers that every model has.
fn linears(domain: OperatorDomain, state: &LinearState) -> ort::Result<OperatorDomain> {
    use Input::{Optional, Required};
    use TensorElementType::{Float32, Uint8};
    use adapted_linear::out_width;
    domain
        .add(operator::<_, true>(
            (state, &state.compute),
            "QuantizedLinear",
            &[
                Required(Float32),
                Optional(Float32),
                Required(Uint8),
                Required(Float32),
                Optional(Float32),
                Optional(Float32),
            ],
            OutputShape::Last(|context, _| out_width(context)),
            adapted_linear::quantized_linear,
            adapted_linear::kernel,
        ))?
        .add(operator::<_, true>(
            (state, &state.compute),
            "Linear",
            &[Required(Float32), Optional(Float32), Required(Float32), Optional(Float32), Optional(Float32)],
            OutputShape::Last(|context, _| out_width(context)),
            adapted_linear::linear,
            adapted_linear::kernel,
        ))
}

/// An operator whose output is float32.
fn operator<S: Clone, const IN_PLACE: bool>(
    (state, compute): (&S, &Arc<Compute>),
    name: &'static str,
    inputs: &'static [Input],
    shape: OutputShape,
    factory: Factory<S>,
    kernel: KernelOf<S>,
) -> CustomOperator<S, IN_PLACE> {
    let (state, compute) = (state.clone(), compute.clone());
    CustomOperator {
        name,
        inputs,
        output: TensorElementType::Float32,
        shape,
        factory,
        kernel,
        state,
        compute,
    }
}

/// The operators' own team, or ONNX Runtime's thread pool.
struct OperatorThreads<'a> {
    context: &'a ComputeContext,
    compute: &'a Compute,
}

// SAFETY: `KernelContext_ParallelFor` may be called from the thread that runs the kernel, which is the only one
// that calls `for_each`; the pointer inside is not otherwise used by other threads.
unsafe impl Sync for OperatorThreads<'_> {}

// SAFETY: `KernelContext_ParallelFor` calls back once for each index and returns when all calls have; so do a
// team and the loop.
unsafe impl Parallel for OperatorThreads<'_> {
    fn for_each(&self, items: usize, work: &(dyn Fn(usize) + Sync)) {
        if let Some(team) = &self.compute.team {
            team.for_each(items, work);
        } else if items <= 1 || self.compute.threads <= 1 {
            (0..items).for_each(work);
        } else {
            self.context.par_for(items, 0, work).expect("ONNX Runtime runs the parallel loop");
        }
    }

    fn threads(&self) -> usize {
        self.compute.team.as_ref().map_or(self.compute.threads, Team::threads)
    }
}

fn required<'a>(context: &'a ComputeContext, index: usize) -> ort::Result<ValueRef<'a>> {
    context.input(index)?.ok_or_else(|| ort::Error::new(format!("operator input {index} is missing")))
}

/// An input that the node may leave out.
fn optional<'a>(context: &'a ComputeContext, index: usize) -> ort::Result<Option<ValueRef<'a>>> {
    if index < context.num_inputs()? { context.input(index) } else { Ok(None) }
}

fn attribute(context: &KernelContext<'_>, name: &str) -> ort::Result<usize> {
    let value: i64 =
        context.get(name).ok_or_else(|| ort::Error::new(format!("operator attribute {name} is missing")))?;
    usize::try_from(value).map_err(|_| ort::Error::new(format!("operator attribute {name} is negative")))
}

fn float_attribute(context: &KernelContext<'_>, name: &str) -> ort::Result<f32> {
    context.get(name).ok_or_else(|| ort::Error::new(format!("operator attribute {name} is missing")))
}
