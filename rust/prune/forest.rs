//! What is left of a selection problem between reductions.

use super::problem::Problem;

/// Stands for "not kept" in a map from the nodes of one forest to those of the next.
pub(super) const OUT: u32 = u32::MAX;

/// A problem in its bare form: keep nodes, each with its parent, and cover clusters.
///
/// Node 0 is the root and always kept. A selection is worth the values of its nodes, plus one gain
/// (the same for all) for each cluster that a kept node carries. No leaf needs to be kept: that is
/// seen to elsewhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Forest {
    /// Parent of each node, `[r]`; parents come before children; the root's entry is not read.
    pub parent: Vec<u32>,
    /// Worth of each node without gains, `[r]`.
    pub value: Vec<f64>,
    /// Node of each entry of `cover`, ascending, `[e]`.
    pub owner: Vec<u32>,
    /// Cluster that the node carries, `0..K`; no node carries one twice, `[e]`.
    pub cover: Vec<u32>,
    /// KV tokens of each node, `[r]`; empty where no budget limits them.
    pub tokens: Vec<u64>,
    /// How many clusters there are.
    pub clusters: usize,
    /// Prices of pairs of node and cluster from which a bound may start; pairs may repeat.
    pub hints: Vec<Hint>,
}

/// A price that a cluster paid at a node.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hint {
    pub node: u32,
    pub cluster: u32,
    pub price: f64,
}

impl Forest {
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    pub fn clear(&mut self) {
        self.parent.clear();
        self.value.clear();
        self.owner.clear();
        self.cover.clear();
        self.tokens.clear();
        self.clusters = 0;
        self.hints.clear();
    }

    /// Says whether a budget limits the tokens of the kept nodes.
    pub fn budgeted(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Takes over a whole problem, every value times `unit`.
    pub fn load(&mut self, problem: &Problem, unit: f64) {
        self.clear();
        self.parent.extend_from_slice(&problem.parent);
        if problem.budget.is_some() {
            self.tokens.extend_from_slice(&problem.tokens);
        }
        self.value.extend(problem.cost.iter().map(|cost| -cost * unit));
        for (&v, profit) in problem.leaf.iter().zip(&problem.profit) {
            self.value[v as usize] += profit * unit;
        }
        // One cluster, or none: any choice covers what there is.
        if problem.cluster_count > 1 {
            self.clusters = problem.cluster_count;
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

    /// Sums the worth of a selection, gains included; `seen` is scratch.
    pub fn worth(&self, keep: &[bool], gain: f64, seen: &mut Vec<bool>) -> f64 {
        seen.clear();
        seen.resize(self.clusters, false);
        for (&v, &k) in self.owner.iter().zip(&self.cover) {
            seen[k as usize] |= keep[v as usize];
        }
        let nodes: f64 =
            self.value.iter().zip(keep).filter(|(_, kept)| **kept).map(|(value, _)| value).sum();
        nodes + gain * seen.iter().filter(|&&seen| seen).count() as f64
    }
}
