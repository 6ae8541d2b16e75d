//! Runs a model's graph step by step: the napi face of ONNX Runtime, the page pool and the samplers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::{Duration, Instant};

use napi::bindgen_prelude::{
    AsyncTask, Env, Error, Float32Array, Int32Array, Result, Status, Task, Uint32Array,
};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use ort::session::Session;
use ort::value::Tensor;
use polylora_kernels::adapter::ResidentAdapter;
use polylora_kernels::drafting::{DraftLimits, Drafter};
use polylora_kernels::lora::LoraDtype;
use polylora_kernels::pool::PagePool;
use polylora_kernels::sampling::{Sampler, SamplerParams};
use polylora_kernels::step::{SequenceInput, Step};

use crate::adapter::{self, AdapterModule, Place, Target};
use crate::grammar::{Chooser, JsCursor, MaskStats, Masks};
use crate::operators::{
    BaseWeights, Compute, ExecutorState, Kernel, SampleJob, SampleOutcome, decoder_domain,
};
use crate::ort_session::session_builder;

/// Numbers for each sequence in [`RunInput::sequences`].
const SEQUENCE_FIELDS: usize = 5;

fn failure(reason: impl ToString) -> Error {
    Error::new(Status::GenericFailure, reason.to_string())
}

#[napi(object)]
#[derive(Clone)]
pub struct ExecutorOptions {
    /// Path of ONNX Runtime's shared library.
    pub ort_library: String,
    /// Path of the ONNX graph; its weights lie beside it.
    pub graph: String,
    pub threads: u32,
    pub page_bytes: u32,
    pub pages: u32,
    /// What keys and values are kept as: `f16` or `int8`.
    pub kv_cache_dtype: String,
    pub layers: u32,
    pub vocab_size: u32,
    /// How adapters lie in the pool: `f16` or `int8`.
    pub lora_dtype: String,
}

/// As `SamplingParams` in TypeScript, with the stop tokens resolved.
#[napi(object)]
pub struct SamplerOptions {
    pub temperature: f64,
    pub top_p: f64,
    pub top_k: u32,
    pub min_p: f64,
    pub presence_penalty: f64,
    pub frequency_penalty: f64,
    pub repetition_penalty: f64,
    pub bias_tokens: Vec<u32>,
    pub bias_values: Vec<f64>,
    /// An unsigned integer below 2⁵³.
    pub seed: i64,
    pub min_tokens: u32,
    /// Never chosen before `minTokens` others.
    pub suppressed_until_min: Vec<u32>,
    pub logprobs: Option<u32>,
}

/// A batch to run, for one step or several. Rows follow the order of the sequences.
#[napi(object)]
pub struct RunInput {
    /// A token for each row.
    pub input_ids: Int32Array,
    /// Five numbers for each sequence: rows, tokens before them, adapter slot or -1, number of blocks, and the most tokens
    /// that may be computed for it in this run.
    pub sequences: Int32Array,
    /// The sequences' block tables, one after the other: page numbers.
    pub blocks: Uint32Array,
    /// Four numbers for each row of logits that is wanted: row; sampler to choose the next token, or -1;
    /// without one, the token to score and how many alternatives to report.
    pub samples: Int32Array,
    /// Sequences, in order, whose last row's hidden state is wanted, multiplied by the last norm's weight.
    pub pooled: Uint32Array,
    /// The most steps to run. After each but the last, every sequence's new token becomes its next input, so more than
    /// one takes a single row and sampler for each sequence, in order. A run ends earlier when a sequence has as many tokens as it
    /// may have.
    pub steps: u32,
    /// For each sequence, how many tokens may be drafted after a match of each length that is told apart; empty: none at all.
    /// Drafted for are sequences with a single row that is sampled.
    pub drafts: Uint32Array,
    /// The most tokens that are drafted in a step, over all sequences.
    pub most_drafts: u32,
}

