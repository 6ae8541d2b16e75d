//! Reads an adapter's tensors into pages of the pool, as slabs.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use napi_derive::napi;
use polylora_kernels::lora::{LoraDtype, Pair, ResidentAdapter, SLAB_ALIGNMENT, SLAB_RANKS, Slab};
use polylora_kernels::pool::PagePool;

use crate::operators::MODULES;

/// A tensor in a safetensors file.
#[napi(object)]
#[derive(Clone)]
pub struct AdapterTensor {
    /// `F32`, `F16` or `BF16`.
    pub dtype: String,
    /// Of the first byte, from the start of the file.
    pub begin: i64,
}

/// One low-rank pair; A is `[rank, inputs]`, B is `[outputs, rank]`.
#[napi(object)]
#[derive(Clone)]
pub struct AdapterPair {
    pub layer: u32,
    /// Its number in `LORA_MODULES`.
    pub module: u32,
    pub rank: u32,
    pub scale: f64,
    pub inputs: u32,
    pub outputs: u32,
    pub a: AdapterTensor,
    pub b: AdapterTensor,
}

/// Reads `pairs` from `file` and writes them into slabs, in the order of the pairs and ranks.
///
/// # Errors
/// When the file cannot be read, a value is not finite as a half float, or a slab leaves the pool.
pub fn load(
    pool: &PagePool,
    layers: usize,
    dtype: LoraDtype,
    file: &str,
    pairs: &[AdapterPair],
    slabs: &[Slab],
) -> Result<ResidentAdapter, String> {
    let mut source = File::open(file).map_err(|error| format!("{file}: {error}"))?;
    let mut adapter = ResidentAdapter::new(layers, MODULES.len());
    let mut rest = slabs.iter();
    for pair in pairs {
        let (layer, module, rank) = (pair.layer as usize, pair.module as usize, pair.rank as usize);
        let (inputs, outputs) = (pair.inputs as usize, pair.outputs as usize);
        if layer >= layers || module >= MODULES.len() {
            return Err(format!("{file}: layer {layer}, module {module}, rank {rank} has no place"));
        }
        let what = |matrix| format!("{file}: layer {layer} {} lora_{matrix}", MODULES[module]);
        let a =
            read(&mut source, &pair.a, rank * inputs).map_err(|error| format!("{}: {error}", what("A")))?;
        let b =
            read(&mut source, &pair.b, rank * outputs).map_err(|error| format!("{}: {error}", what("B")))?;
        let mut own = Vec::with_capacity(rank.div_ceil(SLAB_RANKS));
        let mut first = 0;
        while first < rank {
            let slab = *rest.next().ok_or_else(|| format!("{}: rank {first} has no place", what("A")))?;
            let (offset, count) = (slab.offset as usize, slab.ranks as usize);
            let bytes = dtype.slab_bytes(count, inputs, outputs);
            if slab.page as usize >= pool.pages()
                || offset + bytes > pool.page_bytes()
                || !offset.is_multiple_of(SLAB_ALIGNMENT)
                || count == 0
                || first + count > rank
            {
                return Err(format!(
                    "{file}: {count} ranks at page {} byte {offset} are out of place",
                    slab.page
                ));
            }
            // SAFETY: in bounds by the check above; the block manager gave these pages to this adapter alone, and no
            // step reads them before the adapter is registered.
            let place = unsafe { std::slice::from_raw_parts_mut(pool.page(slab.page).add(offset), bytes) };
            dtype.write(&a, &b, rank, first..first + count, place);
            first += count;
            own.push(slab);
        }
        adapter.set(layer, module, Pair { scale: pair.scale as f32, inputs, outputs, dtype, slabs: own });
    }
    Ok(adapter)
}

/// A tensor's values, all of which a half float can hold, if not exactly.
fn read(file: &mut File, tensor: &AdapterTensor, values: usize) -> Result<Vec<f32>, String> {
    /// Half of the way from the largest half float to the next power of two: rounded, it is infinite.
    const TOO_LARGE: f32 = 65520.0;
    let width = if tensor.dtype == "F32" { 4 } else { 2 };
    let mut bytes = vec![0u8; values * width];
    let begin = u64::try_from(tensor.begin).map_err(|_| "negative offset".to_string())?;
    file.seek(SeekFrom::Start(begin)).and_then(|_| file.read_exact(&mut bytes)).map_err(|e| e.to_string())?;
    let pairs = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let values: Vec<f32> = match tensor.dtype.as_str() {
        "F16" => {
            let halves: Vec<f16> = pairs().map(f16::from_bits).collect();
            let mut values = vec![0.0; halves.len()];
            halves.convert_to_f32_slice(&mut values);
            values
        }
        "BF16" => pairs().map(|bits| bf16::from_bits(bits).to_f32()).collect(),
        "F32" => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        other => return Err(format!("type {other} is not supported")),
    };
    let fits = |value: &f32| value.abs() < TOO_LARGE;
    // All are looked at, without a way out: this is done eight at a time.
    if values.iter().fold(true, |all, value| all & fits(value)) {
        return Ok(values);
    }
    let index = values.iter().position(|value| !fits(value)).unwrap_or(0);
    Err(format!("value {index} is not finite as a 16-bit float"))
}
