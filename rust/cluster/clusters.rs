//! Clusters as sums of unit rows: an average of cosine distances is one dot product.

use pulp::Arch;

use super::rows::{Rows, dot};
use crate::error::{Error, reserved};

/// Clusters by the place of one of their members; at the start every row is one, with its copies.
///
/// The average of `1 - u.v` over the pairs of two clusters is `1 - U.V / (|A| |B|)` with `U` and
/// `V` the sums of their unit rows, so that an average linkage distance costs one dot product
/// whatever the sizes, and carries no error from the merges before.
pub(super) struct Clusters {
    /// Sums of the unit rows, row-major, `[m, dim]`.
    sums: Vec<f64>,
    /// Members, `[m]`.
    sizes: Vec<f64>,
    dim: usize,
    /// What rounding alone can make of a distance of 0.
    noise: f64,
    machine: Arch,
}

impl Clusters {
    pub(super) fn of<T>(rows: &Rows<T>, members: &[usize]) -> Result<Self, Error>
    where
        T: Copy + Into<f64>,
    {
        let mut sums = reserved(members.len(), rows.dim())?;
        for &i in members {
            let (row, scale) = rows.row(i);
            let unit = || row.iter().map(|&value| value.into() * scale);
            let start = sums.len();
            sums.extend(unit());
            // One by one, as merging them would: the same bits.
            for _ in 1..rows.copies(i) {
                sums[start..].iter_mut().zip(unit()).for_each(|(sum, value)| *sum += value);
            }
        }
        let sizes = members.iter().map(|&i| f64::from(rows.copies(i))).collect();
        Ok(Self { sums, sizes, dim: rows.dim(), noise: rows.noise(), machine: rows.machine() })
    }

    pub(super) fn size(&self, a: usize) -> f64 {
        self.sizes[a]
    }

    pub(super) fn noise(&self) -> f64 {
        self.noise
    }

    /// Averages the cosine distances between two clusters; what may be rounding of 0 is 0.
    pub(super) fn distance(&self, a: usize, b: usize) -> f64 {
        let (u, v) = (self.sum(a), self.sum(b));
        let product = dot(self.machine, u, v);
        let distance = 1.0 - product / (self.sizes[a] * self.sizes[b]);
        if distance <= self.noise { 0.0 } else { distance }
    }

    /// Adds one cluster to a later one; the first must not be used again.
    pub(super) fn merge(&mut self, from: usize, into: usize) {
        let (before, after) = self.sums.split_at_mut(into * self.dim);
        let moved = &before[from * self.dim..(from + 1) * self.dim];
        after.iter_mut().zip(moved).for_each(|(sum, &value)| *sum += value);
        self.sizes[into] += self.sizes[from];
    }

    fn sum(&self, a: usize) -> &[f64] {
        &self.sums[a * self.dim..(a + 1) * self.dim]
    }
}
