//! Connected components of the pairs within a distance.

use super::rows::Rows;
use super::screen::{BLOCK, Screen, squares};
use crate::clock::Clock;

/// Joins the rows that a chain of pairs within `threshold` connects.
///
/// Every join is decided in f64; pairs that are connected already need no look. Out of time, it
/// stops where it is.
pub(super) fn connect<T>(
    rows: &Rows<T>,
    screen: &Screen<T>,
    threshold: f64,
    clock: &mut Clock,
) -> DisjointSets
where
    T: Copy + Into<f64>,
{
    // Multiplying a strip of a square to its end costs about as much as this many distances in f64.
    const FEW: u32 = 8;
    let n = rows.len();
    let cut = screen.cut(threshold);
    let mut sets = DisjointSets::new(n);
    for (rows_block, columns_block) in squares(n) {
        if clock.after(screen.work()) {
            break;
        }
        let of_rows = rows_block * BLOCK..n.min((rows_block + 1) * BLOCK);
        let columns = columns_block * BLOCK..n.min((columns_block + 1) * BLOCK);
        let root = sets.root(of_rows.start);
        if columns.clone().chain(of_rows.clone()).all(|i| sets.root(i) == root) {
            continue;
        }
        let (upper, reach) = screen.square(rows_block, columns_block, cut, FEW);
        if reach == 0 {
            continue;
        }
        for (i, bounds) in of_rows.zip(&upper) {
            for (j, &bound) in columns.clone().zip(bounds) {
                if bound >= cut
                    && j < i
                    && sets.root(i) != sets.root(j)
                    && rows.distance(i, j) <= threshold
                {
                    sets.join(i, j);
                }
            }
        }
    }
    sets
}

/// Union-find with path halving.
pub(super) struct DisjointSets {
    parent: Vec<usize>,
}

impl DisjointSets {
    pub(super) fn new(n: usize) -> Self {
        Self { parent: (0..n).collect() }
    }

    pub(super) fn root(&mut self, mut i: usize) -> usize {
        while self.parent[i] != i {
            self.parent[i] = self.parent[self.parent[i]];
            i = self.parent[i];
        }
        i
    }

    pub(super) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }

    /// Numbers the sets in order of first appearance.
    pub(super) fn labels(&mut self) -> Vec<i64> {
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

    /// Lists the sets of two or more in order of first appearance, members in ascending order.
    pub(super) fn members(&mut self) -> Vec<Vec<usize>> {
        let mut sets: Vec<Vec<usize>> = Vec::new();
        for (i, label) in self.labels().into_iter().enumerate() {
            let label = label as usize;
            if label == sets.len() {
                sets.push(Vec::new());
            }
            sets[label].push(i);
        }
        sets.retain(|members| members.len() > 1);
        sets
    }
}
