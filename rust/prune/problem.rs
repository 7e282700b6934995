//! The checked problem, restricted to the nodes on paths to candidate leaves.

use super::gains::Gains;
use super::labels::Labels;
use super::none::NONE;
use super::paths::{Paths, check_parents};
use super::request::Request;
use crate::error::{Error, check_entries, check_length, check_scalar};

/// Holds a checked problem over `p` local nodes (topological order, root first) and `n` candidates.
///
/// The buffers are reused from one request to the next.
#[derive(Debug, Default)]
pub(super) struct Problem {
    /// Local parent of each node, `[p]`; `NONE` for the root.
    pub parent: Vec<u32>,
    /// `lambda_b * c_v`, `[p]`.
    pub cost: Vec<f64>,
    /// Tokens of each node, `[p]`; all 0 without `node_tokens`. Their sum fits an `i64`.
    pub tokens: Vec<u64>,
    /// Nodes that each one stands for, `[p]`; empty where that is 1 for all. Their sum fits an `i64`.
    counts: Vec<u64>,
    /// The sum of these: nodes of the tree that was grown.
    pub node_count: usize,
    /// The candidate that sits at each node, `[p]`; `NONE` where there is none. Listed on demand.
    pub candidate_at: Vec<u32>,
    /// Local node of each candidate, `[n]`.
    pub leaf: Vec<u32>,
    /// `lambda_r * O_i`, `[n]`.
    pub profit: Vec<f64>,
    /// Cluster of each candidate, `0..cluster_count`, `[n]`; empty without a coverage term.
    pub cluster: Vec<u32>,
    /// `K`; 0 without a coverage term.
    pub cluster_count: usize,
    /// What the members of each cluster add, as many as there are.
    pub gains: Gains,
    /// The most tokens the kept nodes may hold; at least what the cheapest leaf needs.
    pub budget: Option<u64>,
    /// No profit, cost or gain is larger, nor the sum of any of them over all nodes.
    pub largest: f64,
    /// `lambda_b * c_v` of a node that stands for one, where that is the same for all.
    uniform_cost: Option<f64>,
    paths: Paths,
    labels: Labels,
    /// Worth and number of candidates of each cluster, `[K]`.
    worth: Vec<f64>,
    members: Vec<u32>,
}

/// Scratch memory of evaluations.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    on_path: Vec<bool>,
    members: Vec<u32>,
}

/// What a set of kept leaves is worth and holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Value {
    /// Sum of the kept leaves' `lambda_r * O_i`.
    pub profit: f64,
    /// `lambda_b` times the cost of the kept nodes.
    pub cost: f64,
    /// Kept nodes.
    pub nodes: usize,
    /// Tokens on them.
    pub tokens: u64,
    /// The objective: profit less cost, plus the worth of the kept members of each cluster.
    pub objective: f64,
}

impl Problem {
    /// Reads a request without scratch memory of an earlier one.
    #[cfg(test)]
    pub fn new(request: &Request<'_>) -> Result<Self, Error> {
        let mut problem = Self::default();
        problem.read(request)?;
        problem.list_candidates();
        Ok(problem)
    }

    /// Checks a request and takes over what lies on paths to candidates. O(m + n).
    pub fn read(&mut self, request: &Request<'_>) -> Result<(), Error> {
        check_numbers(request)?;
        if request.leaves.is_empty() {
            // Before the tree, which a caller may have cut down to what lies above the leaves.
            return Err(Error::Empty { argument: "leaves" });
        }
        let (m, n) = (request.parents.len(), request.leaves.len());
        let is_cut = request.is_cut();
        if !is_cut {
            check_parents(request.parents)?;
            self.paths.read_leaves(request.leaves, m, &mut self.leaf)?;
        }
        check_length("weights", request.weights.len(), n, "leaves")?;
        self.profit.clear();
        self.profit.extend_from_slice(request.weights);
        check_entries("weights", &self.profit, "finite and at least 0", is_amount)?;
        if !to_shares(&mut self.profit) {
            return Err(Error::Scalar {
                argument: "the sum of weights",
                value: 0.0.into(),
                expected: "above 0",
            });
        }
        self.profit.iter_mut().for_each(|profit| *profit *= request.lambda_r);
        if is_cut {
            self.leaf.clear();
            self.leaf.extend(request.leaves.iter().map(|leaf| leaf.0));
            self.paths.take_all(request.parents, &mut self.parent);
        } else {
            self.paths.walk(request.parents, &self.leaf);
            self.paths.number(&mut self.parent);
            self.leaf.iter_mut().for_each(|v| *v = self.paths.local[*v as usize]);
        }
        self.read_counts(request.node_counts, m)?;
        self.read_costs(request, m)?;
        self.read_tokens(request.node_tokens, m)?;
        self.read_clusters(request, n)?;
        self.largest = request.lambda_b.max(request.lambda_d).max(request.lambda_r);
        self.budget = None;
        if let Some(budget) = request.kv_budget {
            let needs = self.path_sums().into_iter().min().unwrap_or(0);
            if budget < needs {
                return Err(Error::BudgetTooSmall { budget, needs });
            }
            self.budget = Some(budget);
        }
        Ok(())
    }

