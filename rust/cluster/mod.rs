//! Average-linkage clustering of step embeddings on cosine distance, cut at a threshold.

mod clusters;
mod components;
mod linkage;
mod rows;
mod screen;

use crate::error::{Error, check_scalar};
use components::{DisjointSets, connect};
use linkage::link;
use rows::{Rows, tamed};
use screen::Screen;

/// Groups rows whose directions are close: labels `0..K-1` in order of first appearance.
///
/// Agglomerative clustering with average linkage on the cosine distance
/// `d(u, v) = 1 - u.v / (|u| |v|)`, cut at `threshold`: the same partition as scipy's
/// `fcluster(linkage(x, "average", "cosine"), threshold, "distance")`.
///
/// `embeddings` holds rows of `dim` numbers one after the other. Merges at height `<= threshold`
/// stay inside the connected components of `{d <= threshold}`, since an average is no smaller than
/// its smallest member; so linkage runs inside each component only.
///
/// Costs O(n^2 dim) time and O(n^2) memory.
///
/// # Errors
///
/// `dim` 0 or not a divisor of the length, a row with a NaN, an infinity or no nonzero entry, a
/// threshold that is negative or not finite.
pub fn cluster_steps<T>(embeddings: &[T], dim: usize, threshold: f64) -> Result<Vec<i64>, Error>
where
    T: Copy + Into<f64>,
{
    check_scalar(
        "threshold",
        threshold,
        "finite and at least 0",
        threshold.is_finite() && threshold >= 0.0,
    )?;
    if dim == 0 || embeddings.len() % dim != 0 {
        return Err(Error::Scalar {
            argument: "the length of an embedding",
            value: (dim as i64).into(),
            expected: "at least 1 and a divisor of the number of entries",
        });
    }
    Ok(match Rows::of(embeddings, dim)? {
        Some(rows) => cluster(&rows, threshold),
        None => match Rows::of(&tamed(embeddings, dim), dim)? {
            Some(rows) => cluster(&rows, threshold),
            None => unreachable!("a tame row's square is between 1 and its length"),
        },
    })
}

fn cluster<T: Copy + Into<f64>>(rows: &Rows<T>, threshold: f64) -> Vec<i64> {
    let all: Vec<usize> = (0..rows.len()).collect();
    let screen = Screen::new(rows, &all);
    let mut merged = DisjointSets::new(rows.len());
    for component in connect(rows, &screen, threshold).members() {
        link(rows, &screen, &component, threshold, &mut merged);
    }
    merged.labels()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Merges the closest pair of clusters, averages taken afresh over all pairs, until the cut.
    fn naive(rows: &[Vec<f64>], threshold: f64) -> Option<Vec<i64>> {
        let n = rows.len();
        let cosine = |u: &[f64], v: &[f64]| {
            let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            1.0 - product(u, v) / (product(u, u) * product(v, v)).sqrt()
        };
        let mut clusters: Vec<Vec<usize>> = (0..n).map(|i| vec![i]).collect();
        loop {
            let mut best = (f64::INFINITY, 0, 0);
            for b in 1..clusters.len() {
                for a in 0..b {
                    let pairs =
                        clusters[a].iter().flat_map(|&i| clusters[b].iter().map(move |&j| (i, j)));
                    let sum: f64 = pairs.map(|(i, j)| cosine(&rows[i], &rows[j])).sum();
                    let average = sum / (clusters[a].len() * clusters[b].len()) as f64;
                    if (average - best.0).abs() < 1e-9 && average > 1e-9 {
                        return None; // a tie: the partition is not unique
                    }
                    if average < best.0 {
                        best = (average, a, b);
                    }
                }
            }
            if (best.0 - threshold).abs() < 1e-9 {
                return None; // on the cut: rounding decides
            }
            if best.0 > threshold {
                break;
            }
            let moved = clusters.remove(best.2);
            clusters[best.1].extend(moved);
        }
        let mut sets = DisjointSets::new(n);
        for cluster in &clusters {
            cluster.iter().for_each(|&i| sets.join(cluster[0], i));
        }
        Some(sets.labels())
    }

    proptest! {
        #[test]
        fn equals_the_naive_method(
            rows in (1_usize..5).prop_flat_map(|dim| proptest::collection::vec(
                proptest::collection::vec(-1.0..1.0, dim), 1..14)),
            threshold in prop_oneof![Just(0.05), 0.0..1.2],
        ) {
            let dim = rows[0].len();
            prop_assume!(rows.iter().all(|row| row.iter().any(|x: &f64| x.abs() > 1e-6)));
            if let Some(expected) = naive(&rows, threshold) {
                let flat: Vec<f64> = rows.concat();
                prop_assert_eq!(cluster_steps(&flat, dim, threshold).unwrap(), expected);
            }
        }
    }

    #[test]
    fn equal_directions_share_a_label_whatever_their_length() {
        let rows = [1.0_f32, 0.0, 0.0, 2.0, 3e30, 0.0, 0.0, 1e-30, -1.0, 0.0];
        assert_eq!(cluster_steps(&rows, 2, 0.05).unwrap(), [0, 1, 0, 1, 2]);
        assert_eq!(cluster_steps(&[1e300, 1e300, 1e-300, 1e-300], 2, 1e-12).unwrap(), [0, 0]);
        assert_eq!(cluster_steps::<f64>(&[], 3, 0.05).unwrap(), [0_i64; 0]);
    }

    #[test]
    fn bad_rows_are_named() {
        let message = cluster_steps(&[1.0, 0.0, f64::NAN, 1.0], 2, 0.05).unwrap_err().to_string();
        assert_eq!(message, "embeddings[1] is NaN: it must be a row of finite numbers");
        assert!(cluster_steps(&[0.0, 0.0], 2, 0.05).is_err());
        assert!(cluster_steps(&[1.0, 0.0, 1.0], 2, 0.05).is_err());
        assert!(cluster_steps(&[1.0], 1, -0.1).is_err());
        assert!(cluster_steps(&[1.0], 1, f64::NAN).is_err());
    }
}
