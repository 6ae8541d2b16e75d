//! Runs a text encoder's graph: the napi face of ONNX Runtime for embedding models.

use std::sync::Arc;

use napi::bindgen_prelude::{
    AsyncTask, Env, Error, Float32Array, Result, Status, Task, Uint8Array, Uint32Array,
};
use napi_derive::napi;
use ort::session::Session;
use ort::value::Tensor;
use polylora_kernels::pooling::{Pooling, pool};
use polylora_kernels::team::Team;

use crate::comparison::TokenComparison;
use crate::operators::{Compute, encoder_domain};
use crate::ort_session::session_builder;

#[napi(object)]
pub struct EncoderOptions {
    /// Path of ONNX Runtime's shared library.
    pub ort_library: String,
    /// Path of the ONNX graph; its weights lie beside it.
    pub graph: String,
    pub threads: u32,
    /// How a text's vector is made of its tokens' states: `mean` or `cls`.
    pub pooling: String,
}

/// What is made of texts beside their vectors.
#[napi(object)]
pub struct EncodedParts {
    /// The tokens' states after the first layers.
    pub states: bool,
    /// What is kept of each text to compare it, where networks for that are given.
    pub signatures: bool,
}

/// What came of texts, one after the other.
#[napi(object)]
pub struct EncodedTexts {
    /// `[texts, width]`, each of length 1.
    pub vectors: Float32Array,
    /// `[tokens, width]`, after the first layers; null where they were not asked for.
    pub states: Option<Float32Array>,
    /// Of each text, null where it has no tokens but the ones that open and close it; null where they were not asked for.
    pub signatures: Option<Vec<Option<Uint8Array>>>,
}

/// An encoder that is ready to run.
#[napi]
pub struct Encoder {
    session: Session,
    compute: Arc<Compute>,
    pooling: Pooling,
}

#[napi]
impl Encoder {
    /// Loads the graph, off the JavaScript thread.
    #[napi(ts_return_type = "Promise<Encoder>")]
    pub fn open(options: EncoderOptions) -> AsyncTask<OpenEncoder> {
        AsyncTask::new(OpenEncoder(options))
    }

    /// Runs texts, whose token ids are given one after the other; `lengths` are their numbers of tokens. It takes the
    /// calling thread. Throws where there are no texts, not as many ids, a text has none or is too long, an id is unknown, or `comparison` is
    /// for states of another width. States stay on this side of the border where only signatures are asked for: they are
    /// thirty kilobytes for a question, and would have JavaScript's memory collected every second.
    #[napi]
    pub fn run(
        &mut self,
        ids: Uint32Array,
        lengths: Uint32Array,
        parts: EncodedParts,
        comparison: Option<&TokenComparison>,
    ) -> Result<EncodedTexts> {
        if lengths.is_empty() || lengths.contains(&0) {
            return Err(failure("no text, or one without tokens"));
        }
        let positions: Vec<i64> = lengths.iter().flat_map(|length| 0..i64::from(*length)).collect();
        if positions.len() != ids.len() {
            return Err(failure(format!("{} tokens of texts of {:?}", ids.len(), &*lengths)));
        }
        let tensor = |values: Vec<i64>| Tensor::from_array(([values.len()], values)).map_err(failure);
        let wide = |values: &[u32]| values.iter().map(|value| i64::from(*value)).collect();
        let inputs = ort::inputs![
            "input_ids" => tensor(wide(&ids))?,
            "positions" => tensor(positions)?,
            "lengths" => tensor(wide(&lengths))?,
        ];
        // Before and after, what is done is not shared out.
        let awake = self.compute.team.as_ref().map(Team::stay_awake);
        let outputs = self.session.run(inputs);
        drop(awake);
        let outputs = outputs.map_err(failure)?;
        let states = |name: &str| -> Result<&[f32]> {
            Ok(outputs[name].try_extract_tensor::<f32>().map_err(failure)?.1)
        };
        let (last, early) = (states("last_states")?, states("token_states")?);
        let width = last.len() / ids.len();
        let mut vectors = Vec::with_capacity(lengths.len() * width);
        let mut signatures = Vec::new();
        let mut begin = 0;
        for length in lengths.iter().map(|length| *length as usize) {
            let of_text = begin * width..(begin + length) * width;
            vectors.extend(pool(&last[of_text.clone()], width, self.pooling));
            if let (true, Some(comparison)) = (parts.signatures, comparison) {
                signatures.push(signature(comparison, &ids[begin..begin + length], &early[of_text], width)?);
            }
            begin += length;
        }
        Ok(EncodedTexts {
            vectors: vectors.into(),
            states: parts.states.then(|| early.to_vec().into()),
            signatures: (signatures.len() == lengths.len()).then_some(signatures),
        })
    }
}

/// Of a text's tokens but the first and the last, which only open and close it.
fn signature(
    comparison: &TokenComparison,
    ids: &[u32],
    states: &[f32],
    width: usize,
) -> Result<Option<Uint8Array>> {
    if ids.len() <= 2 {
        return Ok(None);
    }
    let inner = &states[width..states.len() - width];
    comparison.sign(&ids[1..ids.len() - 1], inner).map(|signature| Some(signature.into())).map_err(failure)
}

pub struct OpenEncoder(EncoderOptions);

impl Task for OpenEncoder {
    type Output = Encoder;
    type JsValue = Encoder;

    fn compute(&mut self) -> Result<Encoder> {
        let EncoderOptions { ort_library, graph, threads, pooling } = &self.0;
        let pooling = match pooling.as_str() {
            "mean" => Pooling::Mean,
            "cls" => Pooling::First,
            other => return Err(failure(format!("no pooling '{other}'"))),
        };
        let compute = Compute::with_team(*threads).map_err(failure)?;
        let session = open(ort_library, graph, &compute).map_err(failure)?;
        Ok(Encoder { session, compute, pooling })
    }

    fn resolve(&mut self, _: Env, encoder: Encoder) -> Result<Encoder> {
        Ok(encoder)
    }
}

fn open(library: &str, graph: &str, compute: &Arc<Compute>) -> ort::Result<Session> {
    session_builder(library, compute.threads)?
        .with_operators(encoder_domain(compute)?)?
        .commit_from_file(graph)
}

fn failure(reason: impl ToString) -> Error {
    Error::new(Status::GenericFailure, reason.to_string())
}