/// How a run ended.
#[napi(object)]
pub struct RunOutput {
    /// Steps that `onStep` was called for, or will be.
    pub steps: u32,
    /// What was wrong with the step after them, if anything.
    pub failure: Option<String>,
}

/// What came of a step, in the order of `samples`.
#[napi(object)]
pub struct StepOutput {
    /// How many tokens each sample brought: one, and one more for each draft that was right.
    pub counts: Int32Array,
    /// How many tokens were drafted for each sample.
    pub drafted: Int32Array,
    /// Below 0 where there is none: -1 when the row's logits were not finite, -2 when nothing that the request's grammar allows
    /// has a probability above 0, -3 when its grammar became too complex.
    pub tokens: Int32Array,
    /// For each token the length of the match that foretold it, negative where that was another token; 0: nothing was foretold.
    pub matches: Int32Array,
    pub logprobs: Float32Array,
    /// How many entries of `topIds` and `topLogprobs` belong to each token.
    pub top_counts: Int32Array,
    pub top_ids: Int32Array,
    pub top_logprobs: Float32Array,
    /// The hidden states of the `pooled` sequences, one after the other.
    pub pooled: Float32Array,
    /// Time in the graph.
    pub seconds: f64,
    /// Of that, time in our operators, by kernel: the rest is ONNX Runtime's and the step's own.
    pub projection_seconds: f64,
    pub attention_seconds: f64,
    pub head_seconds: f64,
    pub sampling_seconds: f64,
}

struct Inner {
    session: Mutex<Session>,
    state: Arc<ExecutorState>,
    layers: usize,
    vocab_size: usize,
    lora_dtype: LoraDtype,
    adapters: RwLock<HashMap<u32, Arc<ResidentAdapter>>>,
    samplers: RwLock<HashMap<u32, Arc<Chooser>>>,
    masks: Arc<Masks>,
    /// For the samplers of sequences that may be drafted for.
    drafters: RwLock<HashMap<u32, Arc<Mutex<Drafter>>>>,
    on_step: OnceLock<OnStep>,
    interrupted: AtomicBool,
}

/// JavaScript's function for the output of each step. It does not keep the process alive.
type OnStep = ThreadsafeFunction<StepOutput, (), StepOutput, Status, false, true>;

/// A model that is ready to run.
#[napi]
pub struct Executor {
    inner: Arc<Inner>,
}

#[napi]
impl Executor {
    /// Loads the graph and allocates the page pool, off the JavaScript thread.
    #[napi(ts_return_type = "Promise<Executor>")]
    pub fn open(options: ExecutorOptions) -> AsyncTask<OpenTask> {
        AsyncTask::new(OpenTask(options))
    }

