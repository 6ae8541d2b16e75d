//! `RmsNorm` and `SwiGlu` by themselves, on more rows than any cache holds.

use polylora_kernels::norm::rms_norm;
use polylora_kernels::simd::Variant;
use polylora_kernels::swiglu::swiglu;

use crate::limits::Work;
use crate::model::{HIDDEN, INTERMEDIATE, numbers};
use crate::side::{Case, Part, Side, time};
use crate::threads::with_spinning_threads;

const ROWS: usize = 32 * 1024;

pub fn cases(variant: Variant) -> Vec<Case> {
    let norm = Dense {
        x: numbers(ROWS * HIDDEN),
        out: vec![0.0; ROWS * HIDDEN],
        run: |x, out, variant, threads| rms_norm(x, &[1.0; HIDDEN], 1e-5, out, variant, threads),
        variant,
    };
    let rows = ROWS * HIDDEN / (2 * INTERMEDIATE);
    let swiglu = Dense {
        x: numbers(rows * 2 * INTERMEDIATE),
        out: vec![0.0; rows * INTERMEDIATE],
        run: |x, out, variant, threads| swiglu(x, INTERMEDIATE, out, variant, threads),
        variant,
    };
    vec![
        Case { kernel: "RmsNorm", name: format!("{ROWS} rows of {HIDDEN}"), sides: vec![Box::new(norm)] },
        Case {
            kernel: "SwiGlu",
            name: format!("{rows} rows of {INTERMEDIATE}"),
            sides: vec![Box::new(swiglu)],
        },
    ]
}

struct Dense {
    x: Vec<f32>,
    out: Vec<f32>,
    run: fn(&[f32], &mut [f32], Variant, &dyn polylora_kernels::parallel::Parallel),
    variant: Variant,
}

impl Side for Dense {
    fn name(&self) -> String {
        "f32".into()
    }

    fn measure(&mut self, threads: usize) -> Vec<Part> {
        let Self { x, out, run, variant } = self;
        let seconds = with_spinning_threads(threads, |threads| time(|| run(x, out, *variant, threads)));
        // Read and written once, as STREAM counts.
        let bytes = size_of_val(x.as_slice()) + size_of_val(out.as_slice());
        vec![Part::new("all", seconds, Work { bytes, ..Work::default() })]
    }
}
