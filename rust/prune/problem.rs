//! The checked problem, restricted to the nodes on paths to candidate leaves.

use std::collections::HashMap;

use super::Request;
use crate::error::{Error, check_entries, check_length, check_scalar};

/// Stands for "no node" or "no candidate" in u32 arrays.
pub(super) const NONE: u32 = u32::MAX;

/// Holds a checked problem over `p` local nodes (topological order, root first) and `n` candidates.
pub(super) struct Problem {
    /// Local parent of each node, `[p]`; `NONE` for the root.
    pub parent: Vec<u32>,
    /// `lambda_b * c_v`, `[p]`.
    pub cost: Vec<f64>,
    /// Tokens of each node, `[p]`; all 0 without `node_tokens`. Their sum fits an `i64`.
    pub tokens: Vec<u64>,
    /// The candidate that sits at each node, `[p]`; `NONE` where there is none.
    pub candidate_at: Vec<u32>,
    /// Local node of each candidate, `[n]`.
    pub leaf: Vec<u32>,
    /// `O_i`, `[n]`; sums to 1.
    pub profit: Vec<f64>,
    /// Cluster of each candidate, `0..cluster_count`, `[n]`; empty without a coverage term.
    pub cluster: Vec<u32>,
    /// `K`; 0 without a coverage term.
    pub cluster_count: usize,
    /// `lambda_d / K`; 0 without a coverage term.
    pub gain: f64,
    /// The most tokens the kept nodes may hold; at least what the cheapest leaf needs.
    pub budget: Option<u64>,
}

/// What a set of kept leaves is worth and holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Value {
    /// Sum of the kept leaves' `O_i`.
    pub profit: f64,
    /// `lambda_b` times the cost of the kept nodes.
    pub cost: f64,
    /// Kept nodes.
    pub nodes: usize,
    /// Tokens on them.
    pub tokens: u64,
    /// The objective: profit less cost, plus the gain of each covered cluster.
    pub objective: f64,
}

impl Problem {
    pub fn new(request: &Request<'_>) -> Result<Self, Error> {
        check_numbers(request)?;
        let m = request.parents.len();
        let mut parents = read_parents(request.parents)?;
        let leaves = read_leaves(request.leaves, m)?;
        check_length("weights", request.weights.len(), leaves.len(), "leaves")?;
        let at_least_0 = |value: f64| value.is_finite() && value >= 0.0;
        check_entries("weights", request.weights, "finite and at least 0", at_least_0)?;
        let profit = shares(request.weights).ok_or(Error::Scalar {
            argument: "the sum of weights",
            value: 0.0.into(),
            expected: "above 0",
        })?;

        let local = number_paths(&parents, &leaves);
        let on_path = |v: usize| local[v] != NONE;
        let kept: Vec<usize> = (0..m).filter(|&v| on_path(v)).collect();
        let costs = match request.node_costs {
            None => vec![1.0 / kept.len() as f64; kept.len()],
            Some(costs) => {
                check_length("node_costs", costs.len(), m, "parents")?;
                check_entries("node_costs", costs, "finite and at least 0", at_least_0)?;
                let costs: Vec<f64> = kept.iter().map(|&v| costs[v]).collect();
                shares(&costs).unwrap_or(costs)
            }
        };
        let tokens = match request.node_tokens {
            None => vec![0; kept.len()],
            Some(tokens) => read_tokens(tokens, m, &kept)?,
        };
        for &v in &kept {
            parents[v] = if parents[v] == NONE { NONE } else { local[parents[v] as usize] };
        }
        let leaf: Vec<u32> = leaves.iter().map(|&v| local[v as usize]).collect();
        let mut candidate_at = vec![NONE; kept.len()];
        for (i, &v) in leaf.iter().enumerate() {
            candidate_at[v as usize] = i as u32;
        }
        let (cluster, cluster_count) = match request.clusters {
            Some(labels) => {
                check_length("clusters", labels.len(), leaf.len(), "leaves")?;
                if request.lambda_d > 0.0 { number_labels(labels) } else { (Vec::new(), 0) }
            }
            None => (Vec::new(), 0),
        };
        let mut problem = Self {
            parent: kept.iter().map(|&v| parents[v]).collect(),
            cost: costs.iter().map(|&c| request.lambda_b * c).collect(),
            tokens,
            candidate_at,
            leaf,
            profit,
            cluster,
            cluster_count,
            gain: if cluster_count > 0 { request.lambda_d / cluster_count as f64 } else { 0.0 },
            budget: None,
        };
        if let Some(budget) = request.kv_budget {
            let needs = problem.path_sums().into_iter().min().unwrap_or(0);
            match u64::try_from(budget) {
                Ok(fits) if fits >= needs => problem.budget = Some(fits),
                _ => return Err(Error::BudgetTooSmall { budget, needs }),
            }
        }
        Ok(problem)
    }

    /// Says whether the best choice in one subtree does not depend on the others: no budget, and
    /// either no coverage term, one cluster (always covered), or one leaf to each cluster.
    pub fn decouples(&self) -> bool {
        self.budget.is_none() && (self.cluster_count <= 1 || self.cluster_count == self.leaf.len())
    }

    /// Values a non-empty set of kept leaves, from scratch.
    pub fn evaluate(&self, keep: &[bool]) -> Value {
        let mut on_path = vec![false; self.parent.len()];
        let mut covered = vec![false; self.cluster_count];
        let mut value = Value::default();
        for i in (0..keep.len()).filter(|&i| keep[i]) {
            on_path[self.leaf[i] as usize] = true;
            value.profit += self.profit[i];
            if let Some(&k) = self.cluster.get(i) {
                covered[k as usize] = true;
            }
        }
        // Children come after parents: one walk backwards reaches every ancestor.
        for v in (0..on_path.len()).rev() {
            if on_path[v] {
                value.nodes += 1;
                value.tokens += self.tokens[v];
                value.cost += self.cost[v];
                if self.parent[v] != NONE {
                    on_path[self.parent[v] as usize] = true;
                }
            }
        }
        let clusters = covered.iter().filter(|&&is| is).count();
        value.objective = value.profit - value.cost + self.gain * clusters as f64;
        value
    }

