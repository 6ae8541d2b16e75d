//! Writes a model's weights in the layouts that the operators read, straight from file to file.
//!
//! A tensor is read, dequantized, packed and written in slices of whole panels, so memory stays bounded by a
//! few slices however large the tensor is, and no weight passes through JavaScript. Files are read by
//! position rather than mapped: a file that shrinks meanwhile is then an error, not a crash.

use half::f16;
use napi::bindgen_prelude::{AsyncTask, Env, Error, Result, Status, Task};
use napi_derive::napi;
use polylora_kernels::dequantize::{TensorType, dequantize};
use polylora_kernels::{linear, quantized_linear};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Output channels per panel in the packed layouts.
const PANEL: usize = 16;
/// About how many values one slice holds (4 MiB as float32).
const SLICE_VALUES: usize = 1 << 20;

/// Where a matrix is stored. A vector has one row.
#[napi(object)]
#[derive(Clone)]
pub struct StoredTensor {
    /// Named in errors.
    pub name: String,
    pub file: String,
    /// Of the first byte, from the start of the file.
    pub offset: i64,
    /// `F32`, `F16`, `BF16`, `Q8_0`, `Q4_0`, `Q4_1`, `Q4_K` or `Q6_K`.
    #[napi(js_name = "type")]
    pub kind: String,
    pub rows: u32,
    pub cols: u32,
    /// Set where rows are stored in llama.cpp's interleaved rotary order, which is undone: the number of heads.
    pub interleaved_heads: Option<u32>,
}

/// One tensor of the output file: the sources' rows one after the other, in a layout.
#[napi(object)]
#[derive(Clone)]
pub struct WeightJob {
    /// All of the same width.
    pub sources: Vec<StoredTensor>,
    /// `int8-panels` (codes, with scales elsewhere), `f32-panels`, `f32` or `f16` (row-major).
    pub layout: String,
    /// An existing file that is long enough.
    pub output: String,
    pub offset: i64,
    /// With codes only: values that share a scale.
    pub group: Option<u32>,
    /// With codes only: where the scales go.
    pub scales_offset: Option<i64>,
}

/// Dequantizes, packs and writes one tensor, off the JavaScript thread.
///
/// Rejects with code `InvalidArg` where the weights are at fault (unknown type, not finite, too large for the
/// layout) and `GenericFailure` where the disk is.
#[napi]
pub fn write_weights(job: WeightJob) -> AsyncTask<WriteWeights> {
    AsyncTask::new(WriteWeights(job))
}

pub struct WriteWeights(WeightJob);

impl Task for WriteWeights {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        Job::open(&self.0)?.run()
    }

    fn resolve(&mut self, _: Env, (): ()) -> Result<()> {
        Ok(())
    }
}

enum Layout {
    Int8Panels { group: usize, scales_offset: u64 },
    F32Panels,
    F32,
    F16,
}

struct Source {
    name: String,
    file: File,
    offset: u64,
    kind: TensorType,
    /// Rows of the output that come from here.
    rows: Range<usize>,
    row_bytes: usize,
    /// Rows per head where they are interleaved.
    head_dim: Option<usize>,
}

struct Job {
    sources: Vec<Source>,
    rows: usize,
    cols: usize,
    layout: Layout,
    output: File,
    offset: u64,
}

fn invalid(reason: String) -> Error {
    Error::new(Status::InvalidArg, reason)
}

fn io_error(what: &str, error: &io::Error) -> Error {
    Error::new(Status::GenericFailure, format!("{what}: {error}"))
}

fn unsigned(name: &str, value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| invalid(format!("{name} is negative: {value}")))
}

