//! Connected components of the pairs within a distance.

use super::rows::Rows;
use super::screen::{BLOCK, STRIP, Screen, tiles};
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
    // Multiplying a tile to its end costs about as much as this many distances in f64.
    const FEW: u32 = 8;
    let n = rows.len();
    let cut = screen.cut(threshold);
    let mut sets = DisjointSets::new(n);
    for (strip, block) in tiles(n) {
        if clock.after(rows.dim()) {
            break;
        }
        let strip_rows = strip * STRIP..n.min((strip + 1) * STRIP);
        let columns = block * BLOCK..n.min((block + 1) * BLOCK);
        let root = sets.root(strip_rows.start);
        if columns.clone().chain(strip_rows.clone()).all(|i| sets.root(i) == root) {
            continue;
        }
        let (upper, reach) = screen.tile(strip, block, cut, FEW);
        if reach == 0 {
            continue;
        }
        for (i, bounds) in strip_rows.zip(&upper) {
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
