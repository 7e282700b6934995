//! Connected components of the pairs within a distance.

use super::multiply::BLOCK;
use super::rows::Rows;
use super::screen::{Screen, squares};
use crate::clock::Clock;
use crate::disjoint_sets::DisjointSets;

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
