//! Which variants this processor offers. The rig that runs the tests on emulated processors says what it must offer
//! there; without that, a processor that is not recognised would pass every test on the portable variant alone.

use polylora_kernels::simd::Variant;

/// Looked for by name in `scripts/emulated-tests.mjs`.
#[test]
fn the_variants_are_the_expected_ones() {
    let names: Vec<_> = Variant::available().iter().map(|variant| variant.name()).collect();
    assert_eq!(names.first(), Some(&"portable"));
    if let Ok(expected) = std::env::var("POLYLORA_EXPECT_VARIANTS") {
        assert_eq!(names.join(","), expected, "on the left: what this processor offers");
    }
}