    /// Reads an adapter into its pages. `places` holds page, byte offset and a count (of ranks, of sparse panels, 1 for a
    /// vector) of each part, in the order of the modules. Rejects when the file or a value in it is unusable; the slot is then still free.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn load_adapter(
        &self,
        slot: u32,
        files: Vec<String>,
        modules: Vec<AdapterModule>,
        places: Uint32Array,
    ) -> AsyncTask<LoadTask> {
        let place = |fields: &[u32]| Place { page: fields[0], offset: fields[1], count: fields[2] };
        let places = places.chunks_exact(3).map(place).collect();
        AsyncTask::new(LoadTask { inner: self.inner.clone(), slot, files, modules, places })
    }

    /// Forgets an adapter, whose pages may be reused once no step that reads it is running.
    #[napi]
    pub fn unload_adapter(&self, slot: u32) {
        self.inner.adapters.write().expect("no writer panicked").remove(&slot);
    }

    /// Watches a sampler's tokens for what they foretell: the sequence may then be drafted for. To be called before its first
    /// token is sampled.
    #[napi]
    pub fn add_drafter(&self, handle: u32, prompt: Uint32Array) {
        let mut drafters = self.inner.drafters.write().expect("no writer panicked");
        drafters.insert(handle, Arc::new(Mutex::new(Drafter::new(&prompt))));
    }

    /// Makes a sampler for a request whose prompt is given, and whose answer keeps to a grammar from `cursor` on, if given.
    #[napi]
    pub fn add_sampler(
        &self,
        handle: u32,
        options: SamplerOptions,
        prompt: Uint32Array,
        cursor: Option<&JsCursor>,
    ) -> Result<()> {
        let biases = options.bias_tokens.iter().copied();
        let params = SamplerParams {
            temperature: options.temperature as f32,
            top_p: options.top_p as f32,
            top_k: options.top_k,
            min_p: options.min_p as f32,
            presence_penalty: options.presence_penalty as f32,
            frequency_penalty: options.frequency_penalty as f32,
            repetition_penalty: options.repetition_penalty as f32,
            logit_bias: biases.zip(options.bias_values.iter().map(|value| *value as f32)).collect(),
            seed: options.seed as u64,
            min_tokens: options.min_tokens,
            suppressed_until_min: options.suppressed_until_min,
            logprobs: options.logprobs,
        };
        let sampler = Sampler::new(params, &prompt, self.inner.vocab_size);
        let constraint = match cursor {
            Some(cursor) => Some((cursor.take()?, self.inner.masks.clone())),
            None => None,
        };
        let chooser = Arc::new(Chooser::new(sampler, constraint));
        self.inner.samplers.write().expect("no writer panicked").insert(handle, chooser);
        Ok(())
    }

    /// The instruction set that it computes with.
    #[napi(getter)]
    pub fn simd(&self) -> String {
        self.inner.state.compute.variant.name().to_owned()
    }

    /// Threads that it computes with.
    #[napi(getter)]
    pub fn threads(&self) -> u32 {
        self.inner.state.compute.threads as u32
    }

    /// What the masks of grammars have taken.
    #[napi]
    pub fn mask_stats(&self) -> MaskStats {
        self.inner.masks.stats()
    }

    #[napi]
    pub fn remove_sampler(&self, handle: u32) {
        self.inner.samplers.write().expect("no writer panicked").remove(&handle);
        self.inner.drafters.write().expect("no writer panicked").remove(&handle);
    }

    /// Sets what is called with the output of every step. To be called once, before the first run.
    #[napi(ts_args_type = "callback: (output: StepOutput) => void")]
    pub fn on_step(&self, callback: OnStep) -> Result<()> {
        self.inner.on_step.set(callback).map_err(|_| failure("onStep was called before"))
    }

    /// Runs a batch off the JavaScript thread, step after step without waiting for it. One run at a time.
    #[napi(ts_return_type = "Promise<RunOutput>")]
    pub fn run(&self, input: RunInput) -> AsyncTask<RunTask> {
        self.inner.interrupted.store(false, Ordering::Relaxed);
        AsyncTask::new(RunTask {
            inner: self.inner.clone(),
            input_ids: input.input_ids.to_vec(),
            sequences: input.sequences.to_vec(),
            blocks: input.blocks.to_vec(),
            samples: input.samples.to_vec(),
            pooled: input.pooled.to_vec(),
            steps: input.steps,
            drafts: DraftLimits::new(&input.drafts, input.most_drafts),
        })
    }

    /// Makes a run end after the step that is being computed.
    #[napi]
    pub fn interrupt(&self) {
        self.inner.interrupted.store(true, Ordering::Relaxed);
    }
}

pub struct OpenTask(ExecutorOptions);

impl Task for OpenTask {
    type Output = Opened;
    type JsValue = Executor;

