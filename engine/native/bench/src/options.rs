//! The command line.

use std::path::PathBuf;

use polylora_kernels::simd::Variant;

use crate::side::Case;
use crate::{adapters, attention, dense, linear, sampling};

/// Cases that are prepared together.
pub struct Group {
    pub name: &'static str,
    pub cases: fn(&Options, Variant) -> Vec<Case>,
}

pub const GROUPS: [Group; 6] = [
    // By itself, only what the machine can do is measured.
    Group { name: "limits", cases: |_, _| Vec::new() },
    Group {
        name: "linear",
        cases: |options, variant| {
            linear::cases(options.threads, &options.ort_library, &options.matmul_nbits, variant)
        },
    },
    Group { name: "adapters", cases: |_, variant| adapters::cases(variant) },
    Group { name: "attention", cases: |_, variant| attention::cases(variant) },
    Group { name: "dense", cases: |_, variant| dense::cases(variant) },
    Group { name: "sampling", cases: |_, _| sampling::cases() },
];

pub struct Options {
    pub threads: usize,
    /// That count.
    pub rounds: usize,
    /// ONNX Runtime's shared library.
    pub ort_library: PathBuf,
    /// The graph to compare with.
    pub matmul_nbits: PathBuf,
    /// Names of groups; none: all.
    groups: Vec<String>,
}

impl Options {
    /// # Errors
    /// With what is wrong in the arguments.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            threads: 0,
            rounds: 0,
            ort_library: PathBuf::new(),
            matmul_nbits: PathBuf::new(),
            groups: Vec::new(),
        };
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--threads" => options.threads = number(&value()?)?,
                "--rounds" => options.rounds = number(&value()?)?,
                "--ort-library" => options.ort_library = value()?.into(),
                "--matmul-nbits" => options.matmul_nbits = value()?.into(),
                group if GROUPS.iter().any(|known| known.name == group) => {
                    options.groups.push(argument);
                }
                _ => return Err(format!("unknown argument {argument}; groups are {}", names().join(", "))),
            }
        }
        if options.threads == 0 || options.rounds == 0 {
            return Err("--threads and --rounds must be at least 1".into());
        }
        Ok(options)
    }

    pub fn wants(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|wanted| wanted == group)
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn names() -> Vec<&'static str> {
    GROUPS.iter().map(|group| group.name).collect()
}