    /// Lists the candidate at each node.
    pub fn list_candidates(&mut self) {
        self.candidate_at.clear();
        self.candidate_at.resize(self.parent.len(), NONE);
        for (&v, i) in self.leaf.iter().zip(0..) {
            self.candidate_at[v as usize] = i;
        }
    }

    /// Says whether some choices cover more than others.
    pub fn coupled(&self) -> bool {
        self.cluster_count > 1 || (self.cluster_count == 1 && self.gains.of(0).len() > 1)
    }

    /// What a candidate's cluster adds to the objective with one more member than `held`.
    pub fn next_gain(&self, candidate: usize, held: u32) -> f64 {
        self.cluster.get(candidate).map_or(0.0, |&k| self.gains.next(k, held))
    }

    fn read_clusters(&mut self, request: &Request<'_>, n: usize) -> Result<(), Error> {
        self.cluster.clear();
        self.cluster_count = 0;
        self.gains.clear(None);
        let Some(labels) = request.clusters else { return Ok(()) };
        check_length("clusters", labels.len(), n, "leaves")?;
        if request.lambda_d > 0.0 || request.cluster_worth.is_some() {
            self.cluster_count = self.labels.number(labels, &mut self.cluster);
        }
        let mut equal = true;
        if let Some(worth) = request.cluster_worth {
            check_entries("cluster_worth", worth, "finite and at least 0", is_amount)?;
            Labels::look_up(labels, &self.cluster, worth, &mut self.worth)?;
            // The caller's array may be shared: what was checked may not be what was copied.
            if !self.worth.iter().all(|&worth| is_amount(worth)) {
                return Err(Error::Changed { argument: "cluster_worth" });
            }
            if !to_shares(&mut self.worth) {
                return Err(Error::Scalar {
                    argument: "the sum of cluster_worth over the clusters that occur",
                    value: 0.0.into(),
                    expected: "above 0",
                });
            }
            equal = self.worth.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits());
        }
        let count = self.cluster_count;
        if request.lambda_d == 0.0 {
            self.cluster.clear();
            self.cluster_count = 0;
            return Ok(());
        }
        if equal && request.rho == 0.0 {
            self.gains.clear(Some(request.lambda_d / count as f64));
            self.gains.push_same(count);
            return Ok(());
        }
        if request.cluster_worth.is_none() {
            self.worth.clear();
            self.worth.resize(count, 1.0 / count as f64);
        }
        self.members.clear();
        self.members.resize(count, 0);
        self.cluster.iter().for_each(|&k| self.members[k as usize] += 1);
        for (worth, &members) in self.worth.iter().zip(&self.members) {
            let first = request.lambda_d * worth * (1.0 - request.rho);
            let gains = std::iter::successors(Some(first), |gain| Some(gain * request.rho));
            self.gains.push(gains.take(members as usize));
        }
        Ok(())
    }

    fn read_counts(&mut self, counts: Option<&[u64]>, m: usize) -> Result<(), Error> {
        self.counts.clear();
        self.node_count = self.parent.len();
        if let Some(counts) = counts {
            read_integers("node_counts", counts, 1, m, &self.paths, &mut self.counts)?;
            self.node_count = self.counts.iter().sum::<u64>() as usize;
        }
        Ok(())
    }

    fn read_costs(&mut self, request: &Request<'_>, m: usize) -> Result<(), Error> {
        let p = self.parent.len();
        self.cost.clear();
        self.uniform_cost = None;
        match request.node_costs {
            None => {
                let cost = request.lambda_b / self.node_count as f64;
                self.uniform_cost = Some(cost);
                self.cost.extend(self.counts.iter().map(|&count| count as f64 * cost));
                self.cost.resize(p, cost);
            }
            Some(costs) => {
                check_length("node_costs", costs.len(), m, "parents")?;
                check_entries("node_costs", costs, "finite and at least 0", is_amount)?;
                self.cost.extend(self.paths.kept(costs));
                // The caller's array may be shared: what was checked may not be what was copied.
                if !self.cost.iter().all(|&cost| is_amount(cost)) {
                    return Err(Error::Changed { argument: "node_costs" });
                }
                to_shares(&mut self.cost);
                self.cost.iter_mut().for_each(|cost| *cost *= request.lambda_b);
            }
        }
        Ok(())
    }

    fn read_tokens(&mut self, tokens: Option<&[u64]>, m: usize) -> Result<(), Error> {
        self.tokens.clear();
        let Some(tokens) = tokens else {
            self.tokens.resize(self.parent.len(), 0);
            return Ok(());
        };
        read_integers("node_tokens", tokens, 0, m, &self.paths, &mut self.tokens)
    }

    /// Values a non-empty set of kept leaves, from scratch.
    pub fn evaluate(&self, keep: &[bool]) -> Value {
        self.evaluate_with(&mut Scratch::default(), keep)
    }

    /// Does the same with scratch memory from call to call.
    pub fn evaluate_with(&self, scratch: &mut Scratch, keep: &[bool]) -> Value {
        let p = self.parent.len();
        let Scratch { on_path, members } = scratch;
        on_path.clear();
        on_path.resize(p, false);
        members.clear();
        members.resize(self.cluster_count, 0);
        let mut value = Value::default();
        for (i, &kept) in keep.iter().enumerate() {
            on_path[self.leaf[i] as usize] |= kept;
            value.profit += if kept { self.profit[i] } else { 0.0 };
        }
        for (&k, &kept) in self.cluster.iter().zip(keep) {
            members[k as usize] += u32::from(kept);
        }
        // Children come after parents: one walk backwards reaches every ancestor.
        for v in (1..p).rev() {
            on_path[self.parent[v] as usize] |= on_path[v];
        }
        let count = |marks: &[bool]| marks.iter().map(|&is| usize::from(is)).sum::<usize>();
        value.nodes = if self.counts.is_empty() {
            count(on_path)
        } else {
            sum_on(&self.counts, on_path) as usize
        };
        value.tokens = sum_on(&self.tokens, on_path);
        value.cost = match self.uniform_cost {
            Some(cost) => cost * value.nodes as f64,
            None => self.cost.iter().zip(&*on_path).map(|(c, &on)| if on { *c } else { 0.0 }).sum(),
        };
        value.objective = value.profit - value.cost + self.gains.worth(members);
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
    let lambdas = [
        ("lambda_r", request.lambda_r),
        ("lambda_b", request.lambda_b),
        ("lambda_d", request.lambda_d),
    ];
    for (argument, value) in lambdas {
        check_scalar(argument, value, "between 0 and 1e300", (0.0..=1e300).contains(&value))?;
    }
    let rho = request.rho;
    check_scalar("rho", rho, "at least 0 and below 1", (0.0..1.0).contains(&rho))?;
    for (argument, given) in
        [("rho above 0", rho > 0.0), ("cluster_worth", request.cluster_worth.is_some())]
    {
        if given && request.clusters.is_none() {
            return Err(Error::Missing { argument, missing: "clusters" });
        }
    }
    if request.kv_budget.is_some() && request.node_tokens.is_none() {
        return Err(Error::Missing { argument: "kv_budget", missing: "node_tokens" });
    }
    Ok(())
}