    fn compute(&mut self) -> Result<Self::Output> {
        let options = &self.0;
        let state = Arc::new(ExecutorState {
            compute: Compute::new(options.threads).map_err(failure)?,
            pool: PagePool::new(options.page_bytes as usize, options.pages as usize).map_err(failure)?,
            kv_dtype: options.kv_cache_dtype.parse().map_err(failure)?,
            inverse_frequencies: OnceLock::new(),
            base: BaseWeights::default(),
            step: RwLock::default(),
            sampling: Mutex::default(),
        });
        let session = open_session(options, &state).map_err(failure)?;
        Ok(Opened(Arc::new(Inner {
            session: Mutex::new(session),
            state,
            layers: options.layers as usize,
            vocab_size: options.vocab_size as usize,
            lora_dtype: lora_dtype(&options.lora_dtype).map_err(failure)?,
            adapters: RwLock::default(),
            samplers: RwLock::default(),
            masks: Arc::new(Masks::new()),
            drafters: RwLock::default(),
            on_step: OnceLock::new(),
            interrupted: AtomicBool::new(false),
        })))
    }

    fn resolve(&mut self, _: Env, output: Self::Output) -> Result<Executor> {
        Ok(Executor { inner: output.0 })
    }
}

fn lora_dtype(name: &str) -> std::result::Result<LoraDtype, String> {
    match name {
        "f16" => Ok(LoraDtype::F16),
        "int8" => Ok(LoraDtype::Int8),
        other => Err(format!("loraDtype {other} is neither f16 nor int8")),
    }
}

/// Keeps `Inner` out of the public interface.
pub struct Opened(Arc<Inner>);

fn open_session(options: &ExecutorOptions, state: &Arc<ExecutorState>) -> ort::Result<Session> {
    session_builder(&options.ort_library, state.compute.threads)?
        .with_operators(decoder_domain(state)?)?
        .commit_from_file(&options.graph)
}

pub struct LoadTask {
    inner: Arc<Inner>,
    slot: u32,
    files: Vec<String>,
    modules: Vec<AdapterModule>,
    places: Vec<Place>,
}

impl Task for LoadTask {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        let inner = &self.inner;
        let state = &inner.state;
        let target = Target {
            pool: &state.pool,
            layers: inner.layers,
            dtype: inner.lora_dtype,
            base: &state.base,
            variant: state.compute.variant,
        };
        let adapter = adapter::load(&target, &self.files, &self.modules, &self.places).map_err(failure)?;
        inner.adapters.write().expect("no writer panicked").insert(self.slot, Arc::new(adapter));
        Ok(())
    }

    fn resolve(&mut self, _: Env, (): ()) -> Result<()> {
        Ok(())
    }
}

pub struct RunTask {
    inner: Arc<Inner>,
    input_ids: Vec<i32>,
    sequences: Vec<i32>,
    blocks: Vec<u32>,
    samples: Vec<i32>,
    pooled: Vec<u32>,
    steps: u32,
    drafts: DraftLimits,
}

impl Task for RunTask {
    type Output = RunOutput;
    type JsValue = RunOutput;

    fn compute(&mut self) -> Result<Self::Output> {
        let inner = self.inner.clone();
        let mut session = inner.session.lock().expect("no step panicked");
        let on_step = inner.on_step.get().ok_or_else(|| failure("onStep was not called"))?;
        let mut steps = 0;
        loop {
            let output = match self.step(&mut session, steps) {
                Ok(output) => output,
                Err(error) => return Ok(RunOutput { steps, failure: Some(error.reason.clone()) }),
            };
            steps += 1;
            let more =
                steps < self.steps && !inner.interrupted.load(Ordering::Relaxed) && self.advance(&output);
            on_step.call(output, ThreadsafeFunctionCallMode::NonBlocking);
            if !more {
                return Ok(RunOutput { steps, failure: None });
            }
        }
    }

    fn resolve(&mut self, _: Env, output: Self::Output) -> Result<RunOutput> {
        Ok(output)
    }
}

/// What is computed of one sequence in a step: the rows that were asked for, then one for each drafted token.
struct Planned {
    /// Its sampler, where its rows are a single one and sampled.
    sampler: Option<u32>,
    drafts: Vec<u32>,
}

