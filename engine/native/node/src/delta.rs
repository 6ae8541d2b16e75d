//! Takes the difference of two models' tensors apart, for fine-tunes that are served as compressed deltas.

use half::f16;
use napi::bindgen_prelude::{AsyncTask, Buffer, Env, Error, Float32Array, Result, Status, Task};
use napi_derive::napi;
use polylora_kernels::delta::{Extracted, Options, extract};
use polylora_kernels::parallel::Threads;
use polylora_kernels::simd::Variant;

use crate::weights::{StoredTensor, TensorReader, to_bytes};

/// About how many values are compared at once (4 MiB as float32).
const SLICE_VALUES: usize = 1 << 20;

/// A projection before and after a fine-tune.
#[napi(object)]
#[derive(Clone)]
pub struct DeltaJob {
    pub tuned: StoredTensor,
    pub base: StoredTensor,
    /// Of the low-rank part; may be 0.
    pub rank: u32,
    /// How often each part is fitted to what the other leaves.
    pub rounds: u32,
}

/// The difference of two tensors, compressed; all little-endian.
#[napi(object)]
pub struct DeltaParts {
    /// float16, `[rank, inputs]`
    pub a: Buffer,
    /// float16, `[outputs, rank]`
    pub b: Buffer,
    /// `[outputs, inputs / 4]`
    pub codes: Buffer,
    /// float32, a factor for each output
    pub scales: Buffer,
    /// The sum of the squares of the difference.
    pub norm: f64,
    /// The sum of the squares of what the parts leave of it.
    pub error: f64,
}

/// Reads two tensors of one shape and takes their difference apart, off the JavaScript thread and on all cores. Rejects
/// as `writeWeights` does.
#[napi(ts_return_type = "Promise<DeltaParts>")]
pub fn extract_delta(job: DeltaJob) -> AsyncTask<ExtractDelta> {
    AsyncTask::new(ExtractDelta(job))
}

pub struct ExtractDelta(DeltaJob);

impl Task for ExtractDelta {
    type Output = Extracted;
    type JsValue = DeltaParts;

    fn compute(&mut self) -> Result<Extracted> {
        let DeltaJob { tuned, base, rank, rounds } = &self.0;
        check_shapes(tuned, base)?;
        let (outputs, inputs) = (tuned.rows as usize, tuned.cols as usize);
        let mut delta = vec![0f32; outputs * inputs];
        TensorReader::open(tuned)?.read(0..outputs, &mut delta)?;
        let mut other = vec![0f32; outputs * inputs];
        TensorReader::open(base)?.read(0..outputs, &mut other)?;
        delta.iter_mut().zip(&other).for_each(|(delta, base)| *delta -= base);
        drop(other);
        let variant = Variant::detect().map_err(invalid)?;
        let threads = Threads(std::thread::available_parallelism().map_or(1, usize::from));
        let options = Options { rank: *rank as usize, rounds: (*rounds).max(1) as usize };
        extract(delta, outputs, inputs, options, &threads, variant)
            .map_err(|reason| invalid(format!("{}: {reason}", tuned.name)))
    }

    fn resolve(&mut self, _: Env, parts: Extracted) -> Result<DeltaParts> {
        Ok(DeltaParts {
            a: halves(&parts.a),
            b: halves(&parts.b),
            codes: parts.codes.into(),
            scales: to_bytes(parts.scales.iter().map(|value| value.to_le_bytes())).into(),
            norm: parts.norm,
            error: parts.error,
        })
    }
}

fn halves(values: &[f16]) -> Buffer {
    to_bytes(values.iter().map(|value| value.to_le_bytes())).into()
}

/// Two tensors of one shape.
#[napi(object)]
#[derive(Clone)]
pub struct TensorPair {
    pub tuned: StoredTensor,
    pub base: StoredTensor,
}

/// How far two tensors are from each other.
#[napi(object)]
pub struct TensorDifference {
    /// The sum of the squares of the base's values.
    pub norm: f64,
    /// The sum of the squares of the differences.
    pub difference: f64,
}

/// Compares two tensors, off the JavaScript thread. Rejects as `writeWeights` does.
#[napi(ts_return_type = "Promise<TensorDifference>")]
pub fn compare_tensors(pair: TensorPair) -> AsyncTask<CompareTensors> {
    AsyncTask::new(CompareTensors(pair))
}

pub struct CompareTensors(TensorPair);

impl Task for CompareTensors {
    type Output = TensorDifference;
    type JsValue = TensorDifference;

    fn compute(&mut self) -> Result<TensorDifference> {
        let TensorPair { tuned, base } = &self.0;
        check_shapes(tuned, base)?;
        let (rows, columns) = (tuned.rows as usize, tuned.cols as usize);
        let (tuned, base) = (TensorReader::open(tuned)?, TensorReader::open(base)?);
        let most = (SLICE_VALUES / columns.max(1)).max(1);
        let (mut norm, mut difference) = (0f64, 0f64);
        let mut values = [vec![0f32; most * columns], vec![0f32; most * columns]];
        for first in (0..rows).step_by(most) {
            let rows = first..rows.min(first + most);
            let [a, b] = values.each_mut().map(|values| &mut values[..rows.len() * columns]);
            tuned.read(rows.clone(), a)?;
            base.read(rows, b)?;
            for (a, b) in a.iter().zip(b.iter()) {
                norm += f64::from(*b).powi(2);
                difference += (f64::from(*a) - f64::from(*b)).powi(2);
            }
        }
        Ok(TensorDifference { norm, difference })
    }

    fn resolve(&mut self, _: Env, difference: TensorDifference) -> Result<TensorDifference> {
        Ok(difference)
    }
}

/// Reads a vector's values, off the JavaScript thread. Rejects as `writeWeights` does.
#[napi(ts_return_type = "Promise<Float32Array>")]
pub fn read_vector(stored: StoredTensor) -> AsyncTask<ReadVector> {
    AsyncTask::new(ReadVector(stored))
}

pub struct ReadVector(StoredTensor);

impl Task for ReadVector {
    type Output = Vec<f32>;
    type JsValue = Float32Array;

    fn compute(&mut self) -> Result<Vec<f32>> {
        let rows = self.0.rows as usize;
        let mut values = vec![0f32; rows * self.0.cols as usize];
        TensorReader::open(&self.0)?.read(0..rows, &mut values)?;
        Ok(values)
    }

    fn resolve(&mut self, _: Env, values: Vec<f32>) -> Result<Float32Array> {
        Ok(values.into())
    }
}

fn check_shapes(tuned: &StoredTensor, base: &StoredTensor) -> Result<()> {
    if (tuned.rows, tuned.cols) == (base.rows, base.cols) {
        return Ok(());
    }
    let shape = |tensor: &StoredTensor| format!("{}×{}", tensor.rows, tensor.cols);
    Err(invalid(format!("{} is {} where the base's is {}", tuned.name, shape(tuned), shape(base))))
}

fn invalid(reason: String) -> Error {
    Error::new(Status::InvalidArg, reason)
}
