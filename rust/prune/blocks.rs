//! The gains of clusters in blocks, each of which has a multiplier in a bound.

use super::forest::Forest;
use super::gains::Gains;
use super::groups::Groups;
use super::none::NONE;

/// Splits the gains of each cluster where the rank of an entry says so: a block holds those from
/// one rank that occurs up to the next. Where all clusters have the one gain, each is a block.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// The blocks, cluster by cluster; empty where each cluster is one.
    list: Vec<Block>,
    gains: Vec<f64>,
    /// Block of each entry, `[e]`; empty with `list`.
    of_entry: Vec<u32>,
    /// Entries of the forest by cluster, and by block where those differ.
    by_cluster: Groups,
    by_block: Groups,
    split: bool,
    /// Block that starts at each gain of the cluster in work.
    starts: Vec<u32>,
    /// Means of adjacent multipliers, each with how many there are.
    means: Vec<(f64, usize)>,
}

/// Some gains of one cluster, as a stretch of all; and whether they are its first.
#[derive(Debug, Clone, Copy)]
struct Block {
    start: u32,
    end: u32,
    opens: bool,
}

impl Blocks {
    /// Splits the gains of a forest, and lists its entries.
    pub fn list(&mut self, forest: &Forest) {
        self.by_cluster.list(forest.clusters(), forest.owner.len(), |e| forest.cover[e]);
        self.list.clear();
        self.of_entry.clear();
        self.gains.clear();
        self.split = forest.gains.same().is_none();
        if !self.split {
            return;
        }
        self.of_entry.resize(forest.owner.len(), 0);
        for cluster in 0..forest.clusters() as u32 {
            let base = self.gains.len() as u32;
            self.gains.extend_from_slice(forest.gains.of(cluster));
            let gains = forest.gains.of(cluster).len();
            self.starts.clear();
            self.starts.resize(gains.max(1), NONE);
            self.starts[0] = 0;
            // Behind the last gain a lower rank bounds as well.
            let place = |e: u32| {
                let rank = forest.rank.get(e as usize).copied().unwrap_or(0);
                (rank as usize).min(gains.max(1) - 1)
            };
            let entries = self.by_cluster.of(cluster as usize);
            entries.iter().for_each(|&e| self.starts[place(e)] = 0);
            for (first, start) in (0..).zip(&mut self.starts).filter(|(_, start)| **start == 0) {
                *start = self.list.len() as u32;
                if let Some(before) = self.list.last_mut().filter(|_| first > 0) {
                    before.end = base + first;
                }
                let (start, end) = (base + first, base + gains as u32);
                self.list.push(Block { start, end, opens: first == 0 });
            }
            entries.iter().for_each(|&e| self.of_entry[e as usize] = self.starts[place(e)]);
        }
        self.by_block.list(self.list.len(), forest.owner.len(), |e| self.of_entry[e]);
    }

    /// How many blocks there are.
    pub fn count(&self, forest: &Forest) -> usize {
        if self.split { self.list.len() } else { forest.clusters() }
    }

    /// The block of each entry, `[e]`.
    pub fn of<'a>(&'a self, forest: &'a Forest) -> &'a [u32] {
        if self.split { &self.of_entry } else { &forest.cover }
    }

    /// The gains of a block.
    #[inline]
    pub fn gains<'a>(&'a self, gains: &'a Gains, block: u32) -> &'a [f64] {
        if !self.split {
            return gains.of(block);
        }
        let Block { start, end, .. } = self.list[block as usize];
        &self.gains[start as usize..end as usize]
    }

    /// The largest of them, above which no multiplier need be.
    pub fn most(&self, gains: &Gains, block: u32) -> f64 {
        if self.split {
            self.gains(gains, block).first().copied().unwrap_or(0.0)
        } else {
            gains.next(block, 0)
        }
    }

    /// The entries of a block, ascending.
    pub fn entries(&self, block: usize) -> &[u32] {
        if self.split { self.by_block.of(block) } else { self.by_cluster.of(block) }
    }