    /// Sums the tokens on each candidate's root path, `[n]`.
    pub fn path_sums(&self) -> Vec<u64> {
        let mut below = self.tokens.clone();
        for v in 1..below.len() {
            below[v] += below[self.parent[v] as usize];
        }
        self.leaf.iter().map(|&v| below[v as usize]).collect()
    }
}

fn check_numbers(request: &Request<'_>) -> Result<(), Error> {
    for (argument, value) in [("lambda_b", request.lambda_b), ("lambda_d", request.lambda_d)] {
        check_scalar(argument, value, "finite and at least 0", value.is_finite() && value >= 0.0)?;
    }
    if let Some(budget) = request.kv_budget {
        check_scalar("kv_budget", budget, "at least 0", budget >= 0)?;
        if request.node_tokens.is_none() {
            return Err(Error::Missing { argument: "kv_budget", missing: "node_tokens" });
        }
    }
    Ok(())
}

/// Copies the parents while checking them, each read once: the caller's array may be shared.
fn read_parents(parents: &[i64]) -> Result<Vec<u32>, Error> {
    if parents.is_empty() {
        return Err(Error::Empty { argument: "parents" });
    }
    if parents.len() >= NONE as usize {
        return Err(Error::Scalar {
            argument: "the number of nodes",
            value: i64::try_from(parents.len()).unwrap_or(i64::MAX).into(),
            expected: "below 2**32 - 1",
        });
    }
    let mut checked = Vec::with_capacity(parents.len());
    for (index, &value) in parents.iter().enumerate() {
        checked.push(match (index, u32::try_from(value)) {
            (0, _) if value == -1 => NONE,
            (1.., Ok(parent)) if (parent as usize) < index => parent,
            _ => {
                let expected = if index == 0 {
                    "-1, for node 0 is the root"
                } else {
                    "the id of an earlier node (parents come before children; only node 0 is a \
                     root)"
                };
                return Err(Error::Entry {
                    argument: "parents",
                    index,
                    value: value.into(),
                    expected,
                });
            }
        });
    }
    Ok(checked)
}

/// Copies the leaves while checking that they are distinct nodes.
fn read_leaves(leaves: &[i64], m: usize) -> Result<Vec<u32>, Error> {
    if leaves.is_empty() {
        return Err(Error::Empty { argument: "leaves" });
    }
    let mut first_at = vec![NONE; m];
    let mut checked = Vec::with_capacity(leaves.len());
    for (index, &value) in leaves.iter().enumerate() {
        let slot = usize::try_from(value).ok().and_then(|v| first_at.get_mut(v));
        let Some(first) = slot else {
            let (argument, what) = ("leaves", "the number of nodes");
            return Err(Error::OutOfRange { argument, index, value, below: m, what });
        };
        if *first != NONE {
            let first = *first as usize;
            return Err(Error::Duplicate { argument: "leaves", index, first, value });
        }
        *first = index as u32;
        checked.push(value as u32);
    }
    Ok(checked)
}

/// Copies the kept nodes' tokens; the sum over all nodes must fit an i64.
fn read_tokens(tokens: &[i64], m: usize, kept: &[usize]) -> Result<Vec<u64>, Error> {
    check_length("node_tokens", tokens.len(), m, "parents")?;
    let mut total = 0_i64;
    for (index, &value) in tokens.iter().enumerate() {
        let (argument, expected) = if value < 0 {
            ("node_tokens", "at least 0")
        } else if let Some(sum) = total.checked_add(value) {
            total = sum;
            continue;
        } else {
            ("node_tokens", "small enough for the sum to stay below 2**63")
        };
        return Err(Error::Entry { argument, index, value: value.into(), expected });
    }
    Ok(kept.iter().map(|&v| tokens[v].unsigned_abs()).collect())
}

/// Numbers the nodes on paths to leaves from 0, in order; `NONE` for all others.
fn number_paths(parents: &[u32], leaves: &[u32]) -> Vec<u32> {
    let mut local = vec![NONE; parents.len()];
    for &leaf in leaves {
        let mut v = leaf;
        while v != NONE && local[v as usize] == NONE {
            local[v as usize] = 0;
            v = parents[v as usize];
        }
    }
    let marked = local.iter_mut().filter(|number| **number == 0);
    marked.zip(0..).for_each(|(number, next)| *number = next);
    local
}

/// Numbers labels from 0 in order of first appearance; returns them and how many there are.
fn number_labels(labels: &[i64]) -> (Vec<u32>, usize) {
    let mut number_of = HashMap::with_capacity(labels.len());
    let numbers = labels
        .iter()
        .map(|&label| {
            let next = number_of.len() as u32;
            *number_of.entry(label).or_insert(next)
        })
        .collect();
    (numbers, number_of.len())
}

/// Divides values by their sum; `None` where that is 0.
fn shares(values: &[f64]) -> Option<Vec<f64>> {
    // Scaled by the largest first, so that the sum cannot overflow.
    let largest = values.iter().fold(0.0_f64, |largest, &value| largest.max(value));
    if largest == 0.0 {
        return None;
    }
    let scaled: Vec<f64> = values.iter().map(|&value| value / largest).collect();
    let sum: f64 = scaled.iter().sum();
    Some(scaled.into_iter().map(|value| value / sum).collect())
}
