//! Random embeddings of steps.

use crate::error::{Error, check_scalar};
use crate::random::Random;

/// Most entries of one matrix: 1 GiB of `f32`.
const MAX_ENTRIES: usize = 1 << 28;

/// Generates embeddings of steps that say one of `kinds` things, worded differently.
///
/// Returns `[width, dim]`, row-major. A row is its kind's centre plus noise of `spread` times the
/// centre's size, in random directions; two rows of one kind are about
/// `spread^2 / (1 + spread^2)` apart in cosine distance, rows of different kinds about 1.
///
/// # Errors
///
/// `width`, `dim` or `kinds` is 0, the matrix would exceed 2^28 entries, or `spread` is negative or
/// not finite.
pub fn embeddings(
    width: usize,
    dim: usize,
    kinds: usize,
    spread: f64,
    seed: u64,
) -> Result<Vec<f32>, Error> {
    check_size(width, dim, spread)?;
    let right = (1..=MAX_ENTRIES / dim).contains(&kinds);
    check_scalar("kinds", kinds, "at least 1, and kinds * dim at most 2**28", right)?;
    let mut random = Random::stream(seed, 0);
    let centres: Vec<f64> = (0..dim * kinds).map(|_| random.normal()).collect();
    let mut rows = Vec::with_capacity(width * dim);
    for _ in 0..width {
        let centre = dim * random.below(kinds as u64) as usize;
        let centre = &centres[centre..centre + dim];
        rows.extend(centre.iter().map(|&at| (at + spread * random.normal()) as f32));
    }
    Ok(rows)
}

/// Generates embeddings of steps that drift from one meaning to its opposite with no gap between.
///
/// Returns `[width, dim]`, row-major, in random order. The rows lie along half a circle, with noise
/// of `spread` times the radius added in random directions. With `dim` of some hundreds, `spread`
/// up to 0.1 and `width` at least 64, each row is within a cosine distance of 0.05 of the next, so
/// that all of them hang together, and the two ends are about 2 apart: the worst case of a
/// clustering that works component by component.
///
/// # Errors
///
/// `width` or `dim` is 0, the matrix would exceed 2^28 entries, or `spread` is negative or not
/// finite.
pub fn embedding_arc(width: usize, dim: usize, spread: f64, seed: u64) -> Result<Vec<f32>, Error> {
    check_size(width, dim, spread)?;
    let mut random = Random::stream(seed, 0);
    let axes: Vec<(f64, f64)> = (0..dim).map(|_| (random.normal(), random.normal())).collect();
    let mut places: Vec<usize> = (0..width).collect();
    for i in (1..width).rev() {
        places.swap(i, random.below(i as u64 + 1) as usize);
    }
    let mut rows = Vec::with_capacity(width * dim);
    for place in places {
        // Half a circle as a rational curve: no sine, no cosine.
        let t = 2.0 * (place as f64 + random.unit()) / width as f64 - 1.0;
        let (x, y) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        rows.extend(axes.iter().map(|&(a, b)| (x * a + y * b + spread * random.normal()) as f32));
    }
    Ok(rows)
}

fn check_size(width: usize, dim: usize, spread: f64) -> Result<(), Error> {
    check_scalar("dim", dim, "between 1 and 2**28", (1..=MAX_ENTRIES).contains(&dim))?;
    let right = (1..=MAX_ENTRIES / dim).contains(&width);
    check_scalar("width", width, "at least 1, and width * dim at most 2**28", right)?;
    check_scalar("spread", spread, "finite and at least 0", spread.is_finite() && spread >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_steps;

    fn distance(a: &[f32], b: &[f32]) -> f64 {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
        };
        1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    #[test]
    fn kinds_are_found_again() {
        let rows = embeddings(200, 384, 20, 0.15, 7).unwrap();
        let labels = cluster_steps(&rows, 384, 0.05).unwrap();
        assert_eq!(labels.iter().max(), Some(&19));
        assert_eq!(rows, embeddings(200, 384, 20, 0.15, 7).unwrap());
        assert_ne!(rows, embeddings(200, 384, 20, 0.15, 8).unwrap());
    }

    #[test]
    fn an_arc_is_one_component_of_several_clusters() {
        for (width, seed) in [(64, 1), (64, 2), (300, 3)] {
            let rows = embedding_arc(width, 384, 0.1, seed).unwrap();
            let row = |i: usize| &rows[384 * i..384 * (i + 1)];
            let mut seen = vec![false; width];
            let mut reached = vec![0];
            seen[0] = true;
            let mut farthest: f64 = 0.0;
            while let Some(i) = reached.pop() {
                for (j, seen) in seen.iter_mut().enumerate() {
                    let apart = distance(row(i), row(j));
                    farthest = farthest.max(apart);
                    if !*seen && apart <= 0.05 {
                        *seen = true;
                        reached.push(j);
                    }
                }
            }
            assert!(seen.iter().all(|&is| is), "width {width} falls apart");
            assert!(farthest > 1.5, "the ends are {farthest} apart");
            let labels = cluster_steps(&rows, 384, 0.05).unwrap();
            assert!(labels.iter().max() > Some(&1));
        }
    }

    #[test]
    fn bad_sizes_are_refused() {
        let message = |made: Result<Vec<f32>, Error>| made.unwrap_err().to_string();
        assert!(message(embeddings(0, 4, 1, 0.1, 0)).starts_with("width is 0"));
        assert!(message(embeddings(4, 0, 1, 0.1, 0)).starts_with("dim is 0"));
        assert!(message(embeddings(4, 4, 0, 0.1, 0)).starts_with("kinds is 0"));
        assert!(message(embeddings(1 << 20, 1 << 9, 1, 0.1, 0)).starts_with("width is 1048576"));
        assert!(message(embedding_arc(4, 4, f64::NAN, 0)).starts_with("spread is NaN"));
    }
}
