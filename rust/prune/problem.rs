//! The checked problem, restricted to the nodes on paths to candidate leaves.

use super::Request;
use super::labels::Labels;
use crate::error::{Error, check_entries, check_length, check_scalar};

/// Stands for "no node" or "no candidate" in u32 arrays.
pub(super) const NONE: u32 = u32::MAX;

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
    paths: Paths,
    labels: Labels,
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

/// The caller's tree while it is read: arrays over all `m` nodes, on a path or not.
#[derive(Debug, Default)]
struct Paths {
    /// Parent of each node, `[m]`; 0 for the root.
    parent: Vec<u32>,
    /// The candidate at each node, `[m]`; `NONE` without one.
    candidate: Vec<u32>,
    /// Whether a candidate is at or below each node, `[m]`.
    on: Vec<bool>,
    /// Local number of each node on a path, `[m]`.
    local: Vec<u32>,
}

impl Problem {
    /// Reads a request without scratch memory of an earlier one.
    #[cfg(test)]
    pub fn new(request: &Request<'_>) -> Result<Self, Error> {
        let mut problem = Self::default();
        problem.read(request)?;
        Ok(problem)
    }

    /// Checks a request and takes over what lies on paths to candidates. O(m + n).
    pub fn read(&mut self, request: &Request<'_>) -> Result<(), Error> {
        check_numbers(request)?;
        self.paths.read_parents(request.parents)?;
        self.paths.read_leaves(request.leaves)?;
        let (m, n) = (request.parents.len(), request.leaves.len());
        check_length("weights", request.weights.len(), n, "leaves")?;
        check_entries("weights", request.weights, "finite and at least 0", is_amount)?;
        self.profit.clear();
        self.profit.extend_from_slice(request.weights);
        if !to_shares(&mut self.profit) {
            return Err(Error::Scalar {
                argument: "the sum of weights",
                value: 0.0.into(),
                expected: "above 0",
            });
        }
        self.paths.number();
        self.paths.restrict(&mut self.parent, &mut self.candidate_at);
        self.leaf.clear();
        self.leaf.extend(request.leaves.iter().map(|&v| self.paths.local[v as usize]));
        self.read_costs(request, m)?;
        self.read_tokens(request.node_tokens, m)?;
        self.cluster.clear();
        self.cluster_count = 0;
        if let Some(labels) = request.clusters {
            check_length("clusters", labels.len(), n, "leaves")?;
            if request.lambda_d > 0.0 {
                self.cluster_count = self.labels.number(labels, &mut self.cluster);
            }
        }
        self.gain = match self.cluster_count {
            0 => 0.0,
            count => request.lambda_d / count as f64,
        };
        self.budget = None;
        if let Some(budget) = request.kv_budget {
            let needs = self.path_sums().into_iter().min().unwrap_or(0);
            match u64::try_from(budget) {
                Ok(fits) if fits >= needs => self.budget = Some(fits),
                _ => return Err(Error::BudgetTooSmall { budget, needs }),
            }
        }
        Ok(())
    }

    fn read_costs(&mut self, request: &Request<'_>, m: usize) -> Result<(), Error> {
        let p = self.parent.len();
        self.cost.clear();
        match request.node_costs {
            None => self.cost.resize(p, request.lambda_b / p as f64),
            Some(costs) => {
                check_length("node_costs", costs.len(), m, "parents")?;
                check_entries("node_costs", costs, "finite and at least 0", is_amount)?;
                self.cost.extend(self.paths.kept(costs));
                to_shares(&mut self.cost);
                self.cost.iter_mut().for_each(|cost| *cost *= request.lambda_b);
            }
        }
        Ok(())
    }

