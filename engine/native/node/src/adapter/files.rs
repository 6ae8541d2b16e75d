//! Tensors of an adapter's files as numbers.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::rc::Rc;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::description::AdapterTensor;

/// An adapter's open files. What several modules share is read once.
pub struct Files {
    files: Vec<File>,
    /// By file and first byte.
    shared: HashMap<(u32, i64), Option<Rc<Vec<f32>>>>,
}

impl Files {
    /// Opens them; tensors that are `shared` are read more than once, and kept.
    pub fn open<'a>(
        paths: &[String],
        shared: impl Iterator<Item = &'a AdapterTensor>,
    ) -> Result<Self, String> {
        let open = |path: &String| File::open(path).map_err(|error| format!("{path}: {error}"));
        Ok(Self {
            files: paths.iter().map(open).collect::<Result<_, _>>()?,
            shared: shared.map(|tensor| ((tensor.file, tensor.begin), None)).collect(),
        })
    }

    /// A tensor's values, all finite.
    pub fn floats(&mut self, tensor: &AdapterTensor) -> Result<Rc<Vec<f32>>, String> {
        let key = (tensor.file, tensor.begin);
        if let Some(Some(values)) = self.shared.get(&key) {
            return Ok(values.clone());
        }
        let values = Rc::new(self.read_floats(tensor)?);
        if let Some(place) = self.shared.get_mut(&key) {
            *place = Some(values.clone());
        }
        Ok(values)
    }

    fn read_floats(&mut self, tensor: &AdapterTensor) -> Result<Vec<f32>, String> {
        let bytes = self.bytes(tensor)?;
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
            other => return Err(format!("type {other} has no floats")),
        };
        // All are looked at, without a way out: this is done eight at a time.
        if values.iter().fold(true, |all, value| all & value.is_finite()) {
            return Ok(values);
        }
        let index = values.iter().position(|value| !value.is_finite()).unwrap_or(0);
        Err(format!("value {index} is not finite"))
    }

    /// The numbers of rows, each below `rows`.
    pub fn indices(&mut self, tensor: &AdapterTensor, rows: u32) -> Result<Vec<usize>, String> {
        if tensor.dtype != "I32" {
            return Err(format!("type {} has no indices", tensor.dtype));
        }
        let bytes = self.bytes(tensor)?;
        let indices = bytes.chunks_exact(4).map(|b| {
            let index = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            if index < rows { Ok(index as usize) } else { Err(format!("there is no row {index}")) }
        });
        indices.collect()
    }

    /// A tensor's bytes as they are in the file.
    pub fn bytes(&mut self, tensor: &AdapterTensor) -> Result<Vec<u8>, String> {
        let width = match tensor.dtype.as_str() {
            "F32" | "I32" => 4,
            "U8" => 1,
            _ => 2,
        };
        let mut bytes = vec![0u8; tensor.rows as usize * tensor.columns as usize * width];
        let begin = u64::try_from(tensor.begin).map_err(|_| "negative offset".to_string())?;
        let file = self.files.get_mut(tensor.file as usize).ok_or("there is no such file")?;
        file.seek(SeekFrom::Start(begin))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|e| e.to_string())?;
        Ok(bytes)
    }
}