    /// The entries of the forest by cluster.
    pub fn by_cluster(&self) -> &Groups {
        &self.by_cluster
    }

    /// The block before one, if it holds gains of the same cluster.
    pub fn before(&self, block: u32) -> Option<u32> {
        (!self.list.get(block as usize)?.opens).then(|| block - 1)
    }

    /// Moves multipliers to the nearest ones of which none is above that of the block before it.
    pub fn level(&mut self, multiplier: &mut [f64]) {
        let mut first = 0;
        for of_one in self.list.chunk_by(|_, next| !next.opens) {
            let multiplier = &mut multiplier[first..first + of_one.len()];
            first += of_one.len();
            if multiplier.len() == 1 || multiplier.is_sorted_by(|a, b| a >= b) {
                continue;
            }
            self.means.clear();
            for &next in &*multiplier {
                let mut last = (next, 1);
                while let Some(&(mean, count)) =
                    self.means.last().filter(|(mean, _)| *mean < last.0)
                {
                    let both = count + last.1;
                    last.0 = (mean * count as f64 + last.0 * last.1 as f64) / both as f64;
                    last.1 = both;
                    self.means.pop();
                }
                self.means.push(last);
            }
            let level =
                self.means.iter().flat_map(|&(mean, count)| std::iter::repeat_n(mean, count));
            multiplier.iter_mut().zip(level).for_each(|(multiplier, mean)| *multiplier = mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Clusters whose gains, three each, have a block each: one member at every rank.
    fn of_three(clusters: u32) -> Forest {
        let mut forest = Forest::default();
        forest.clear(None);
        for k in 0..clusters {
            forest.gains.push([4.0, 2.0, 1.0].into_iter());
            for rank in 0..3 {
                forest.owner.push(3 * k + rank + 1);
                forest.cover.push(k);
                forest.rank.push(rank);
            }
        }
        forest
    }

    #[test]
    fn gains_are_split_where_ranks_occur() {
        let mut forest = of_three(2);
        forest.rank = vec![0, 0, 2, 0, 1, 9];
        let mut blocks = Blocks::default();
        for _ in 0..2 {
            blocks.list(&forest);
            let gains = |b: u32| blocks.gains(&forest.gains, b);
            assert_eq!(blocks.count(&forest), 5);
            assert_eq!([gains(0), gains(1)], [&[4.0, 2.0][..], &[1.0]]);
            assert_eq!([gains(2), gains(3), gains(4)], [&[4.0], &[2.0], &[1.0]]);
            assert_eq!(blocks.of(&forest), [0, 0, 1, 2, 3, 4]);
            assert_eq!(
                (0..5).map(|b| blocks.before(b)).collect::<Vec<_>>(),
                [None, Some(0), None, Some(2), Some(3)]
            );
            assert_eq!(blocks.entries(0), [0, 1]);
        }
    }

    proptest! {
        #[test]
        fn levelled_multipliers_are_the_nearest_that_fall(multipliers in vec(0.0..4.0, 6)) {
            let mut blocks = Blocks::default();
            blocks.list(&of_three(2));
            let mut level = multipliers.clone();
            blocks.level(&mut level);
            for (before, after) in multipliers.chunks(3).zip(level.chunks(3)) {
                // The largest of the least means: what the nearest falling sequence is known to be.
                let mean = |a: usize, b: usize| {
                    before[a..=b].iter().sum::<f64>() / (b - a + 1) as f64
                };
                for (i, &got) in after.iter().enumerate() {
                    let most = |a: usize| (i..3).map(|b| mean(a, b)).fold(f64::MIN, f64::max);
                    let nearest = (0..=i).map(most).fold(f64::MAX, f64::min);
                    prop_assert!((got - nearest).abs() < 1e-12, "{multipliers:?} became {level:?}");
                }
            }
        }
    }
}
