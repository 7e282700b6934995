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
    /// The candidate that sits at each node, `[p]`; `NONE` where there is none. Listed on demand.
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
    /// No profit, cost or gain is larger, nor the sum of any of them over all nodes.
    pub largest: f64,
    /// `lambda_b * c_v` where that is the same for every node.
    uniform_cost: Option<f64>,
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

/// The caller's tree while it is read, `[m]`; only the entries of nodes on paths mean anything.
#[derive(Debug, Default)]
struct Paths {
    /// What each node is: `OFF` every path, `ON` one, or a `CANDIDATE`.
    kind: Vec<u8>,
    /// Parent of each node; 0 for the root.
    parent: Vec<u32>,
    /// The candidate at each `CANDIDATE`.
    candidate: Vec<u32>,
    /// Local number of each node.
    local: Vec<u32>,
    /// The nodes on paths, ascending, `[p]`.
    nodes: Vec<u32>,
    /// How many they are.
    count: usize,
}

const OFF: u8 = 0;
const ON: u8 = 1;
const CANDIDATE: u8 = 2;

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
        check_parents(request.parents)?;
        let (m, n) = (request.parents.len(), request.leaves.len());
        self.paths.read_leaves(request.leaves, m, &mut self.leaf)?;
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
        self.paths.walk(request.parents, &self.leaf)?;
        self.paths.number(&mut self.parent);
        self.leaf.iter_mut().for_each(|v| *v = self.paths.local[*v as usize]);
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
        self.largest = request.lambda_b.max(request.lambda_d).max(1.0);
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

    /// Lists the candidate at each node.
    pub fn list_candidates(&mut self) {
        self.candidate_at.clear();
        self.candidate_at.resize(self.parent.len(), NONE);
        for (&v, i) in self.leaf.iter().zip(0..) {
            self.candidate_at[v as usize] = i;
        }
    }

    fn read_costs(&mut self, request: &Request<'_>, m: usize) -> Result<(), Error> {
        let p = self.parent.len();
        self.cost.clear();
        self.uniform_cost = request.node_costs.is_none().then(|| request.lambda_b / p as f64);
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
        self.evaluate_with(&mut Vec::new(), keep)
    }

    /// Does the same with scratch memory from call to call.
    pub fn evaluate_with(&self, marks: &mut Vec<bool>, keep: &[bool]) -> Value {
        let p = self.parent.len();
        // Nodes on paths to kept leaves, then clusters covered.
        marks.clear();
        marks.resize(p + self.cluster_count, false);
        let (on_path, covered) = marks.split_at_mut(p);
        let mut value = Value::default();
        for (i, &kept) in keep.iter().enumerate() {
            on_path[self.leaf[i] as usize] |= kept;
            value.profit += if kept { self.profit[i] } else { 0.0 };
        }
        for (&k, &kept) in self.cluster.iter().zip(keep) {
            covered[k as usize] |= kept;
        }
        // Children come after parents: one walk backwards reaches every ancestor.
        for v in (1..p).rev() {
            on_path[self.parent[v] as usize] |= on_path[v];
        }
        let count = |marks: &[bool]| marks.iter().map(|&is| usize::from(is)).sum::<usize>();
        value.nodes = count(on_path);
        value.tokens = self.tokens.iter().zip(&*on_path).map(|(t, &on)| t * u64::from(on)).sum();
        value.cost = match self.uniform_cost {
            Some(cost) => cost * value.nodes as f64,
            None => self.cost.iter().zip(&*on_path).map(|(c, &on)| if on { *c } else { 0.0 }).sum(),
        };
        value.objective = value.profit - value.cost + self.gain * count(covered) as f64;
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
    /// Copies and marks the candidates while checking that they are distinct nodes.
    fn read_leaves(
        &mut self,
        leaves: &[i64],
        m: usize,
        checked: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let argument = "leaves";
        if leaves.is_empty() {
            return Err(Error::Empty { argument });
        }
        self.kind.clear();
        self.kind.resize(m, OFF);
        for list in [&mut self.parent, &mut self.candidate, &mut self.local] {
            // What is left of an earlier tree is never read.
            list.resize(m.max(list.len()), 0);
        }
        checked.clear();
        self.count = leaves.len();
        for (index, &value) in leaves.iter().enumerate() {
            let Some(kind) = usize::try_from(value).ok().and_then(|v| self.kind.get_mut(v)) else {
                let what = "the number of nodes";
                return Err(Error::OutOfRange { argument, index, value, below: m, what });
            };
            if *kind == CANDIDATE {
                let first = self.candidate[value as usize] as usize;
                return Err(Error::Duplicate { argument, index, first, value });
            }
            *kind = CANDIDATE;
            self.candidate[value as usize] = index as u32;
            checked.push(value as u32);
        }
        Ok(())
    }

    /// Marks the nodes on paths to candidates and copies their parents.
    ///
    /// Each parent is checked again as it is read: the caller's array may be shared.
    fn walk(&mut self, parents: &[i64], leaves: &[u32]) -> Result<(), Error> {
        for &leaf in leaves {
            let mut v = leaf as usize;
            while v != 0 {
                let parent = parents[v];
                if !(0..v as i64).contains(&parent) {
                    return Err(wrong_parent(v, parent));
                }
                self.parent[v] = parent as u32;
                v = parent as usize;
                if self.kind[v] != OFF {
                    // Walked already, or a candidate, whose walk is its own.
                    break;
                }
                self.kind[v] = ON;
                self.count += 1;
            }
        }
        Ok(())
    }

    /// Numbers the nodes on paths from 0, in order, and copies their parents.
    fn number(&mut self, parent: &mut Vec<u32>) {
        // Each node is written where the next one on a path goes, so one slot more than there are.
        self.nodes.clear();
        self.nodes.resize(self.count + 1, 0);
        let mut next = 0;
        let mut write = |v: usize, kind: u8| {
            self.nodes[next] = v as u32;
            next += usize::from(kind != OFF);
        };
        // Most nodes of a grown tree are on no path: eight at a time are passed over.
        for (chunk, first) in self.kind.chunks(8).zip((0..).step_by(8)) {
            if !chunk.try_into().is_ok_and(|eight| u64::from_ne_bytes(eight) == 0) {
                chunk.iter().zip(first..).for_each(|(&kind, v)| write(v, kind));
            }
        }
        self.nodes.truncate(self.count);
        for (&v, number) in self.nodes.iter().zip(0..) {
            self.local[v as usize] = number;
        }
        let Self { parent: above, local, nodes, .. } = &*self;
        parent.clear();
        parent.extend(nodes.iter().map(|&v| local[above[v as usize] as usize]));
        parent[0] = NONE;
    }

    /// Yields the entries of the nodes on paths.
    fn kept<'a, T: Copy>(&'a self, entries: &'a [T]) -> impl Iterator<Item = T> + 'a {
        self.nodes.iter().map(|&v| entries[v as usize])
    }
}

