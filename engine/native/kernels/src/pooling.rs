//! A text's vector from its tokens' states.

/// Which states count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// All, each as much as the others.
    Mean,
    /// The first token's, which stands for the text.
    First,
}

/// The vector of a text whose tokens' states are `[tokens, width]`, of length 1; of states that are all 0 it is 0. In double
/// precision and in one order, so that its bits depend on the states alone.
pub fn pool(states: &[f32], width: usize, pooling: Pooling) -> Vec<f32> {
    let tokens = match pooling {
        Pooling::Mean => states,
        Pooling::First => &states[..width],
    };
    let mut sums = vec![0f64; width];
    for state in tokens.chunks_exact(width) {
        for (sum, value) in sums.iter_mut().zip(state) {
            *sum += f64::from(*value);
        }
    }
    let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
    sums.iter().map(|sum| if length == 0.0 { 0.0 } else { (sum / length) as f32 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_length_one_and_a_first_token_counts_alone() {
        assert_eq!(pool(&[3.0, 0.0, 0.0, 4.0], 2, Pooling::Mean), [0.6, 0.8]);
        assert_eq!(pool(&[0.0, -2.0, 5.0, 4.0], 2, Pooling::First), [0.0, -1.0]);
        assert_eq!(pool(&[0.0; 4], 2, Pooling::Mean), [0.0, 0.0]);
    }
}
