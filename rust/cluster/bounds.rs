//! Lower bounds on the average distances between the clusters of one component.

use super::multiply::BLOCK;
use super::rows::Rows;
use super::screen::{Screen, squares};
use crate::clock::Clock;
use crate::error::{Error, filled};

/// Entries of a row whose smallest is looked for together.
pub(super) const GROUP: usize = 16;
/// Components below this size are not worth packing for the screen.
const SMALL: usize = BLOCK;

/// A symmetric matrix of lower bounds, in f32.
///
/// A merged cluster's distances are weighted averages of its parts' distances, so the same average
/// of lower bounds bounds them; what a decision needs more closely is computed in f64 then.
///
/// A merge changes one row and the same column. The entries of a column lie a row apart, each in a
/// cache line of its own, so merges are written down, and a row takes in those that it has missed
/// when it is next looked at: all of its entries are in the cache then.
pub(super) struct Bounds {
    /// Row-major, `[m, stride]`; infinite between a cluster and itself.
    lower: Vec<f32>,
    /// The merges so far, in order.
    merges: Vec<Merge>,
    /// How many of the merges each row has taken in, `[m]`.
    taken: Vec<u32>,
    /// How many merges there were when a cluster last took another in, `[m]`.
    changed: Vec<u32>,
    /// 0, and infinite once a cluster is done with and in the padding, `[stride]`.
    closed: Vec<f32>,
    m: usize,
    stride: usize,
}

/// One cluster that went into another, and what share of a bound comes from each.
#[derive(Clone, Copy)]
struct Merge {
    from: u32,
    into: u32,
    of_from: f32,
    of_into: f32,
}

impl Bounds {
    fn new(m: usize) -> Result<Self, Error> {
        // One group too many: at a power of two the entries of a column would share cache sets.
        let stride = m.next_multiple_of(GROUP) + GROUP;
        let mut closed = vec![0.0; stride];
        closed[m..].fill(f32::INFINITY);
        let lower = filled(m, stride, f32::INFINITY)?;
        let merges = Vec::with_capacity(m);
        let (taken, changed) = (vec![0; m], vec![0; m]);
        Ok(Self { lower, merges, taken, changed, closed, m, stride })
    }

    /// Bounds the pairs of a component; `None` if all were found to be within the threshold.
    pub(super) fn within<T>(
        rows: &Rows<T>,
        screen: &Screen<T>,
        members: &[usize],
        threshold: f64,
        clock: &mut Clock,
    ) -> Result<Option<Self>, Error>
    where
        T: Copy + Into<f64>,
    {
        if members.len() < SMALL {
            return Self::exact(rows, members, threshold);
        }
        if rows.lie_close(members, threshold) {
            return Ok(None);
        }
        Self::screened(screen, members.len(), threshold, clock)
    }

    /// Bounds all pairs as closely as f32 can; `None` if all are within the threshold.
    fn exact<T>(rows: &Rows<T>, members: &[usize], threshold: f64) -> Result<Option<Self>, Error>
    where
        T: Copy + Into<f64>,
    {
        let m = members.len();
        let pairs = || (1..m).flat_map(|a| (0..a).map(move |b| (a, b)));
        let distances: Vec<f64> =
            pairs().map(|(a, b)| rows.distance(members[a], members[b])).collect();
        if distances.iter().all(|&distance| distance <= threshold) {
            return Ok(None);
        }
        let mut bounds = Self::new(m)?;
        for ((a, b), distance) in pairs().zip(distances) {
            bounds.tighten(a, b, distance, rows.noise());
        }
        Ok(Some(bounds))
    }