impl Job {
    fn open(job: &WeightJob) -> Result<Self> {
        let cols = job.sources.first().map_or(0, |s| s.cols as usize);
        if cols == 0 {
            return Err(invalid("a weight without sources or columns".into()));
        }
        let layout = match (job.layout.as_str(), job.group, job.scales_offset) {
            ("int8-panels", Some(group), Some(scales)) if group > 0 => {
                Layout::Int8Panels { group: group as usize, scales_offset: unsigned("scalesOffset", scales)? }
            }
            ("f32-panels", None, None) => Layout::F32Panels,
            ("f32", None, None) => Layout::F32,
            ("f16", None, None) => Layout::F16,
            (other, ..) => {
                return Err(invalid(format!("layout {other} does not fit {cols} columns or its options")));
            }
        };
        let mut rows = 0;
        let mut sources = Vec::with_capacity(job.sources.len());
        for stored in &job.sources {
            let source = Source::open(stored, rows, cols)?;
            rows = source.rows.end;
            sources.push(source);
        }
        let output =
            OpenOptions::new().write(true).open(&job.output).map_err(|e| io_error(&job.output, &e))?;
        Ok(Self { sources, rows, cols, layout, output, offset: unsigned("offset", job.offset)? })
    }

    /// Works through the slices on all cores; the first error ends it.
    fn run(&self) -> Result<()> {
        let slice_rows = (SLICE_VALUES / self.cols / PANEL).max(1) * PANEL;
        let slices = self.rows.div_ceil(slice_rows);
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(slices);
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let slice = next.fetch_add(1, Ordering::Relaxed);
                        if slice >= slices {
                            return;
                        }
                        let first = slice * slice_rows;
                        if let Err(error) = self.write_rows(first..(first + slice_rows).min(self.rows)) {
                            next.store(slices, Ordering::Relaxed);
                            failure.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(error);
                            return;
                        }
                    }
                });
            }
        });
        failure.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), Err)
    }

    /// Writes a slice that starts at a panel.
    fn write_rows(&self, rows: Range<usize>) -> Result<()> {
        let (n, k) = (rows.len(), self.cols);
        let weights = self.read_rows(rows.clone())?;
        let panels_before = (rows.start / PANEL) as u64;
        match self.layout {
            Layout::Int8Panels { group, scales_offset } => {
                let packed = quantized_linear::pack(&weights, n, k, group);
                let k = k.next_multiple_of(group);
                self.write(self.offset + panels_before * (PANEL * k) as u64, &packed.codes)?;
                let scales = to_bytes(packed.scales.iter().map(|v| v.to_le_bytes()));
                self.write(scales_offset + panels_before * (PANEL * k / group * 4) as u64, &scales)
            }
            Layout::F32Panels => {
                let packed = linear::pack(&weights, n, k);
                let bytes = to_bytes(packed.iter().map(|v| v.to_le_bytes()));
                self.write(self.offset + panels_before * (PANEL * k * 4) as u64, &bytes)
            }
            Layout::F32 => {
                let bytes = to_bytes(weights.iter().map(|v| v.to_le_bytes()));
                self.write(self.offset + (rows.start * k * 4) as u64, &bytes)
            }
            Layout::F16 => {
                let halves: Vec<f16> = weights.iter().map(|&v| f16::from_f32(v)).collect();
                if let Some(at) = halves.iter().position(|v| !v.is_finite()) {
                    let name = &self.source_of(rows.start + at / k).name;
                    return Err(invalid(format!("{name} holds {}, which float16 cannot", weights[at])));
                }
                let bytes = to_bytes(halves.iter().map(|v| v.to_le_bytes()));
                self.write(self.offset + (rows.start * k * 2) as u64, &bytes)
            }
        }
    }

    /// The weights of some output rows as float32, all finite.
    fn read_rows(&self, rows: Range<usize>) -> Result<Vec<f32>> {
        let mut weights = vec![0.0; rows.len() * self.cols];
        for source in &self.sources {
            let wanted = rows.start.max(source.rows.start)..rows.end.min(source.rows.end);
            if wanted.is_empty() {
                continue;
            }
            let into = (wanted.start - rows.start) * self.cols..(wanted.end - rows.start) * self.cols;
            let local = wanted.start - source.rows.start..wanted.end - source.rows.start;
            source.read(local, &mut weights[into])?;
        }
        Ok(weights)
    }

    fn source_of(&self, row: usize) -> &Source {
        let found = self.sources.iter().find(|source| source.rows.contains(&row));
        found.unwrap_or(&self.sources[0])
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        write_all_at(&self.output, bytes, offset).map_err(|e| io_error("writing weights", &e))
    }
}

