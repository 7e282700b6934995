//! The clusters and the nodes on paths to their carriers.

use super::forest::Forest;
use super::groups::Groups;
use super::none::NONE;
use crate::clock::Clock;

/// Pairs that are listed in full; a tree of tens of thousands of levels could have far more.
const MOST_PAIRS: usize = 1 << 22;

/// Lists the pairs of a cluster and a node, cluster by cluster, a node after those above it; the
/// root has no pairs.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// Where the pairs of each cluster start, `[K + 1]`.
    pub start: Vec<u32>,
    pub node: Vec<u32>,
    /// The pair of the same cluster and the node's parent, or `NONE`.
    pub up: Vec<u32>,
    /// Whether the node carries the cluster.
    pub carries: Vec<bool>,
    /// Entries and hints of the forest by cluster.
    carriers: Groups,
    hints: Groups,
    /// The pair that each node was last listed in, `[r]`.
    pair_of: Vec<u32>,
}

impl Pairs {
    /// Lists the pairs of a forest, with the multipliers that it hints at.
    ///
    /// Out of time, it lists what it would past the limit.
    pub fn list(&mut self, forest: &Forest, multiplier: &mut Vec<f64>, clock: &mut Clock) {
        self.carriers.list(forest.clusters(), forest.owner.len(), |e| forest.cover[e]);
        self.hints.list(forest.clusters(), forest.hints.len(), |at| forest.hints[at].cluster);
        multiplier.clear();
        self.start.clear();
        self.node.clear();
        self.up.clear();
        self.carries.clear();
        self.pair_of.clear();
        self.pair_of.resize(forest.len(), NONE);
        self.start.push(0);
        for k in 0..forest.clusters() {
            let carriers = || self.carriers.of(k).iter().map(|&e| forest.owner[e as usize]);
            let first = self.node.len();
            let listed = |pair: u32| pair != NONE && pair as usize >= first;
            for mut v in carriers() {
                while v != 0 && !listed(self.pair_of[v as usize]) {
                    self.pair_of[v as usize] = self.node.len() as u32;
                    self.node.push(v);
                    // Past the limit only carriers are listed: what is not listed has no multiplier.
                    let full = self.node.len() >= MOST_PAIRS || clock.expired();
                    v = if full { 0 } else { forest.parent[v as usize] };
                }
            }
            clock.after(self.node.len() - first);
            self.node[first..].sort_unstable();
            self.carries.resize(self.node.len(), false);
            for (&v, pair) in self.node[first..].iter().zip(first as u32..) {
                self.pair_of[v as usize] = pair;
                let above = forest.parent[v as usize];
                let up = self.pair_of[above as usize];
                self.up.push(if listed(up) { up } else { NONE });
            }
            for carrier in carriers() {
                self.carries[self.pair_of[carrier as usize] as usize] = true;
            }
            multiplier.resize(self.node.len(), 0.0);
            for &at in self.hints.of(k) {
                let hint = forest.hints[at as usize];
                if listed(self.pair_of[hint.node as usize]) {
                    multiplier[self.pair_of[hint.node as usize] as usize] += hint.multiplier;
                }
            }
            self.start.push(self.node.len() as u32);
        }
    }
}
