//! ONNX Runtime's own product with 8-bit weights in blocks of 32 and activations in 8 bits (`accuracy_level` 4, its
//! fastest), in a graph of the model's linear layers that `benchmarks/src/kernels/matmul-nbits-graph.ts` writes.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;

use crate::limits::Work;
use crate::linear::{passes, sampled_rows};
use crate::model::{HIDDEN, INTERMEDIATE, numbers};
use crate::side::{Part, Side, time};

/// The model's linear layers, for any number of rows.
pub struct MatMulNBits {
    session: Rc<RefCell<Session>>,
}

impl MatMulNBits {
    /// # Panics
    /// When ONNX Runtime or the graph cannot be loaded.
    pub fn open(threads: usize, library: &Path, graph: &Path) -> Self {
        let session = session(threads, library, graph).expect("ONNX Runtime loads the graph");
        Self { session: Rc::new(RefCell::new(session)) }
    }

    pub fn with_rows(&self, rows: usize) -> Pass {
        Pass { session: self.session.clone(), rows }
    }
}

fn session(threads: usize, library: &Path, graph: &Path) -> ort::Result<Session> {
    let library = ort::init_from(library).map_err(|error| ort::Error::new(error.to_string()))?;
    Session::builder(&library.with_telemetry(false).build()?)?
        .with_optimization_level(GraphOptimizationLevel::Level1)?
        .with_intra_threads(threads)?
        // Its threads spin while it runs and leave the processor to the other side afterwards.
        .with_config_entry("session.force_spinning_stop", "1")?
        .commit_from_file(graph)
}

/// All layers and the head at once.
pub struct Pass {
    session: Rc<RefCell<Session>>,
    rows: usize,
}

impl Side for Pass {
    fn name(&self) -> String {
        "MatMulNBits".into()
    }

    fn measure(&mut self, _: usize) -> Vec<Part> {
        let passes = passes(self.rows);
        let mut session = self.session.borrow_mut();
        let mut pass = || {
            let tensor = |rows: usize, width: usize| {
                Tensor::from_array(([rows, width], numbers(rows * width))).expect("the shape fits")
            };
            let inputs = ort::inputs![
                "hidden" => tensor(self.rows, HIDDEN),
                "intermediate" => tensor(self.rows, INTERMEDIATE),
                "sampled" => tensor(sampled_rows(self.rows), HIDDEN),
            ];
            time(|| _ = session.run(inputs).expect("the graph runs"))
        };
        if passes > 1 {
            pass();
        }
        let seconds = (0..passes).map(|_| pass()).sum::<f64>() / passes as f64;
        vec![Part::new("all", seconds, Work::default())]
    }
}