fn check_parents(parents: &[i64]) -> Result<(), Error> {
    let argument = "parents";
    let Some(&root) = parents.first() else { return Err(Error::Empty { argument }) };
    let count = i64::try_from(parents.len()).unwrap_or(i64::MAX);
    check_scalar("the number of nodes", count, "below 2**32 - 1", count < i64::from(NONE))?;
    if root != -1 {
        let expected = "-1, for node 0 is the root";
        return Err(Error::Entry { argument, index: 0, value: root.into(), expected });
    }
    // Negative where a parent is, or is not below its child; all are looked at, right or wrong:
    // that is the loop that the compiler vectorises.
    let sign = |parent: i64, index: i64| parent | (index - 1).wrapping_sub(parent);
    let all = parents.iter().zip(0..).skip(1);
    if all.clone().fold(0, |any, (&parent, index)| any | sign(parent, index)) < 0 {
        let wrong = all.enumerate().find(|&(_, (&parent, index))| sign(parent, index) < 0);
        let index = wrong.map_or(0, |(at, _)| at + 1);
        return Err(wrong_parent(index, parents[index]));
    }
    Ok(())
}

fn wrong_parent(index: usize, parent: i64) -> Error {
    let expected =
        "the id of an earlier node (parents come before children; only node 0 is a root)";
    Error::Entry { argument: "parents", index, value: parent.into(), expected }
}

fn check_numbers(request: &Request<'_>) -> Result<(), Error> {
    for (argument, value) in [("lambda_b", request.lambda_b), ("lambda_d", request.lambda_d)] {
        check_scalar(argument, value, "between 0 and 1e300", (0.0..=1e300).contains(&value))?;
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
