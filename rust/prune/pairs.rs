//! The clusters and the nodes on paths to their carriers.

use super::forest::Forest;
use super::problem::NONE;

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
    /// Carriers by cluster, and where those of each start, `[e]` and `[K + 1]`.
    carrier: Vec<u32>,
    carrier_start: Vec<u32>,
    /// Nodes and prices hinted at, by cluster, and where those of each start.
    hint: Vec<(u32, f64)>,
    hint_start: Vec<u32>,
    /// The pair that each node was last listed in, `[r]`.
    pair_of: Vec<u32>,
}

impl Pairs {
    /// Lists the pairs of a forest, with the prices that it hints at.
    pub fn list(&mut self, forest: &Forest, price: &mut Vec<f64>) {
        self.sort_hints(forest);
        price.clear();
        self.carrier_start.clear();
        self.carrier_start.resize(forest.clusters + 1, 0);
        forest.cover.iter().for_each(|&k| self.carrier_start[k as usize + 1] += 1);
        (0..forest.clusters).for_each(|k| self.carrier_start[k + 1] += self.carrier_start[k]);
        self.carrier.clear();
        self.carrier.resize(forest.owner.len(), 0);
        for (&v, &k) in forest.owner.iter().zip(&forest.cover) {
            let slot = &mut self.carrier_start[k as usize];
            self.carrier[*slot as usize] = v;
            *slot += 1;
        }
        self.start.clear();
        self.node.clear();
        self.up.clear();
        self.carries.clear();
        self.pair_of.clear();
        self.pair_of.resize(forest.len(), NONE);
        self.start.push(0);
        let mut from = 0;
        for k in 0..forest.clusters {
            // Filling moved each start to its end.
            let carriers = from..self.carrier_start[k] as usize;
            from = carriers.end;
            let first = self.node.len();
            let listed = |pair: u32| pair != NONE && pair as usize >= first;
            for &carrier in &self.carrier[carriers.clone()] {
                let mut v = carrier;
                while v != 0 && !listed(self.pair_of[v as usize]) {
                    self.pair_of[v as usize] = self.node.len() as u32;
                    self.node.push(v);
                    // Past the limit only carriers are listed: what is not listed has no price.
                    v = if self.node.len() < MOST_PAIRS { forest.parent[v as usize] } else { 0 };
                }
            }
            self.node[first..].sort_unstable();
            self.carries.resize(self.node.len(), false);
            for (&v, pair) in self.node[first..].iter().zip(first as u32..) {
                self.pair_of[v as usize] = pair;
                let above = forest.parent[v as usize];
                let up = self.pair_of[above as usize];
                self.up.push(if listed(up) { up } else { NONE });
            }
            for &carrier in &self.carrier[carriers] {
                self.carries[self.pair_of[carrier as usize] as usize] = true;
            }
            price.resize(self.node.len(), 0.0);
            let hints = self.hint_start[k] as usize..self.hint_start[k + 1] as usize;
            for &(node, hint) in &self.hint[hints] {
                if listed(self.pair_of[node as usize]) {
                    price[self.pair_of[node as usize] as usize] += hint;
                }
            }
            self.start.push(self.node.len() as u32);
        }
    }

    /// Sorts a forest's hints by cluster.
    fn sort_hints(&mut self, forest: &Forest) {
        let start = &mut self.hint_start;
        start.clear();
        start.resize(forest.clusters + 2, 0);
        // Two places further, so that filling moves each start to where it belongs.
        forest.hints.iter().for_each(|hint| start[hint.cluster as usize + 2] += 1);
        (2..start.len()).for_each(|k| start[k] += start[k - 1]);
        self.hint.clear();
        self.hint.resize(forest.hints.len(), (0, 0.0));
        for hint in &forest.hints {
            let slot = &mut start[hint.cluster as usize + 1];
            self.hint[*slot as usize] = (hint.node, hint.price);
            *slot += 1;
        }
    }
}