    /// Bounds all pairs by the screen: far pairs loosely, others up to its margin.
    ///
    /// `None` if all are within the threshold for certain. Out of time, it stops where it is: what
    /// it returns must not be used then.
    fn screened<T: Copy + Into<f64>>(
        screen: &Screen<T>,
        m: usize,
        threshold: f64,
        clock: &mut Clock,
    ) -> Result<Option<Self>, Error> {
        let mut bounds = Self::new(m)?;
        let (cut, inner) = (screen.cut(threshold), screen.inner(threshold));
        let mut all_within = true;
        for (rows, columns) in squares(m) {
            if clock.after(screen.work()) {
                return Ok(Some(bounds));
            }
            let (mut square, _) = screen.square(rows, columns, cut, 0);
            square.iter_mut().flatten().for_each(|bound| *bound = screen.distance(*bound));
            let (row, column) = (rows * BLOCK, columns * BLOCK);
            all_within = all_within
                && (row..m)
                    .zip(&square)
                    .all(|(a, of_row)| (column..a).zip(of_row).all(|(_, &bound)| bound <= inner));
            for (a, of_row) in (row..m).zip(&square) {
                let at = bounds.place(a, column);
                bounds.lower[at..at + BLOCK].copy_from_slice(of_row);
            }
            // The mirror image; in a square on the diagonal it is there already.
            if column < row {
                for lane in 0..BLOCK {
                    let at = bounds.place(column + lane, row);
                    let image = &mut bounds.lower[at..at + BLOCK];
                    image.iter_mut().zip(&square).for_each(|(to, from)| *to = from[lane]);
                }
            }
        }
        for a in 0..m {
            let at = bounds.place(a, a);
            bounds.lower[at] = f32::INFINITY;
        }
        Ok((!all_within).then_some(bounds))
    }

    pub(super) fn len(&self) -> usize {
        self.m
    }

    /// The bound on the distance between two clusters; infinite if the second is done with.
    ///
    /// The first one's row must be up to date.
    pub(super) fn at(&self, a: usize, b: usize) -> f32 {
        self.lower[self.place(a, b)] + self.closed[b]
    }

    /// Sets a bound to a distance, less what computing it in another way may give.
    ///
    /// The first one's row must be up to date.
    pub(super) fn tighten(&mut self, a: usize, b: usize, distance: f64, noise: f64) {
        let bound = ((distance - noise) as f32 * (1.0 - f32::EPSILON)).max(0.0);
        let (at, image) = (self.place(a, b), self.place(b, a));
        self.lower[at] = bound;
        // A row that has yet to take in a merge of `a` would average this bound with an older one.
        if self.changed[a] <= self.taken[b] {
            self.lower[image] = bound;
        }
    }

    pub(super) fn is_open(&self, a: usize) -> bool {
        self.closed[a] == 0.0
    }

    /// Says that a cluster is done with.
    pub(super) fn close(&mut self, a: usize) {
        self.closed[a] = f32::INFINITY;
    }

    /// Brings a row up to date.
    pub(super) fn update(&mut self, a: usize) {
        let row = &mut self.lower[a * self.stride..(a + 1) * self.stride];
        for merge in &self.merges[self.taken[a] as usize..] {
            let (from, into) = (merge.from as usize, merge.into as usize);
            row[into] = merge.of_into * row[into] + merge.of_from * row[from];
        }
        self.taken[a] = self.merges.len() as u32;
    }

    /// Brings a row up to date and takes the smallest bound in each group of it.
    pub(super) fn smallest(&mut self, a: usize, smallest: &mut Vec<f32>) {
        self.update(a);
        let row = self.lower[a * self.stride..(a + 1) * self.stride].chunks_exact(GROUP);
        smallest.clear();
        smallest.extend(row.zip(self.closed.chunks_exact(GROUP)).map(|(bounds, closed)| {
            let open = bounds.iter().zip(closed).map(|(&bound, &closed)| bound + closed);
            open.fold(f32::INFINITY, |least, bound| if bound < least { bound } else { least })
        }));
    }

    /// Merges a cluster into a later one; `weight` is the earlier one's share of the members.
    pub(super) fn merge(&mut self, from: usize, into: usize, weight: f64) {
        // Four roundings of positive numbers, by a factor of at most 1 + 2^-24 each.
        const DOWN: f32 = 1.0 - 4.0 * f32::EPSILON;
        let (of_from, of_into) = (weight as f32 * DOWN, (1.0 - weight) as f32 * DOWN);
        self.close(from);
        self.update(from);
        self.update(into);
        let (before, after) = self.lower.split_at_mut(into * self.stride);
        let moved = &before[from * self.stride..(from + 1) * self.stride];
        for (bound, &other) in after.iter_mut().zip(moved) {
            *bound = of_into * *bound + of_from * other;
        }
        self.merges.push(Merge { from: from as u32, into: into as u32, of_from, of_into });
        self.taken[into] = self.merges.len() as u32;
        self.changed[into] = self.merges.len() as u32;
    }

    fn place(&self, a: usize, b: usize) -> usize {
        a * self.stride + b
    }
}