    fn read_tokens(&mut self, tokens: Option<&[i64]>, m: usize) -> Result<(), Error> {
        self.tokens.clear();
        let Some(tokens) = tokens else {
            self.tokens.resize(self.parent.len(), 0);
            return Ok(());
        };
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
        self.tokens.extend(self.paths.kept(tokens).map(i64::unsigned_abs));
        Ok(())
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

impl Paths {
    /// Copies the parents while checking them, each read once: the caller's array may be shared.
    fn read_parents(&mut self, parents: &[i64]) -> Result<(), Error> {
        let (argument, m) = ("parents", parents.len());
        if m == 0 {
            return Err(Error::Empty { argument });
        }
        let count = i64::try_from(m).unwrap_or(i64::MAX);
        let (name, expected) = ("the number of nodes", "below 2**32 - 1");
        check_scalar(name, count, expected, count < i64::from(NONE))?;
        if parents[0] != -1 {
            let (index, value) = (0, parents[0].into());
            let expected = "-1, for node 0 is the root";
            return Err(Error::Entry { argument, index, value, expected });
        }
        self.parent.clear();
        self.parent.push(0);
        self.parent.extend(parents[1..].iter().map(|&parent| parent as u32));
        // Compared as given, after the copy: a loop without a way out is one the compiler vectorises.
        let wrong = |index: usize, value: i64| !(0..index as i64).contains(&value);
        let wrongs = parents.iter().enumerate().skip(1).filter(|&(index, &v)| wrong(index, v));
        if wrongs.count() > 0 {
            let mut all = parents.iter().enumerate().skip(1);
            if let Some((index, &value)) = all.find(|&(index, &v)| wrong(index, v)) {
                let value = value.into();
                let expected = "the id of an earlier node (parents come before children; only \
                                node 0 is a root)";
                return Err(Error::Entry { argument, index, value, expected });
            }
        }
        Ok(())
    }

    /// Marks the candidates while checking that they are distinct nodes.
    fn read_leaves(&mut self, leaves: &[i64]) -> Result<(), Error> {
        let (argument, m) = ("leaves", self.parent.len());
        if leaves.is_empty() {
            return Err(Error::Empty { argument });
        }
        self.candidate.clear();
        self.candidate.resize(m, NONE);
        for (index, &value) in leaves.iter().enumerate() {
            let slot = usize::try_from(value).ok().and_then(|v| self.candidate.get_mut(v));
            let Some(first) = slot else {
                let what = "the number of nodes";
                return Err(Error::OutOfRange { argument, index, value, below: m, what });
            };
            if *first != NONE {
                let first = *first as usize;
                return Err(Error::Duplicate { argument, index, first, value });
            }
            *first = index as u32;
        }
        Ok(())
    }

    /// Finds the nodes on paths to candidates and numbers them from 0, in order.
    fn number(&mut self) {
        let m = self.parent.len();
        self.on.clear();
        self.on.extend(self.candidate.iter().map(|&candidate| candidate != NONE));
        for v in (1..m).rev() {
            let above = self.parent[v] as usize;
            self.on[above] |= self.on[v];
        }
        self.local.clear();
        let mut next = 0;
        self.local.extend(self.on.iter().map(|&on| {
            let number = next;
            next += u32::from(on);
            number
        }));
    }

    /// Copies the parents and candidates of the nodes on paths, in local numbers.
    fn restrict(&self, parent: &mut Vec<u32>, candidate_at: &mut Vec<u32>) {
        parent.clear();
        let above = self.parent.iter().map(|&above| self.local[above as usize]);
        parent.extend(above.zip(&self.on).filter(|(_, on)| **on).map(|(above, _)| above));
        parent[0] = NONE;
        candidate_at.clear();
        candidate_at.extend(self.kept(&self.candidate));
    }

    /// Yields the entries of the nodes on paths.
    fn kept<'a, T: Copy>(&'a self, entries: &'a [T]) -> impl Iterator<Item = T> + 'a {
        entries.iter().zip(&self.on).filter(|(_, on)| **on).map(|(&entry, _)| entry)
    }
}

fn check_numbers(request: &Request<'_>) -> Result<(), Error> {
    for (argument, value) in [("lambda_b", request.lambda_b), ("lambda_d", request.lambda_d)] {
        check_scalar(argument, value, "finite and at least 0", is_amount(value))?;
    }
    if let Some(budget) = request.kv_budget {
        check_scalar("kv_budget", budget, "at least 0", budget >= 0)?;
        if request.node_tokens.is_none() {
            return Err(Error::Missing { argument: "kv_budget", missing: "node_tokens" });
        }
    }
    Ok(())
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
