//! Eigenvectors of a small symmetric matrix.

/// More than any matrix needs: each sweep squares what is left beside the diagonal.
const MOST_SWEEPS: usize = 40;
/// So small beside the diagonal is nothing.
const NEGLIGIBLE: f64 = 1e-14;

pub(super) struct Eigen {
    /// Descending.
    pub(super) values: Vec<f64>,
    /// `[value][element]`
    pub(super) vectors: Vec<f64>,
}

/// Jacobi's method: rotations that make one number beside the diagonal zero after the other.
pub(super) fn eigen(mut matrix: Vec<f64>, size: usize) -> Eigen {
    assert_eq!(matrix.len(), size * size);
    let mut vectors = vec![0f64; size * size];
    (0..size).for_each(|i| vectors[i * size + i] = 1.0);
    let total: f64 = matrix.iter().map(|value| value * value).sum();
    for _ in 0..MOST_SWEEPS {
        let beside: f64 = (0..size)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| matrix[i * size + j].powi(2))
            .sum();
        if beside <= NEGLIGIBLE * NEGLIGIBLE * total {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut matrix, &mut vectors, size, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|a, b| matrix[b * size + b].total_cmp(&matrix[a * size + a]));
    Eigen {
        values: order.iter().map(|i| matrix[i * size + i]).collect(),
        vectors: order.iter().flat_map(|i| vectors[i * size..][..size].to_vec()).collect(),
    }
}

/// Makes element (p, q) zero; `vectors` has the rotations so far, a row each.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], size: usize, p: usize, q: usize) {
    let beside = matrix[p * size + q];
    if beside == 0.0 {
        return;
    }
    let theta = (matrix[q * size + q] - matrix[p * size + p]) / (2.0 * beside);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    let turn = |values: &mut [f64], a: usize, b: usize| {
        let (x, y) = (values[a], values[b]);
        values[a] = cosine * x - sine * y;
        values[b] = sine * x + cosine * y;
    };
    for k in 0..size {
        turn(matrix, k * size + p, k * size + q);
    }
    for k in 0..size {
        turn(matrix, p * size + k, q * size + k);
        turn(vectors, p * size + k, q * size + k);
    }
    matrix[p * size + q] = 0.0;
    matrix[q * size + p] = 0.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_the_sum_of_its_eigenvectors() {
        let size = 17;
        let mut matrix = vec![0f64; size * size];
        for i in 0..size {
            for j in 0..=i {
                let value = ((i * 31 + j * 17) % 23) as f64 - 11.0;
                (matrix[i * size + j], matrix[j * size + i]) = (value, value);
            }
        }
        let Eigen { values, vectors } = eigen(matrix.clone(), size);
        assert!(values.is_sorted_by(|a, b| a >= b));
        for i in 0..size {
            for j in 0..size {
                let of = |k: usize| vectors[k * size + i] * vectors[k * size + j];
                let sum: f64 = (0..size).map(|k| values[k] * of(k)).sum();
                let unit: f64 = (0..size).map(of).sum();
                assert!((sum - matrix[i * size + j]).abs() < 1e-10);
                assert!((unit - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn zeros_and_equal_values_are_no_trouble() {
        assert_eq!(eigen(vec![0.0; 9], 3).values, [0.0; 3]);
        assert_eq!(eigen(vec![2.0, 0.0, 0.0, 2.0], 2).values, [2.0, 2.0]);
    }
}