/// Checks integers that a caller gave for each node, and copies those of nodes on paths.
fn read_integers(
    argument: &'static str,
    values: &[u64],
    least: u64,
    m: usize,
    paths: &Paths,
    kept: &mut Vec<u64>,
) -> Result<(), Error> {
    check_length(argument, values.len(), m, "parents")?;
    let mut total = 0_i64;
    for (index, &value) in values.iter().enumerate() {
        let expected = if value < least {
            "at least 1"
        } else if let Some(sum) = total.checked_add_unsigned(value) {
            total = sum;
            continue;
        } else {
            "small enough for the sum to stay below 2**63"
        };
        return Err(Error::Entry { argument, index, value: value.into(), expected });
    }
    kept.extend(paths.kept(values));
    Ok(())
}

fn sum_on(values: &[u64], on_path: &[bool]) -> u64 {
    values.iter().zip(on_path).map(|(value, &on)| value * u64::from(on)).sum()
}

fn is_amount(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// Divides values by their sum; false, and nothing done, where that is 0.
fn to_shares(values: &mut [f64]) -> bool {
    let sum: f64 = values.iter().sum();
    let factor = if sum.is_finite() && sum > 1e-290 {
        sum
    } else {
        // Scaled by the largest first, so that the sum neither overflows nor vanishes.
        let largest = values.iter().fold(0.0_f64, |largest, &value| largest.max(value));
        if largest == 0.0 {
            return false;
        }
        values.iter_mut().for_each(|value| *value /= largest);
        values.iter().sum()
    };
    values.iter_mut().for_each(|value| *value /= factor);
    true
}
