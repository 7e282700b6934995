//! Average linkage inside one component, up to the cut.

use super::clusters::Clusters;
use super::components::DisjointSets;
use super::rows::Rows;
use super::screen::{BLOCK, STRIP, Screen, tiles};

/// Components below this size are not worth packing for the screen.
const SMALL: usize = BLOCK;
/// Entries of a row whose smallest is kept.
const GROUP: usize = 16;

/// Runs average linkage inside one component and joins what merges at or below the threshold.
///
/// Average linkage is reducible: a merge brings no cluster closer to a third than its parts were. So
/// merging reciprocal nearest neighbours in any order builds the same tree, and a cluster that has
/// no neighbour within the threshold will never have one.
pub(super) fn link<T: Copy + Into<f64>>(
    rows: &Rows<T>,
    screen: &Screen<T>,
    members: &[usize],
    threshold: f64,
    merged: &mut DisjointSets,
) {
    let bounds = if members.len() == rows.len() {
        Bounds::within(rows, screen, members, threshold)
    } else {
        Bounds::within(rows, &Screen::new(rows, members), members, threshold)
    };
    match bounds {
        None => members.iter().for_each(|&i| merged.join(members[0], i)),
        Some(bounds) => {
            let clusters = Clusters::of(rows, members);
            Linkage { clusters, bounds, threshold, smallest: Vec::new() }
                .run(|a, b| merged.join(members[a], members[b]));
        }
    }
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
    fn run(&mut self, mut join: impl FnMut(usize, usize)) {
        let mut chain: Vec<Near> = Vec::new();
        let mut start = 0;
        loop {
            let Some(&(top, distance)) = chain.last() else {
                match (start..self.bounds.m).find(|&a| self.bounds.is_open(a)) {
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
                Some(near) => chain.push(near),
            }
        }
    }

    fn merge(&mut self, from: usize, into: usize) {
        let (few, many) = (self.clusters.size(from), self.clusters.size(into));
        self.bounds.merge(from, into, few / (few + many));
        self.clusters.merge(from, into);
    }

    /// Finds the nearest cluster within the threshold; on a tie `before`, so that chains end.
    ///
    /// Computes in f64 what the bounds do not rule out, the smallest bound first.
    fn nearest(&mut self, from: usize, before: Option<Near>) -> Option<Near> {
        let mut best = before;
        self.bounds.smallest(from, &mut self.smallest);
        let least = self.smallest.iter().fold(f32::INFINITY, |least, &bound| least.min(bound));
        let mut limit = self.limit(best);
        if least >= limit {
            return best;
        }
        let group = self.smallest.iter().position(|&bound| bound <= least)?;
        for group in std::iter::once(group).chain(0..self.smallest.len()) {
            if self.smallest[group] >= limit {
                continue;
            }
            for to in group * GROUP..(group + 1) * GROUP {
                if self.bounds.at(from, to) < limit && before.is_none_or(|(k, _)| k != to) {
                    let distance = self.clusters.distance(from, to);
                    self.bounds.set(from, to, below(distance, self.clusters.noise()));
                    if best.map_or(distance <= self.threshold, |(_, least)| distance < least) {
                        best = Some((to, distance));
                        limit = self.limit(best);
                    }
                }
            }
            self.smallest[group] = f32::INFINITY;
        }
        best
    }

    /// Says below which number a bound must lie for a cluster to come closer than the best.
    fn limit(&self, best: Option<Near>) -> f32 {
        let up = 1.0 + 2.0 * f32::EPSILON;
        match best {
            Some((_, distance)) => distance as f32 * up,
            None => self.threshold as f32 * up + f32::MIN_POSITIVE,
        }
    }
}

/// Lower bounds on the distances between clusters.
///
/// A merged cluster's distances are weighted averages of its parts' distances, so the same average
/// of lower bounds bounds them; what a decision needs more closely is computed in f64 then.
struct Bounds {
    /// Row-major, `[m, stride]`; infinite between a cluster and itself and in the padding.
    lower: Vec<f32>,
    /// 0, and infinite once a cluster is done with, `[stride]`.
    closed: Vec<f32>,
    m: usize,
    stride: usize,
}

impl Bounds {
    fn new(m: usize) -> Self {
        // One group too many: columns with a power of two between entries would share cache sets.
        let stride = m.next_multiple_of(GROUP) + GROUP;
        let mut closed = vec![0.0; stride];
        closed[m..].fill(f32::INFINITY);
        Self { lower: vec![f32::INFINITY; m * stride], closed, m, stride }
    }

    /// Bounds the pairs of a component; `None` if all were found within the threshold.
    fn within<T>(
        rows: &Rows<T>,
        screen: &Screen<T>,
        members: &[usize],
        threshold: f64,
    ) -> Option<Self>
    where
        T: Copy + Into<f64>,
    {
        if members.len() < SMALL {
            return Self::exact(rows, members, threshold);
        }
        (!rows.lie_close(members, threshold)).then(|| Self::screened(screen, members.len(), threshold))
    }

    /// Bounds all pairs as closely as f32 can; `None` if all are within the threshold.
    fn exact<T>(rows: &Rows<T>, members: &[usize], threshold: f64) -> Option<Self>
    where
        T: Copy + Into<f64>,
    {
        let m = members.len();
        let pairs = || (1..m).flat_map(|a| (0..a).map(move |b| (a, b)));
        let distances: Vec<f64> =
            pairs().map(|(a, b)| rows.distance(members[a], members[b])).collect();
        if m == 2 || distances.iter().all(|&distance| distance <= threshold) {
            return None;
        }
        let mut bounds = Self::new(m);
        for ((a, b), distance) in pairs().zip(distances) {
            bounds.set(a, b, below(distance, rows.noise()));
        }
        Some(bounds)
    }

    /// Bounds all pairs by the screen: far pairs loosely, others up to its margin.
    fn screened<T: Copy + Into<f64>>(screen: &Screen<T>, m: usize, threshold: f64) -> Self {
        let mut bounds = Self::new(m);
        let cut = screen.cut(threshold);
        for (strip, block) in tiles(m) {
            let (mut tile, _) = screen.tile(strip, block, cut, 0);
            tile.iter_mut().flatten().for_each(|bound| *bound = screen.distance(*bound));
            let (row, column) = (strip * STRIP, block * BLOCK);
            for (row, bounds_of_row) in tile.iter().enumerate().take(m - row) {
                let at = (strip * STRIP + row) * bounds.stride + column;
                bounds.lower[at..at + BLOCK].copy_from_slice(bounds_of_row);
            }
            // The mirror image; in a block on the diagonal it is there already.
            for lane in (0..BLOCK).take_while(|lane| column + lane < row / BLOCK * BLOCK) {
                let at = (column + lane) * bounds.stride + row;
                let image = &mut bounds.lower[at..at + STRIP];
                image.iter_mut().zip(&tile).for_each(|(to, from)| *to = from[lane]);
            }
        }
        (0..m).for_each(|a| bounds.set(a, a, f32::INFINITY));
        bounds
    }

    fn row(&self, a: usize) -> &[f32] {
        &self.lower[a * self.stride..(a + 1) * self.stride]
    }

    fn at(&self, a: usize, b: usize) -> f32 {
        self.lower[a * self.stride + b] + self.closed[b]
    }

    fn set(&mut self, a: usize, b: usize, bound: f32) {
        self.lower[a * self.stride + b] = bound;
        self.lower[b * self.stride + a] = bound;
    }

    fn is_open(&self, a: usize) -> bool {
        self.closed[a] == 0.0
    }

    fn close(&mut self, a: usize) {
        self.closed[a] = f32::INFINITY;
    }

    /// Takes the smallest bound in each group of a row.
    fn smallest(&self, a: usize, smallest: &mut Vec<f32>) {
        let groups = self.row(a).chunks_exact(GROUP).zip(self.closed.chunks_exact(GROUP));
        smallest.clear();
        smallest.extend(groups.map(|(bounds, closed)| {
            let open = bounds.iter().zip(closed).map(|(&bound, &closed)| bound + closed);
            open.fold(f32::INFINITY, |least, bound| if bound < least { bound } else { least })
        }));
    }

    /// Puts the bounds of a merged cluster in the place of its later part.
    ///
    /// `weight` is the earlier part's share of the members.
    fn merge(&mut self, from: usize, into: usize, weight: f64) {
        // Four roundings of positive numbers, by a factor of at most 1 + 2^-24 each.
        const DOWN: f32 = 1.0 - 4.0 * f32::EPSILON;
        let (of_from, of_into) = (weight as f32 * DOWN, (1.0 - weight) as f32 * DOWN);
        self.close(from);
        let (before, after) = self.lower.split_at_mut(into * self.stride);
        let row = &mut after[..self.stride];
        for (bound, &other) in row.iter_mut().zip(&before[from * self.stride..]) {
            *bound = of_into * *bound + of_from * other;
        }
        for k in 0..self.closed.len() {
            if self.is_open(k) {
                self.lower[k * self.stride + into] = self.lower[into * self.stride + k];
            }
        }
    }
}

/// Rounds a distance down to f32, by more than what two ways to compute it may differ.
fn below(distance: f64, noise: f64) -> f32 {
    ((distance - noise) as f32 * (1.0 - f32::EPSILON)).max(0.0)
}
