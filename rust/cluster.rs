//! Average-linkage clustering of step embeddings on cosine distance, cut at a threshold.

use crate::error::{Error, check_scalar};

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
    let unit = unit_rows(embeddings, dim)?;
    let n = embeddings.len() / dim;
    let distance = Distances::between(&unit, dim, n);
    let mut merged = DisjointSets::new(n);
    for component in components(&distance, threshold) {
        link(&distance, &component, threshold, &mut merged);
    }
    Ok(merged.labels())
}

/// Scales every row to length 1, refusing the rows that have no direction.
fn unit_rows<T: Copy + Into<f64>>(embeddings: &[T], dim: usize) -> Result<Vec<f64>, Error> {
    let mut unit: Vec<f64> = embeddings.iter().map(|&value| value.into()).collect();
    for (index, row) in unit.chunks_exact_mut(dim).enumerate() {
        let refuse = |value: f64, expected| {
            Err(Error::Entry { argument: "embeddings", index, value: value.into(), expected })
        };
        if let Some(&bad) = row.iter().find(|value| !value.is_finite()) {
            return refuse(bad, "a row of finite numbers");
        }
        let largest = row.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        if largest == 0.0 {
            return refuse(0.0, "a row with a nonzero entry, for a zero vector has no direction");
        }
        // Scaled by its largest entry first, so that squares neither overflow nor vanish.
        row.iter_mut().for_each(|value| *value /= largest);
        let norm = dot(row, row).sqrt();
        row.iter_mut().for_each(|value| *value /= norm);
    }
    Ok(unit)
}

/// Multiplies two rows with eight running sums, which the compiler can keep in vector registers.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + tail
}

/// A symmetric matrix of distances.
struct Distances {
    /// Row-major, `[n, n]`.
    values: Vec<f64>,
    n: usize,
}

impl Distances {
    fn between(unit: &[f64], dim: usize, n: usize) -> Self {
        let mut values = vec![0.0; n * n];
        for i in 0..n {
            let row = &unit[i * dim..(i + 1) * dim];
            for j in 0..i {
                // Rounding can push the cosine of equal directions past 1.
                let distance = (1.0 - dot(row, &unit[j * dim..(j + 1) * dim])).max(0.0);
                values[i * n + j] = distance;
                values[j * n + i] = distance;
            }
        }
        Self { values, n }
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.n..(i + 1) * self.n]
    }
}

/// Lists the connected components of `{distance <= threshold}`, members in ascending order.
fn components(distance: &Distances, threshold: f64) -> Vec<Vec<usize>> {
    let mut reached = vec![false; distance.n];
    let mut found = Vec::new();
    for start in 0..distance.n {
        if reached[start] {
            continue;
        }
        reached[start] = true;
        let mut members = vec![start];
        let mut next = 0;
        while next < members.len() {
            for (j, &d) in distance.row(members[next]).iter().enumerate() {
                if d <= threshold && !reached[j] {
                    reached[j] = true;
                    members.push(j);
                }
            }
            next += 1;
        }
        members.sort_unstable();
        found.push(members);
    }
    found
}

/// Runs average linkage inside one component and joins what merges at or below the threshold.
///
/// Nearest-neighbour chain: average linkage is reducible, so merging reciprocal nearest neighbours
/// in any order builds the same tree, and joining its merges up to the threshold is the cut.
fn link(distance: &Distances, members: &[usize], threshold: f64, merged: &mut DisjointSets) {
    let m = members.len();
    let local: Vec<f64> =
        members.iter().flat_map(|&i| members.iter().map(move |&j| distance.row(i)[j])).collect();
    if local.iter().all(|&d| d <= threshold) {
        // Every average of such distances is below the cut too.
        members.iter().for_each(|&i| merged.join(members[0], i));
        return;
    }
    let mut between = local;
    let mut size = vec![1.0_f64; m]; // 0 once merged into another cluster
    let mut chain: Vec<usize> = Vec::with_capacity(m);
    for _ in 1..m {
        if chain.is_empty() {
            chain.extend((0..m).find(|&i| size[i] > 0.0));
        }
        let (a, b, height) = loop {
            let top = chain[chain.len() - 1];
            let before = chain.len().checked_sub(2).map(|at| chain[at]);
            let (nearest, height) = nearest(&between, &size, top, before);
            if before == Some(nearest) {
                break (nearest, top, height);
            }
            chain.push(nearest);
        };
        chain.truncate(chain.len() - 2);
        if height <= threshold {
            merged.join(members[a], members[b]);
        }
        let (from, into) = (a.min(b), a.max(b));
        for k in (0..m).filter(|&k| size[k] > 0.0 && k != from && k != into) {
            let average = (size[from] * between[from * m + k] + size[into] * between[into * m + k])
                / (size[from] + size[into]);
            between[into * m + k] = average;
            between[k * m + into] = average;
        }
        size[into] += size[from];
        size[from] = 0.0;
    }
}

/// Finds the nearest live cluster to `from`; on a tie `prefer` (so that chains end), then the first.
fn nearest(between: &[f64], size: &[f64], from: usize, prefer: Option<usize>) -> (usize, f64) {
    let row = &between[from * size.len()..(from + 1) * size.len()];
    let mut best = prefer.map_or((from, f64::INFINITY), |p| (p, row[p]));
    for (k, (&d, &live)) in row.iter().zip(size).enumerate() {
        if live > 0.0 && k != from && d < best.1 {
            best = (k, d);
        }
    }
    best
}

/// Union-find with path halving.
struct DisjointSets {
    parent: Vec<usize>,
}

impl DisjointSets {
    fn new(n: usize) -> Self {
        Self { parent: (0..n).collect() }
    }

    fn root(&mut self, mut i: usize) -> usize {
        while self.parent[i] != i {
            self.parent[i] = self.parent[self.parent[i]];
            i = self.parent[i];
        }
        i
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }

    /// Numbers the sets in order of first appearance.
    fn labels(&mut self) -> Vec<i64> {
        let mut label_of = vec![-1; self.parent.len()];
        let mut next = 0;
        (0..self.parent.len())
            .map(|i| {
                let root = self.root(i);
                if label_of[root] < 0 {
                    label_of[root] = next;
                    next += 1;
                }
                label_of[root]
            })
            .collect()
    }
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
