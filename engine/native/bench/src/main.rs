//! `polylora-bench --threads <N> --rounds <N> --ort-library <file> --matmul-nbits <graph> [group …]`: measures the
//! kernels beside what the machine could do, and prints a line of JSON for each case and round. Limits are measured
//! anew in every round, and sides in the opposite order every other round, so that a machine that slows down slows
//! all of them. A round before those that count warms up.

mod adapters;
mod attention;
mod dense;
mod limits;
mod linear;
mod matmul_nbits;
mod model;
mod options;
mod peak;
mod report;
mod sampling;
mod side;
mod threads;

use limits::LimitProbe;
use options::{GROUPS, Options};
use polylora_kernels::simd::Variant;
use side::{Case, Part};

fn main() {
    let options = Options::parse(std::env::args().skip(1)).unwrap_or_else(|problem| {
        eprintln!("{problem}");
        std::process::exit(1);
    });
    let variant = Variant::detect().unwrap_or_else(|problem| {
        eprintln!("{problem}");
        std::process::exit(1);
    });
    let probe = LimitProbe::new(options.threads);
    report::machine(variant.name(), options.threads, &probe.measure());
    for group in GROUPS.iter().filter(|group| options.wants(group.name)) {
        let mut cases = (group.cases)(&options, variant);
        if cases.is_empty() {
            continue;
        }
        for round in 0..=options.rounds {
            for case in &mut cases {
                let limits = probe.measure();
                let parts = measure(case, round, options.threads);
                if round > 0 {
                    report::round(round, case, &limits, &parts);
                }
            }
            eprintln!("{}: round {round} of {}", group.name, options.rounds);
        }
    }
}

/// What each side gave, in their order.
fn measure(case: &mut Case, round: usize, threads: usize) -> Vec<Vec<Part>> {
    let mut parts: Vec<Vec<Part>> = case.sides.iter().map(|_| Vec::new()).collect();
    let mut order: Vec<usize> = (0..case.sides.len()).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    for index in order {
        parts[index] = case.sides[index].measure(threads);
    }
    parts
}
