//! Average-linkage clustering of step embeddings on cosine distance, cut at a threshold.

#![expect(clippy::inline_always, reason = "code is compiled for a dispatch where it is inlined")]

mod bounds;
mod clusters;
mod components;
mod distinct;
mod linkage;
mod multiply;
mod products;
mod rows;
mod screen;
#[cfg(test)]
mod tests;

use std::time::Instant;

use crate::clock::Clock;
use crate::disjoint_sets::DisjointSets;
use crate::error::{Error, check_scalar};
use crate::interrupt::Interrupt;
use crate::unit::{check_dim, unit_rows};
use components::connect;
use linkage::link;
pub(crate) use multiply::BLOCK;
pub(crate) use products::Products;
pub(crate) use rows::Rows;
pub(crate) use screen::{Screen, squares};

/// Groups rows whose directions are close: labels `0..K-1` in order of first appearance.
///
/// Agglomerative clustering with average linkage on the cosine distance
/// `d(u, v) = 1 - u.v / (|u| |v|)`, cut at `threshold`: the same partition as scipy's
/// `fcluster(linkage(x, "average", "cosine"), threshold, "distance")`.
///
/// `embeddings` holds rows of `dim` numbers one after the other. An average is no smaller than its
/// smallest member, so merges at or below the threshold stay inside the connected components of
/// `{d <= threshold}`, and linkage runs inside each component only. An f32 screen rules out pairs,
/// and inside a component clusters, that are certainly too far; every decision is taken in f64, with
/// operations in a fixed order, so that the labels are the same on every machine.
///
/// Where two merges are at exactly the same height, average linkage has more than one answer: of
/// equally near clusters the first is taken (by the last row of each), and scipy may take another.
/// Distances that rounding alone can make of 0, about 1e-13, are 0: rows of equal direction share a
/// label at every threshold.
///
/// Rows that are equal bit for bit count as one that stands for them all, and cost O(dim) each. For `n`
/// different rows it is O(n^2 dim) time at worst, in f32; far pairs cost the first 64 dimensions or
/// so. Memory is O(n dim), and O(m^2 + m dim) for the largest component m that the cut may split.
///
/// # Errors
///
/// `dim` 0 or not a divisor of the length, a row with a NaN, an infinity or no nonzero entry, a
/// threshold that is negative or not finite; a component too large for the memory.
pub fn cluster_steps<T>(embeddings: &[T], dim: usize, threshold: f64) -> Result<Vec<usize>, Error>
where
    T: Copy + Into<f64>,
{
    cluster_steps_until(embeddings, dim, threshold, None)
}

/// Does what [`cluster_steps`] does, until an interrupt ends it.
///
/// Then the labels are those of the merges by then: every group is one of the whole answer, or a
/// part of one.
///
/// # Errors
///
/// As there.
pub fn cluster_steps_until<T>(
    embeddings: &[T],
    dim: usize,
    threshold: f64,
    interrupt: Option<&Interrupt>,
) -> Result<Vec<usize>, Error>
where
    T: Copy + Into<f64>,
{
    cluster_by(embeddings, dim, threshold, &mut Clock::new(Instant::now(), None, interrupt))
}

fn cluster_by<T>(
    embeddings: &[T],
    dim: usize,
    threshold: f64,
    clock: &mut Clock,
) -> Result<Vec<usize>, Error>
where
    T: Copy + Into<f64>,
{
    check_scalar(
        "threshold",
        threshold,
        "finite and at least 0",
        threshold.is_finite() && threshold >= 0.0,
    )?;
    check_dim(embeddings.len(), dim)?;
    let rows = Rows::of(embeddings, dim);
    if rows.are_in_range() {
        return cluster_once(rows, threshold, clock);
    }
    cluster_once(Rows::of(&unit_rows(embeddings, dim)?, dim), threshold, clock)
}

/// Clusters every row once, however often it is there.
fn cluster_once<T: Copy + Into<f64>>(
    rows: Rows<T>,
    threshold: f64,
    clock: &mut Clock,
) -> Result<Vec<usize>, Error> {
    let (rows, equal_to) = rows.distinct();
    Ok(cluster(&rows, threshold, clock)?.labels_of(equal_to))
}

/// Joins the rows of each cluster.
fn cluster<T: Copy + Into<f64>>(
    rows: &Rows<T>,
    threshold: f64,
    clock: &mut Clock,
) -> Result<DisjointSets, Error> {
    let all: Vec<usize> = (0..rows.len()).collect();
    let screen = Screen::new(rows, &all);
    let mut merged = DisjointSets::new(rows.len());
    for component in connect(rows, &screen, threshold, clock).members() {
        link(rows, &screen, &component, threshold, clock, &mut merged)?;
    }
    Ok(merged)
}