impl RunTask {
    /// Computes one step.
    fn step(&self, session: &mut Session, number: u32) -> Result<StepOutput> {
        let started = Instant::now();
        let state = &self.inner.state;
        let frequencies =
            state.inverse_frequencies.get().ok_or_else(|| failure("the graph has no attention"))?;
        let planned = self.plan(number)?;
        let step = Step::new(self.sequence_inputs(&planned)?, frequencies).map_err(failure)?;
        let ids = self.ids(&planned);
        if step.rows() != ids.len() {
            return Err(failure(format!("{} tokens for {} rows", ids.len(), step.rows())));
        }
        *state.step.write().expect("no operator panicked") = step;
        let (jobs, rows) = self.jobs(&planned)?;
        let drafted = jobs.iter().map(SampleJob::drafted).collect();
        state.sampling.lock().expect("no operator panicked").0 = jobs;
        let pooled = self.pooled_rows(&planned)?;
        let inputs = ort::inputs![
            "input_ids" => Tensor::from_array(([ids.len()], ids)).map_err(failure)?,
            "sample_rows" => Tensor::from_array(([rows.len()], rows)).map_err(failure)?,
            "pooled_rows" => Tensor::from_array(([pooled.len()], pooled)).map_err(failure)?,
        ];
        state.compute.kernel_times.reset();
        let outputs = session.run(inputs).map_err(failure)?;
        let (_, pooled) = outputs["pooled"].try_extract_tensor::<f32>().map_err(failure)?;
        let outcomes = std::mem::take(&mut state.sampling.lock().expect("no operator panicked").1);
        let matches = self.watch(&outcomes);
        Ok(step_output(outcomes, drafted, matches, pooled.to_vec(), started.elapsed(), &state.compute))
    }

    /// The last rows of the sequences whose hidden state is wanted.
    fn pooled_rows(&self, planned: &[Planned]) -> Result<Vec<i64>> {
        let mut wanted = self.pooled.iter().peekable();
        let mut rows = Vec::with_capacity(self.pooled.len());
        let mut end = 0;
        for (index, (fields, planned)) in
            self.sequences.chunks_exact(SEQUENCE_FIELDS).zip(planned).enumerate()
        {
            end += i64::from(fields[0]);
            if wanted.next_if(|wanted| **wanted as usize == index).is_some() {
                rows.push(end - 1);
            }
            end += planned.drafts.len() as i64;
        }
        match wanted.next() {
            None => Ok(rows),
            Some(sequence) => Err(failure(format!("sequence {sequence} cannot be pooled"))),
        }
    }

    /// What each sequence computes. Sequences take turns at the drafts where not all get some.
    fn plan(&self, number: u32) -> Result<Vec<Planned>> {
        let sequences: Vec<&[i32]> = self.sequences.chunks_exact(SEQUENCE_FIELDS).collect();
        let mut planned: Vec<Planned> =
            sequences.iter().map(|_| Planned { sampler: None, drafts: Vec::new() }).collect();
        let mut samples = self.samples.chunks_exact(4).peekable();
        let mut end = 0;
        for (fields, planned) in sequences.iter().zip(&mut planned) {
            end += fields[0];
            while let Some(sample) = samples.next_if(|sample| sample[0] < end) {
                planned.sampler = u32::try_from(sample[1]).ok().filter(|_| fields[0] == 1);
            }
        }
        let mut left = self.drafts.most;
        let drafters = self.inner.drafters.read().expect("no writer panicked");
        for offset in 0..sequences.len() {
            let index = (offset + number as usize) % sequences.len();
            let drafter = planned[index].sampler.and_then(|handle| drafters.get(&handle));
            let Some(drafter) = drafter.filter(|_| left > 0) else { continue };
            let drafter = drafter.lock().expect("no drafter panicked before");
            let &[_, context, _, _, limit] = sequences[index] else { unreachable!("chunks of five") };
            let room = limit.saturating_sub(context).saturating_sub(1).max(0) as usize;
            let most = self.drafts.after(index, drafter.matched()).min(room).min(left);
            planned[index].drafts = drafter.draft(most);
            left -= planned[index].drafts.len();
        }
        Ok(planned)
    }

