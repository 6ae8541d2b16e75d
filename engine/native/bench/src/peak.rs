//! Loops of nothing but a processor's best multiply-accumulate instruction, on registers.

/// Turns of each loop; a turn has [`CHAINS`] instructions that do not wait for one another.
const TURNS: usize = 1_000_000;
const CHAINS: usize = 12;

/// A loop on one thread.
#[derive(Clone, Copy)]
pub struct Peak {
    pub instruction: &'static str,
    /// Multiply-accumulates of the whole loop.
    pub operations: usize,
    pub run: fn(),
}

/// The fastest way to multiply 8-bit values and add up, if one is known for this processor.
pub fn int8() -> Option<Peak> {
    arch::int8().map(|(instruction, per_instruction, run)| Peak {
        instruction,
        operations: per_instruction * CHAINS * TURNS,
        run,
    })
}

/// The widest multiplication of single-precision floats with an addition after it.
pub fn float() -> Option<Peak> {
    arch::float().map(|(instruction, per_instruction, run)| Peak {
        instruction,
        operations: per_instruction * CHAINS * TURNS,
        run,
    })
}

/// An instruction, its multiply-accumulates, and the loop.
type Candidate = (&'static str, usize, fn());

#[cfg(target_arch = "x86_64")]
mod arch {
    use std::arch::asm;

    use super::{Candidate, TURNS};

    pub fn int8() -> Option<Candidate> {
        if is_x86_feature_detected!("avx512vnni") {
            // SAFETY: the processor has it, as for the others below.
            Some(("vpdpbusd on 512 bits", 64, || unsafe { avx512_vnni() }))
        } else if is_x86_feature_detected!("avxvnni") {
            // SAFETY: as above.
            Some(("vpdpbusd on 256 bits", 32, || unsafe { avx_vnni() }))
        } else if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            Some(("vpmaddwd on 256 bits", 16, || unsafe { avx2() }))
        } else {
            None
        }
    }

    pub fn float() -> Option<Candidate> {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has it, as for the other below.
            Some(("vmulps and vaddps on 512 bits", 16, || unsafe { avx512_float() }))
        } else if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            Some(("vmulps and vaddps on 256 bits", 8, || unsafe { avx2_float() }))
        } else {
            None
        }
    }

    /// An `unsafe` function with one loop: the instructions once for each register number `\n` of twelve.
    macro_rules! looping {
        ($name:ident, $feature:literal, [$($instruction:literal),*]) => {
            /// # Safety
            /// The processor must have the feature.
            #[target_feature(enable = $feature)]
            unsafe fn $name() {
                // SAFETY: the instructions change vector registers 0 to 15 and the counter only.
                unsafe {
                    asm!(
                        "vxorps ymm14, ymm14, ymm14",
                        "vxorps ymm15, ymm15, ymm15",
                        "2:",
                        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
                        $($instruction,)*
                        ".endr",
                        "dec {turns}",
                        "jnz 2b",
                        turns = inout(reg) TURNS => _,
                        out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                        out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
                        out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                        out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                        options(nomem, nostack),
                    );
                }
            }
        };
    }

    looping!(avx512_vnni, "avx512vnni", ["vpdpbusd zmm\\n, zmm14, zmm15"]);
    looping!(avx_vnni, "avxvnni", ["{{vex}} vpdpbusd ymm\\n, ymm14, ymm15"]);
    looping!(avx2, "avx2", ["vpmaddwd ymm13, ymm14, ymm15", "vpaddd ymm\\n, ymm\\n, ymm13"]);
    looping!(avx512_float, "avx512f", ["vmulps zmm13, zmm14, zmm15", "vaddps zmm\\n, zmm\\n, zmm13"]);
    looping!(avx2_float, "avx2", ["vmulps ymm13, ymm14, ymm15", "vaddps ymm\\n, ymm\\n, ymm13"]);
}

#[cfg(target_arch = "aarch64")]
mod arch {
    use std::arch::asm;
    use std::arch::is_aarch64_feature_detected;

    use super::{Candidate, TURNS};

    pub fn int8() -> Option<Candidate> {
        if is_aarch64_feature_detected!("i8mm") {
            // SAFETY: the processor has it, as for the others below.
            Some(("smmla", 32, || unsafe { i8mm() }))
        } else if is_aarch64_feature_detected!("dotprod") {
            // SAFETY: as above.
            Some(("sdot", 16, || unsafe { dotprod() }))
        } else {
            None
        }
    }

    pub fn float() -> Option<Candidate> {
        // SAFETY: every such processor has it.
        Some(("fmul and fadd", 4, || unsafe { neon() }))
    }

    /// An `unsafe` function with one loop: the instructions once for each register number `\n` of twelve.
    macro_rules! looping {
        ($name:ident, $feature:literal, [$($instruction:literal),*]) => {
            /// # Safety
            /// The processor must have the feature.
            #[target_feature(enable = $feature)]
            unsafe fn $name() {
                // SAFETY: the instructions change vector registers 0 to 31 and the counter only.
                unsafe {
                    asm!(
                        "movi v30.16b, #0",
                        "movi v31.16b, #0",
                        "2:",
                        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
                        $($instruction,)*
                        ".endr",
                        "subs {turns}, {turns}, #1",
                        "b.ne 2b",
                        turns = inout(reg) TURNS => _,
                        out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
                        out("v6") _, out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _,
                        out("v29") _, out("v30") _, out("v31") _,
                        options(nomem, nostack),
                    );
                }
            }
        };
    }

    looping!(i8mm, "i8mm", ["smmla v\\n\\().4s, v30.16b, v31.16b"]);
    looping!(dotprod, "dotprod", ["sdot v\\n\\().4s, v30.16b, v31.16b"]);
    looping!(neon, "neon", ["fmul v29.4s, v30.4s, v31.4s", "fadd v\\n\\().4s, v\\n\\().4s, v29.4s"]);
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod arch {
    use super::Candidate;

    pub fn int8() -> Option<Candidate> {
        None
    }

    pub fn float() -> Option<Candidate> {
        None
    }
}
