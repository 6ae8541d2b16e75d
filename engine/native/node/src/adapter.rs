//! Reads an adapter's tensors into pages of the pool, as rank rows of half floats.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use half::{bf16, f16};
use napi_derive::napi;
use polylora_kernels::lora::{Pair, ResidentAdapter, RowAddress, row_bytes};
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

/// Reads `pairs` from `file` and writes each rank row to its address, in the order of the pairs and ranks.
///
/// # Errors
/// When the file cannot be read, a value is not finite as a half float, or an address leaves the pool.
pub fn load(
    pool: &PagePool,
    layers: usize,
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
        for (j, address) in rows.iter().enumerate() {
            let end = address.offset as usize + row_bytes(inputs, outputs);
            if address.page as usize >= pool.pages()
                || end > pool.page_bytes()
                || !address.offset.is_multiple_of(2)
            {
                return Err(format!(
                    "{file}: rank row at page {} byte {} leaves the pool",
                    address.page, address.offset
                ));
            }
            // SAFETY: in bounds and aligned by the check above; the block manager gave these pages to this
            // adapter alone, and no step reads them before the adapter is registered.
            let row = unsafe {
                let start = pool.page(address.page).add(address.offset as usize).cast::<u16>();
                std::slice::from_raw_parts_mut(start, inputs + outputs)
            };
            row[..inputs].copy_from_slice(&a[j * inputs..][..inputs]);
            for (i, value) in row[inputs..].iter_mut().enumerate() {
                *value = b[i * rank + j];
            }
        }
        let rows = rows.to_vec();
        adapter.set(layer, module, Pair { scale: pair.scale as f32, inputs, outputs, rows });
    }
    Ok(adapter)
}

fn read(file: &mut File, tensor: &AdapterTensor, values: usize) -> Result<Vec<u16>, String> {
    let width = if tensor.dtype == "F32" { 4 } else { 2 };
    let mut bytes = vec![0u8; values * width];
    let begin = u64::try_from(tensor.begin).map_err(|_| "negative offset".to_string())?;
    file.seek(SeekFrom::Start(begin)).and_then(|_| file.read_exact(&mut bytes)).map_err(|e| e.to_string())?;
    let pairs = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let halves: Vec<u16> = match tensor.dtype.as_str() {
        "F16" => pairs().collect(),
        "BF16" => pairs().map(|bits| f16::from_f32(bf16::from_bits(bits).to_f32()).to_bits()).collect(),
        "F32" => bytes
            .chunks_exact(4)
            .map(|b| f16::from_f32(f32::from_le_bytes([b[0], b[1], b[2], b[3]])).to_bits())
            .collect(),
        other => return Err(format!("type {other} is not supported")),
    };
    match halves.iter().position(|bits| bits & 0x7c00 == 0x7c00) {
        Some(index) => Err(format!("value {index} is not finite as a 16-bit float")),
        None => Ok(halves),
    }
}