    /// The step's tokens, drafts included.
    fn ids(&self, planned: &[Planned]) -> Vec<i64> {
        let mut own = self.input_ids.iter();
        let mut ids = Vec::with_capacity(self.input_ids.len());
        for (fields, planned) in self.sequences.chunks_exact(SEQUENCE_FIELDS).zip(planned) {
            ids.extend(own.by_ref().take(fields[0].max(0) as usize).map(|id| i64::from(*id)));
            ids.extend(planned.drafts.iter().map(|id| i64::from(*id)));
        }
        ids.extend(own.map(|id| i64::from(*id)));
        ids
    }

    /// Shows the drafters what was sampled. Returns what each had foretold; see [`StepOutput::matches`].
    fn watch(&self, outcomes: &[Vec<SampleOutcome>]) -> Vec<i32> {
        let drafters = self.inner.drafters.read().expect("no writer panicked");
        let mut matches = Vec::with_capacity(outcomes.len());
        for (sample, outcomes) in self.samples.chunks_exact(4).zip(outcomes) {
            let drafter = u32::try_from(sample[1]).ok().and_then(|handle| drafters.get(&handle));
            let mut drafter = drafter.map(|drafter| drafter.lock().expect("no drafter panicked before"));
            for outcome in outcomes {
                matches.push(match (&mut drafter, outcome) {
                    (Some(drafter), Ok(sampled)) => drafter.push(sampled.token),
                    _ => 0,
                });
            }
        }
        matches
    }

    /// Makes the tokens that a step chose the next one's input. False: there can be no next step.
    fn advance(&mut self, output: &StepOutput) -> bool {
        let decodes = self.sequences.chunks_exact(SEQUENCE_FIELDS).all(|fields| fields[0] == 1);
        if !decodes
            || output.counts.len() != self.input_ids.len()
            || output.tokens.iter().any(|token| *token < 0)
        {
            return false;
        }
        let mut end = 0;
        let mut fits = true;
        let sequences = self.sequences.chunks_exact_mut(SEQUENCE_FIELDS);
        for ((fields, input), count) in sequences.zip(&mut self.input_ids).zip(output.counts.iter()) {
            end += *count as usize;
            *input = output.tokens[end - 1];
            fields[1] += count;
            fits &= fields[1] < fields[4];
        }
        fits
    }

    fn sequence_inputs(&self, planned: &[Planned]) -> Result<Vec<SequenceInput>> {
        let adapters = self.inner.adapters.read().expect("no writer panicked");
        let mut blocks = self.blocks.as_slice();
        let mut inputs = Vec::with_capacity(planned.len());
        for (fields, planned) in self.sequences.chunks_exact(SEQUENCE_FIELDS).zip(planned) {
            let &[rows, context, slot, count, _] = fields else { unreachable!("chunks of five") };
            let count = count as usize;
            if rows < 0 || context < 0 || count > blocks.len() {
                return Err(failure("a sequence has a negative length or more blocks than were given"));
            }
            let (own, others) = blocks.split_at(count);
            blocks = others;
            let adapter = match u32::try_from(slot) {
                Err(_) => None,
                Ok(slot) => {
                    let adapter = adapters.get(&slot).cloned();
                    Some((slot, adapter.ok_or_else(|| failure(format!("adapter slot {slot} is empty")))?))
                }
            };
            let (rows, context) = (rows as usize + planned.drafts.len(), context as usize);
            inputs.push(SequenceInput { rows, context, blocks: own.to_vec(), adapter });
        }
        if let Some(page) = self.blocks.iter().find(|page| **page as usize >= self.inner.state.pool.pages()) {
            return Err(failure(format!("there is no page {page}")));
        }
        Ok(inputs)
    }

