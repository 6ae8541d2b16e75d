//! ONNX Runtime: the library that is loaded, and how its sessions are set up.

use std::sync::Mutex;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

/// A session of so many threads, the calling one included.
pub fn session_builder(library: &str, threads: usize) -> ort::Result<SessionBuilder> {
    Ok(Session::builder(&environment(library)?)?
        .with_optimization_level(GraphOptimizationLevel::Level1)?
        .with_intra_threads(threads)?)
}

/// ONNX Runtime's environment. A process has one, made from the first library that is asked for.
fn environment(library: &str) -> ort::Result<Environment> {
    static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);
    let mut environment = ENVIRONMENT.lock().expect("making an environment does not panic");
    if let Some(environment) = &*environment {
        return Ok(environment.clone());
    }
    let library = ort::init_from(library).map_err(|error| ort::Error::new(error.to_string()))?;
    Ok(environment.insert(library.with_telemetry(false).build()?).clone())
}
