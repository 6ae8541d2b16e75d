//! Reads an adapter's tensors into pages of the pool, as rank rows.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use half::{bf16, f16};
use napi_derive::napi;
use polylora_kernels::lora::{Pair, ROW_ALIGNMENT, ResidentAdapter, RowAddress, RowFormat};
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

/// Reads `pairs` from `file` and writes each rank row to its address in that format, in the order of the pairs and
/// ranks.
///
/// # Errors
/// When the file cannot be read, a value is not finite as a half float, or an address leaves the pool.
pub fn load(
    pool: &PagePool,
    layers: usize,
    format: RowFormat,
    file: &str,
    pairs: &[AdapterPair],
    addresses: &[RowAddress],
) -> Result<ResidentAdapter, String> {
    let mut source = File::open(file).map_err(|error| format!("{file}: {error}"))?;
    let mut adapter = ResidentAdapter::new(layers, MODULES.len());
    let mut rest = addresses;
    for pair in pairs {
        let (layer, module, rank) = (pair.layer as usize, pair.module as usize, pair.rank as usize);
        let (inputs, outputs) = (pair.inputs as usize, pair.outputs as usize);
        if layer >= layers || module >= MODULES.len() || rank > rest.len() {
            return Err(format!("{file}: layer {layer}, module {module}, rank {rank} has no place"));
        }
        let what = |matrix| format!("{file}: layer {layer} {} lora_{matrix}", MODULES[module]);
        let a =
            read(&mut source, &pair.a, rank * inputs).map_err(|error| format!("{}: {error}", what("A")))?;
        let b =
            read(&mut source, &pair.b, rank * outputs).map_err(|error| format!("{}: {error}", what("B")))?;
        let (rows, others) = rest.split_at(rank);
        rest = others;
        let mut column = vec![0f32; outputs];
        for (j, address) in rows.iter().enumerate() {
            let (offset, bytes) = (address.offset as usize, format.row_bytes(inputs, outputs));
            if address.page as usize >= pool.pages()
                || offset + bytes > pool.page_bytes()
                || !offset.is_multiple_of(ROW_ALIGNMENT)
            {
                return Err(format!(
                    "{file}: rank row at page {} byte {offset} leaves the pool",
                    address.page
                ));
            }
            // SAFETY: in bounds by the check above; the block manager gave these pages to this adapter alone, and no
            // step reads them before the adapter is registered.
            let row = unsafe { std::slice::from_raw_parts_mut(pool.page(address.page).add(offset), bytes) };
            for (target, value) in column.iter_mut().zip(b[j..].iter().step_by(rank)) {
                *target = *value;
            }
            format.write(&a[j * inputs..][..inputs], &column, row);
        }
        let rows = rows.to_vec();
        adapter.set(layer, module, Pair { scale: pair.scale as f32, inputs, outputs, format, rows });
    }
    Ok(adapter)
}

/// A tensor's values, all of which a half float can hold, if not exactly.
fn read(file: &mut File, tensor: &AdapterTensor, values: usize) -> Result<Vec<f32>, String> {
    let width = if tensor.dtype == "F32" { 4 } else { 2 };
    let mut bytes = vec![0u8; values * width];
    let begin = u64::try_from(tensor.begin).map_err(|_| "negative offset".to_string())?;
    file.seek(SeekFrom::Start(begin)).and_then(|_| file.read_exact(&mut bytes)).map_err(|e| e.to_string())?;
    let pairs = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let values: Vec<f32> = match tensor.dtype.as_str() {
        "F16" => pairs().map(|bits| f16::from_bits(bits).to_f32()).collect(),
        "BF16" => pairs().map(|bits| bf16::from_bits(bits).to_f32()).collect(),
        "F32" => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        other => return Err(format!("type {other} is not supported")),
    };
    match values.iter().position(|value| !f16::from_f32(*value).is_finite()) {
        Some(index) => Err(format!("value {index} is not finite as a 16-bit float")),
        None => Ok(values),
    }
}