    /// The sampling jobs and the rows whose logits they need.
    fn jobs(&self, planned: &[Planned]) -> Result<(Vec<SampleJob>, Vec<i64>)> {
        let samplers = self.inner.samplers.read().expect("no writer panicked");
        let mut jobs = Vec::with_capacity(self.samples.len() / 4);
        let mut rows = Vec::with_capacity(self.samples.len() / 4);
        // The sequence that a sample's row belongs to, where its rows end, and the drafts before it.
        let mut sequences = self.sequences.chunks_exact(SEQUENCE_FIELDS).zip(planned).peekable();
        let (mut first, mut shift) = (0, 0);
        for fields in self.samples.chunks_exact(4) {
            let &[row, handle, target, top] = fields else { unreachable!("chunks of four") };
            if row < 0 || row as usize >= self.input_ids.len() {
                return Err(failure(format!("there is no row {row}")));
            }
            while let Some((fields, planned)) = sequences.next_if(|(fields, _)| row >= first + fields[0]) {
                first += fields[0];
                shift += planned.drafts.len() as i64;
            }
            let drafts = sequences.peek().map_or(&[][..], |(_, planned)| &planned.drafts);
            let row = i64::from(row) + shift;
            rows.extend(row..=row + drafts.len() as i64);
            jobs.push(match u32::try_from(handle) {
                Ok(handle) => SampleJob::Next {
                    chooser: samplers
                        .get(&handle)
                        .cloned()
                        .ok_or_else(|| failure(format!("no sampler {handle}")))?,
                    drafts: drafts.to_vec(),
                },
                Err(_) if (0..self.inner.vocab_size as i32).contains(&target) => {
                    SampleJob::Score { target: target as u32, top: top.max(0) as u32 }
                }
                Err(_) => return Err(failure(format!("there is no token {target}"))),
            });
        }
        Ok((jobs, rows))
    }
}

fn step_output(
    outcomes: Vec<Vec<SampleOutcome>>,
    drafted: Vec<i32>,
    matches: Vec<i32>,
    pooled: Vec<f32>,
    time: Duration,
    compute: &Compute,
) -> StepOutput {
    let counts: Vec<i32> = outcomes.iter().map(|outcomes| outcomes.len() as i32).collect();
    let mut tops = Vec::new();
    let mut top_counts = Vec::with_capacity(matches.len());
    let mut tokens = Vec::with_capacity(matches.len());
    let mut logprobs = Vec::with_capacity(matches.len());
    for outcome in outcomes.into_iter().flatten() {
        let (token, logprob, top) = match outcome {
            Ok(sampled) => (sampled.token as i32, sampled.logprob, sampled.top),
            Err(unchosen) => (unchosen.code(), f32::NAN, Vec::new()),
        };
        tokens.push(token);
        logprobs.push(logprob);
        top_counts.push(top.len() as i32);
        tops.extend(top);
    }
    StepOutput {
        counts: counts.into(),
        drafted: drafted.into(),
        tokens: tokens.into(),
        matches: matches.into(),
        logprobs: logprobs.into(),
        top_counts: top_counts.into(),
        top_ids: tops.iter().map(|(id, _)| *id as i32).collect::<Vec<_>>().into(),
        top_logprobs: tops.iter().map(|(_, logprob)| *logprob).collect::<Vec<_>>().into(),
        pooled: pooled.into(),
        seconds: time.as_secs_f64(),
        projection_seconds: compute.kernel_times.seconds(Kernel::Projections),
        attention_seconds: compute.kernel_times.seconds(Kernel::Attention),
        head_seconds: compute.kernel_times.seconds(Kernel::Head),
        sampling_seconds: compute.kernel_times.seconds(Kernel::Sampling),
    }
}
