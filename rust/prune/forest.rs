//! What is left of a selection problem between reductions.

use std::ops::Range;

use super::gains::Gains;
use super::none::NONE;
use super::problem::Problem;

/// A problem in its bare form: keep nodes, each with its parent, and cover clusters.
///
/// Node 0 is the root and always kept. A selection is worth the values of its nodes, plus what the
/// members of clusters that they carry are worth. No leaf needs to be kept: that is seen to
/// elsewhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Forest {
    /// Parent of each node, `[r]`; parents come before children; the root's entry is not read.
    pub parent: Vec<u32>,
    /// Worth of each node without gains, `[r]`.
    pub value: Vec<f64>,
    /// Node of each entry of `cover`, ascending, `[e]`.
    pub owner: Vec<u32>,
    /// Cluster of which the node carries a member, `0..K`, `[e]`. A node carries no more members of a
    /// cluster than that has gains.
    pub cover: Vec<u32>,
    /// How many members of the same cluster some best selection holds wherever it holds the entry's,
    /// each with a smaller rank, `[e]`; empty where that is not known. So its member adds the gain of
    /// that rank at most.
    pub rank: Vec<u32>,
    /// KV tokens of each node, `[r]`; empty where no budget limits them.
    pub tokens: Vec<u64>,
    /// What the members of each cluster add.
    pub gains: Gains,
    /// Multipliers of pairs of node and cluster from which a bound may start; pairs may repeat.
    pub hints: Vec<Hint>,
}

/// What a bound's multiplier of a cluster was at a node.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hint {
    pub node: u32,
    pub cluster: u32,
    pub multiplier: f64,
}

impl Forest {
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// Starts anew, for clusters with the one gain `same`, where there is one.
    pub fn clear(&mut self, same: Option<f64>) {
        self.parent.clear();
        self.value.clear();
        self.owner.clear();
        self.cover.clear();
        self.rank.clear();
        self.tokens.clear();
        self.gains.clear(same);
        self.hints.clear();
    }

    /// How many clusters there are.
    pub fn clusters(&self) -> usize {
        self.gains.clusters()
    }

    /// Says whether a budget limits the tokens of the kept nodes.
    pub fn budgeted(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// The one worth more of two nodes, either of which may be `NONE`; of equal ones that with fewer
    /// tokens, then the first.
    pub fn better(&self, a: u32, b: u32) -> u32 {
        if a == NONE || b == NONE {
            return a.min(b);
        }
        let value = |v: u32| self.value[v as usize];
        let tokens = |v: u32| self.tokens.get(v as usize);
        // Values are finite.
        let order = value(b).total_cmp(&value(a)).then(tokens(a).cmp(&tokens(b)));
        if order.then(a.cmp(&b)).is_lt() { a } else { b }
    }

    /// Takes over a whole problem, every value times `unit`.
    pub fn load(&mut self, problem: &Problem, unit: f64) {
        self.clear(problem.gains.same().map(|gain| gain * unit));
        self.parent.extend_from_slice(&problem.parent);
        if problem.budget.is_some() {
            self.tokens.extend_from_slice(&problem.tokens);
        }
        self.value.extend(problem.cost.iter().map(|cost| -cost * unit));
        for (&v, profit) in problem.leaf.iter().zip(&problem.profit) {
            self.value[v as usize] += profit * unit;
        }
        if problem.coupled() {
            self.gains.copy_scaled(&problem.gains, unit);
            for (v, &candidate) in (0..).zip(&problem.candidate_at) {
                if let Some(&cluster) = problem.cluster.get(candidate as usize) {
                    self.owner.push(v);
                    self.cover.push(cluster);
                }
            }
        }
    }

    /// Takes over another forest without its budget, each token priced instead.
    pub fn load_priced(&mut self, budgeted: &Self, token_price: f64) {
        self.clone_from(budgeted);
        for (value, &tokens) in self.value.iter_mut().zip(&budgeted.tokens) {
            *value -= token_price * tokens as f64;
        }
        self.tokens.clear();
    }

    /// Chooses the best selection where a node is worth its entry of `sum`, no gains counted.
    ///
    /// Turns `sum` into the worth of each subtree given that its top is kept, and keeps those worth
    /// more than `least`.
    pub fn choose(&self, least: f64, sum: &mut [f64], keep: &mut Vec<bool>) {
        for v in (1..self.len()).rev() {
            let worth = sum[v].max(0.0);
            sum[self.parent[v] as usize] += worth;
        }
        keep.clear();
        keep.push(true);
        for v in 1..self.len() {
            keep.push(keep[self.parent[v] as usize] && sum[v] > least);
        }
    }

    /// Sums the tokens of a selection.
    pub fn tokens_of(&self, keep: &[bool]) -> u64 {
        self.tokens.iter().zip(keep).map(|(tokens, &kept)| tokens * u64::from(kept)).sum()
    }

    /// Sums the worth of a selection, gains included; `held` is scratch.
    pub fn worth(&self, keep: &[bool], held: &mut Vec<u32>) -> f64 {
        self.count_held(keep, held);
        let nodes: f64 =
            self.value.iter().zip(keep).filter(|(_, kept)| **kept).map(|(value, _)| value).sum();
        nodes + self.gains.worth(held)
    }

    /// The entries of a node. O(log e).
    pub fn entries_of(&self, v: usize) -> Range<usize> {
        let first = self.owner.partition_point(|&owner| (owner as usize) < v);
        let own = self.owner[first..].iter().take_while(|&&owner| owner as usize == v).count();
        first..first + own
    }

    /// The clusters of which a node carries members. O(log e).
    pub fn members_of(&self, v: usize) -> &[u32] {
        &self.cover[self.entries_of(v)]
    }

    /// Counts the members of each cluster in a selection, `[K]`.
    pub fn count_held(&self, keep: &[bool], held: &mut Vec<u32>) {
        held.clear();
        held.resize(self.clusters(), 0);
        for (&v, &k) in self.owner.iter().zip(&self.cover) {
            held[k as usize] += u32::from(keep[v as usize]);
        }
    }
}
