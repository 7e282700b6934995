//! Average linkage inside one component, up to the cut.

use super::bounds::{Bounds, GROUP};
use super::clusters::Clusters;
use super::rows::Rows;
use super::screen::Screen;
use crate::clock::Clock;
use crate::disjoint_sets::DisjointSets;
use crate::error::Error;

/// Runs average linkage inside one component and joins what merges at or below the threshold.
///
/// Average linkage is reducible: a merge brings no cluster closer to a third than its parts were. So
/// merging reciprocal nearest neighbours in any order builds the same tree, and a cluster that has
/// no neighbour within the threshold will never have one. So are the merges by the time that an
/// interrupt ends it merges of the whole answer.
///
/// # Copies
///
/// A row with copies starts as the cluster of them all, at the place of the last. Given every copy
/// by itself, the same would come of it, ties included:
///
/// - Copies are 0 apart, so one on top of the chain merges with another before it does with anything
///   farther: merges above 0 are of clusters with all of their copies, whose place is that of
///   the last. The chain below is left as it was, so the one before looks for its nearest anew.
/// - To that one copies are equally near, merged or not. While some are apart, either it prefers one of
///   them, which merges, and it looks again; or it prefers another as near whose place is before all of
///   theirs, and so before that of the last.
///
/// In the order of their places a sum grows by one copy at a time: the sums have the same bits too. What may
/// differ is what rounding decides: where distances are equal but for their last bits, with each other or with
/// the threshold.
pub(super) fn link<T: Copy + Into<f64>>(
    rows: &Rows<T>,
    screen: &Screen<T>,
    members: &[usize],
    threshold: f64,
    clock: &mut Clock,
    merged: &mut DisjointSets,
) -> Result<(), Error> {
    if clock.expired() {
        return Ok(());
    }
    let bounds = if members.len() == rows.len() {
        Bounds::within(rows, screen, members, threshold, clock)
    } else {
        Bounds::within(rows, &Screen::new(rows, members), members, threshold, clock)
    };
    match bounds? {
        None => members.iter().for_each(|&i| merged.join(members[0], i)),
        Some(bounds) => {
            if clock.expired() {
                return Ok(());
            }
            let clusters = Clusters::of(rows, members)?;
            Linkage { clusters, bounds, threshold, smallest: Vec::new() }
                .run(clock, |a, b| merged.join(members[a], members[b]));
        }
    }
    Ok(())
}

/// Average linkage of one component; clusters go by the place of one of their members.
struct Linkage {
    clusters: Clusters,
    bounds: Bounds,
    threshold: f64,
    /// The smallest bound in each group of a row: scratch of `nearest`.
    smallest: Vec<f32>,
}

/// A cluster and the distance to it.
type Near = (usize, f64);

impl Linkage {
    /// Follows nearest neighbours until two are each other's, merges them, and goes on from there.
    ///
    /// Along the chain the distances fall strictly, so it ends; a cluster without a neighbour within
    /// the threshold is done with.
    fn run(&mut self, clock: &mut Clock, mut join: impl FnMut(usize, usize)) {
        let mut chain: Vec<Near> = Vec::new();
        let mut start = 0;
        while !clock.after(self.bounds.len()) {
            let Some(&(top, distance)) = chain.last() else {
                match (start..self.bounds.len()).find(|&a| self.bounds.is_open(a)) {
                    Some(next) => start = next,
                    None => return,
                }
                chain.push((start, f64::INFINITY));
                continue;
            };
            let before = chain.len().checked_sub(2).map(|at| (chain[at].0, distance));
            match self.nearest(top, before) {
                None => {
                    self.bounds.close(top);
                    chain.pop();
                }
                Some((nearest, _)) if before.is_some_and(|(before, _)| before == nearest) => {
                    self.merge(top.min(nearest), top.max(nearest));
                    join(top, nearest);
                    chain.truncate(chain.len() - 2);
                }
                // Rounding can bring a merged cluster nearer than its parts to one further down.
                Some(near) => match chain.iter().position(|&(k, _)| k == near.0) {
                    Some(at) => chain.truncate(at + 1),
                    None => chain.push(near),
                },
            }
        }
    }

    fn merge(&mut self, from: usize, into: usize) {
        let (few, many) = (self.clusters.size(from), self.clusters.size(into));
        self.bounds.merge(from, into, few / (few + many));
        self.clusters.merge(from, into);
    }

    /// Finds the nearest cluster within the threshold; of equally near ones `before`, so that
    /// chains end, then the first.
    ///
    /// Computes in f64 what the bounds do not rule out, the smallest bound first. As they never rule
    /// out what is as near as the best, the answer does not depend on how close they are.
    fn nearest(&mut self, from: usize, before: Option<Near>) -> Option<Near> {
        let rank = |to: usize| if before.is_some_and(|(k, _)| k == to) { 0 } else { to + 1 };
        let mut best = before;
        let mut limit = self.limit(best);
        self.bounds.smallest(from, &mut self.smallest);
        let least = self.smallest.iter().copied().fold(f32::INFINITY, f32::min);
        if least >= limit {
            return best;
        }
        let first = self.smallest.iter().position(|&bound| bound <= least);
        for group in first.into_iter().chain(0..self.smallest.len()) {
            if self.smallest[group] >= limit {
                continue;
            }
            for to in group * GROUP..(group + 1) * GROUP {
                if self.bounds.at(from, to) >= limit || rank(to) == 0 {
                    continue;
                }
                let distance = self.clusters.distance(from, to);
                self.bounds.tighten(from, to, distance, self.clusters.noise());
                if best.map_or(distance <= self.threshold, |(nearest, least)| {
                    (distance, rank(to)) < (least, rank(nearest))
                }) {
                    best = Some((to, distance));
                    limit = self.limit(best);
                }
            }
            self.smallest[group] = f32::INFINITY;
        }
        best
    }

    /// Says below which number a bound lies if the cluster can be as near as the best.
    fn limit(&self, best: Option<Near>) -> f32 {
        let up = 1.0 + 2.0 * f32::EPSILON;
        match best {
            Some((_, distance)) => distance as f32 * up,
            None => self.threshold as f32 * up + f32::MIN_POSITIVE,
        }
    }
}
