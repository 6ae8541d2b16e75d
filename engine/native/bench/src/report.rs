//! Lines of JSON, read by `benchmarks/src/kernels/rust-bench.ts`.

use crate::limits::Limits;
use crate::peak;
use crate::side::{Case, Part};

/// What is measured on. Names need no escapes.
pub fn machine(variant: &str, threads: usize, limits: &Limits) {
    let name =
        |peak: Option<peak::Peak>| peak.map_or("null".into(), |peak| format!("\"{}\"", peak.instruction));
    println!(
        r#"{{"type":"machine","variant":"{variant}","threads":{threads},"int8Instruction":{},"floatInstruction":{},"limits":{}}}"#,
        name(peak::int8()),
        name(peak::float()),
        rates(limits),
    );
}

/// One round of a case; `parts` are those of its sides, in their order.
pub fn round(round: usize, case: &Case, limits: &Limits, parts: &[Vec<Part>]) {
    let sides: Vec<String> = case
        .sides
        .iter()
        .zip(parts)
        .map(|(side, parts)| {
            let parts: Vec<String> = parts.iter().map(part).collect();
            format!(r#"{{"name":"{}","parts":[{}]}}"#, side.name(), parts.join(","))
        })
        .collect();
    println!(
        r#"{{"type":"round","kernel":"{}","case":"{}","round":{round},"limits":{},"sides":[{}]}}"#,
        case.kernel,
        case.name,
        rates(limits),
        sides.join(","),
    );
}

fn part(Part { name, seconds, work }: &Part) -> String {
    format!(
        r#"{{"name":"{name}","seconds":{seconds:.9},"bytes":{},"int8":{},"float":{}}}"#,
        work.bytes, work.int8, work.float
    )
}

fn rates(Limits { bytes, int8, float }: &Limits) -> String {
    let rate = |rate: &Option<f64>| rate.map_or("null".into(), |rate| format!("{rate:.0}"));
    format!(r#"{{"bytes":{bytes:.0},"int8":{},"float":{}}}"#, rate(int8), rate(float))
}
