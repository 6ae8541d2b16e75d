//! What a byte of a sparse matrix says of four neighbouring inputs.
//!
//! Two of the four are kept (2:4, after DeltaZip, Yao et al., 2023): `code = pair * 36 + first * 6 + second`, where the pair
//! says which two and each value is one of six levels.

/// Inputs that a code stands for.
pub const GROUP: usize = 4;
/// Two of four, in ascending order.
pub const PAIRS: [[usize; 2]; 6] = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]];
/// What a kept weight is, times its output's scale. The Lloyd-Max quantizer of the two largest of four Gaussian values by
/// magnitude has 0.6803, 1.3203 and 2.1366 standard deviations; these are in that ratio to within 0.1 %.
pub const LEVELS: [i8; 6] = [-110, -68, -35, 35, 68, 110];
/// The largest level in standard deviations of the values that were chosen from.
pub const LARGEST_LEVEL_DEVIATIONS: f64 = 2.1366;
/// The code of four zeros. Those above stand for nothing.
pub const ZERO: u8 = 216;

/// The levels of the four inputs of every code, zeros where it stands for nothing.
pub(crate) static DECODED: [[i8; GROUP]; 256] = decoded();

const fn decoded() -> [[i8; GROUP]; 256] {
    let mut table = [[0; GROUP]; 256];
    let mut code = 0;
    while code < ZERO as usize {
        let [first, second] = PAIRS[code / 36];
        table[code][first] = LEVELS[code / 6 % 6];
        table[code][second] = LEVELS[code % 6];
        code += 1;
    }
    table
}

/// The code that keeps a pair, by its number in [`PAIRS`], with two levels, by theirs in [`LEVELS`].
pub fn encode(pair: usize, first: usize, second: usize) -> u8 {
    assert!(pair < PAIRS.len() && first < LEVELS.len() && second < LEVELS.len());
    (pair * 36 + first * 6 + second) as u8
}

/// The levels of four neighbouring inputs; `None` where the byte is no code.
pub fn decode(code: u8) -> Option<[i8; GROUP]> {
    (code <= ZERO).then(|| DECODED[code as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_says_what_was_encoded() {
        let mut seen = std::collections::HashSet::new();
        for (pair, places) in PAIRS.iter().enumerate() {
            for (first, one) in LEVELS.iter().enumerate() {
                for (second, other) in LEVELS.iter().enumerate() {
                    let code = encode(pair, first, second);
                    let levels = decode(code).unwrap();
                    assert_eq!(levels[places[0]], *one);
                    assert_eq!(levels[places[1]], *other);
                    assert_eq!(levels.iter().filter(|level| **level != 0).count(), 2);
                    assert!(seen.insert(code));
                }
            }
        }
        assert_eq!((seen.len(), seen.into_iter().max()), (216, Some(215)));
    }

    #[test]
    fn the_last_code_is_four_zeros_and_there_are_no_others() {
        assert_eq!(decode(ZERO), Some([0; GROUP]));
        assert!((217..=255).all(|byte| decode(byte).is_none()));
        assert!((217..=255).all(|byte| DECODED[byte] == [0; GROUP]));
    }

    #[test]
    fn levels_are_the_means_of_what_is_nearest_to_them() {
        // The density of a Gaussian value's magnitude where at most one of three others is larger.
        let steps = 60_000;
        let width = 8.0 / f64::from(steps);
        let mut below = 0.0;
        let mut sums = [[0.0f64; 2]; 3];
        let levels = LEVELS[3..].iter().map(|level| f64::from(*level) / 110.0 * LARGEST_LEVEL_DEVIATIONS);
        let levels: Vec<f64> = levels.collect();
        for step in 0..steps {
            let x = (f64::from(step) + 0.5) * width;
            let density = (-x * x / 2.0).exp() * (2.0 / std::f64::consts::PI).sqrt();
            below += density * width;
            let weight = density * (below.powi(3) + 3.0 * below * below * (1.0 - below));
            let nearest =
                (0..3).min_by(|a, b| (x - levels[*a]).abs().total_cmp(&(x - levels[*b]).abs())).unwrap();
            sums[nearest][0] += weight * x;
            sums[nearest][1] += weight;
        }
        for (level, [moment, weight]) in levels.iter().zip(sums) {
            assert!((moment / weight / level - 1.0).abs() < 2e-3, "{level} {}", moment / weight);
        }
    }
}