/// Reads a tensor by itself.
pub(crate) struct TensorReader(Source);

impl TensorReader {
    pub(crate) fn open(stored: &StoredTensor) -> Result<Self> {
        Ok(Self(Source::open(stored, 0, stored.cols as usize)?))
    }

    /// Some rows as float32, all finite.
    pub(crate) fn read(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.0.read(rows, out)
    }
}

impl Source {
    fn open(stored: &StoredTensor, first_row: usize, cols: usize) -> Result<Self> {
        let StoredTensor { name, file, kind, .. } = stored;
        let kind = TensorType::from_name(kind)
            .ok_or_else(|| invalid(format!("{name} has type {kind}, which cannot be read")))?;
        if stored.cols as usize != cols {
            return Err(invalid(format!("{name} has {} columns where {cols} are needed", stored.cols)));
        }
        let rows = stored.rows as usize;
        let row_bytes = kind.bytes_for(cols).ok_or_else(|| {
            invalid(format!("{name}: rows of {cols} values are no whole blocks of {kind:?}"))
        })?;
        let head_dim = match stored.interleaved_heads.map(|heads| heads as usize) {
            None => None,
            Some(heads) if heads > 0 && rows.is_multiple_of(heads * 2) => Some(rows / heads),
            Some(heads) => return Err(invalid(format!("{name}: {rows} rows are not {heads} rotary heads"))),
        };
        Ok(Self {
            name: name.clone(),
            file: File::open(file).map_err(|e| io_error(file, &e))?,
            offset: unsigned("offset", stored.offset)?,
            kind,
            rows: first_row..first_row + rows,
            row_bytes,
            head_dim,
        })
    }

    /// Reads rows (counted within this tensor, in the output's order) as float32.
    fn read(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        let mut bytes = vec![0; rows.len() * self.row_bytes];
        match self.head_dim {
            None => self.read_bytes(rows.start, &mut bytes)?,
            Some(head_dim) => {
                for (row, into) in rows.clone().zip(bytes.chunks_exact_mut(self.row_bytes)) {
                    self.read_bytes(interleaved_row(row, head_dim), into)?;
                }
            }
        }
        dequantize(self.kind, &bytes, out).map_err(|e| invalid(format!("{}: {e}", self.name)))?;
        match out.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(invalid(format!("{} holds {value}; every weight must be finite", self.name))),
            None => Ok(()),
        }
    }

    fn read_bytes(&self, stored_row: usize, bytes: &mut [u8]) -> Result<()> {
        let offset = self.offset + (stored_row * self.row_bytes) as u64;
        read_exact_at(&self.file, bytes, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                invalid(format!("{} reaches beyond the end of its file", self.name))
            }
            _ => io_error(&self.name, &error),
        })
    }
}

/// Where llama.cpp's conversion stores a row of a query or key projection: it takes each head's rows, whose
/// halves rotate against each other, and places the partners side by side.
fn interleaved_row(row: usize, head_dim: usize) -> usize {
    let (head, within) = (row / head_dim, row % head_dim);
    let (half, pair) = (within / (head_dim / 2), within % (head_dim / 2));
    head * head_dim + pair * 2 + half
}

pub(crate) fn to_bytes<const N: usize>(values: impl ExactSizeIterator<Item = [u8; N]>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * N);
    values.for_each(|value| bytes.extend_from_slice(&value));
    bytes
}

#[cfg(unix)]
use std::os::unix::fs::FileExt;

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(bytes, offset)
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

#[cfg(windows)]
use std::os::windows::fs::FileExt;

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.seek_read(bytes, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = file.seek_write(bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}
