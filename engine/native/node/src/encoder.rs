//! Runs a text encoder's graph: the napi face of ONNX Runtime for embedding models.

use napi::bindgen_prelude::{AsyncTask, Env, Error, Float32Array, Result, Status, Task, Uint32Array};
use napi_derive::napi;
use ort::session::Session;
use ort::value::Tensor;

use crate::operators::{Compute, encoder_domain};
use crate::ort_session::session_builder;

#[napi(object)]
pub struct EncoderOptions {
    /// Path of ONNX Runtime's shared library.
    pub ort_library: String,
    /// Path of the ONNX graph; its weights lie beside it.
    pub graph: String,
    pub threads: u32,
}

/// The states of all texts' tokens, `[tokens, width]`, one text after the other.
#[napi(object)]
pub struct EncodedTokens {
    /// After all layers.
    pub last: Float32Array,
    /// After the first ones; null where they were not asked for.
    pub early: Option<Float32Array>,
}

/// An encoder that is ready to run.
#[napi]
pub struct Encoder(Session);

#[napi]
impl Encoder {
    /// Loads the graph, off the JavaScript thread.
    #[napi(ts_return_type = "Promise<Encoder>")]
    pub fn open(options: EncoderOptions) -> AsyncTask<OpenEncoder> {
        AsyncTask::new(OpenEncoder(options))
    }

    /// Runs texts, whose token ids are given one after the other; `lengths` are their numbers of tokens. It takes the
    /// calling thread. Throws where there are not as many ids, a text has none or is too long, or an id is unknown.
    #[napi]
    pub fn run(&mut self, ids: Uint32Array, lengths: Uint32Array, early: bool) -> Result<EncodedTokens> {
        if lengths.contains(&0) {
            return Err(failure("a text without tokens"));
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
        let outputs = self.0.run(inputs).map_err(failure)?;
        let states = |name: &str| -> Result<Float32Array> {
            Ok(outputs[name].try_extract_tensor::<f32>().map_err(failure)?.1.to_vec().into())
        };
        Ok(EncodedTokens {
            last: states("last_states")?,
            early: if early { Some(states("token_states")?) } else { None },
        })
    }
}

pub struct OpenEncoder(EncoderOptions);

impl Task for OpenEncoder {
    type Output = Session;
    type JsValue = Encoder;

    fn compute(&mut self) -> Result<Session> {
        let EncoderOptions { ort_library, graph, threads } = &self.0;
        let compute = Compute::new(*threads).map_err(failure)?;
        open(ort_library, graph, &compute).map_err(failure)
    }

    fn resolve(&mut self, _: Env, session: Session) -> Result<Encoder> {
        Ok(Encoder(session))
    }
}

fn open(library: &str, graph: &str, compute: &std::sync::Arc<Compute>) -> ort::Result<Session> {
    session_builder(library, compute.threads)?
        // A text has a hundred short operators, at each of which another thread would have to be woken; between texts it sleeps.
        .with_intra_op_spinning(true)?
        .with_config_entry("session.force_spinning_stop", "1")?
        .with_operators(encoder_domain(compute)?)?
        .commit_from_file(graph)
}

fn failure(reason: impl ToString) -> Error {
    Error::new(Status::GenericFailure, reason.to_string())
}
