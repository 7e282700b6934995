//! A selection problem made from bytes, and what its objective says of an answer.

use std::collections::BTreeMap;

use ets_core::{NodeId, Request, Selection};
use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};

/// The most nodes of a tree, and the most candidates: enough for several levels of branching, few
/// enough for the MILP to take about a millisecond.
const MOST_NODES: usize = 40;
const MOST_LEAVES: usize = 24;

/// Owns the arrays of one request.
#[derive(Debug)]
pub struct Instance {
    parents: Vec<NodeId>,
    leaves: Vec<NodeId>,
    weights: Vec<f64>,
    clusters: Option<Vec<usize>>,
    lambda_r: f64,
    /// By label.
    cluster_worth: Option<Vec<f64>>,
    rho: f64,
    lambda_b: f64,
    lambda_d: f64,
    node_costs: Option<Vec<f64>>,
    node_tokens: Option<Vec<u64>>,
    kv_budget: Option<u64>,
}

impl<'a> Arbitrary<'a> for Instance {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let m = u.int_in_range(1..=MOST_NODES)?;
        // 1 makes a chain, m a bush.
        let reach = *u.choose(&[1, 2, 4, m])?;
        let mut parents = vec![NodeId::ROOT];
        for v in 1..m {
            parents.push(NodeId((v - u.int_in_range(1..=v.min(reach))?) as u32));
        }
        let n = u.int_in_range(1..=m.min(MOST_LEAVES))?;
        let mut free: Vec<NodeId> = (0..m as u32).map(NodeId).collect();
        let mut leaves = Vec::with_capacity(n);
        for _ in 0..n {
            leaves.push(free.swap_remove(u.choose_index(free.len())?));
        }
        let wild = u.ratio(1, 8)?;
        let weights = numbers(u, n, wild)?;
        let clusters = if u.ratio(1, 8)? {
            None
        } else {
            let kinds = *u.choose(&[1, 2, 4, n, usize::MAX])?;
            Some((0..n).map(|_| u.int_in_range(0..=kinds - 1)).collect::<Result<_>>()?)
        };
        let published: bool = u.arbitrary()?;
        let cluster_worth =
            if published || u.ratio(1, 4)? { None } else { Some(numbers(u, n, wild)?) };
        let node_costs = if u.arbitrary()? { Some(numbers(u, m, wild)?) } else { None };
        let has_tokens: bool = u.arbitrary()?;
        let most = if wild { *u.choose(&[0, 1 << 20, 1 << 53, u64::MAX])? } else { 60 };
        let node_tokens = (0..m).map(|_| u.int_in_range(0..=most));
        let node_tokens =
            has_tokens.then(|| node_tokens.collect::<Result<Vec<_>>>()).transpose()?;
        // About what the tree holds, so that it binds; seldom one without tokens.
        let total = node_tokens.iter().flatten().fold(0_u64, |sum, &t| sum.saturating_add(t));
        let kv_budget = match u.int_in_range(0..=31)? {
            0 => Some(u.arbitrary()?),
            share @ 1..=16 if has_tokens => Some(total / 16 * share + total % 16 * share / 16),
            _ => None,
        };
        Ok(Self {
            parents,
            leaves,
            weights,
            clusters,
            lambda_r: if published { 1.0 } else { lambda(u)? },
            cluster_worth,
            rho: if published { 0.0 } else { rho(u)? },
            lambda_b: lambda(u)?,
            lambda_d: lambda(u)?,
            node_costs,
            node_tokens,
            kv_budget,
        })
    }
}

/// Numbers with many equal ones and zeros among them; `wild` ones span the range of floats.
fn numbers(u: &mut Unstructured<'_>, len: usize, wild: bool) -> Result<Vec<f64>> {
    let number = |u: &mut Unstructured<'_>| {
        Ok(match u.int_in_range(0..=7)? {
            0 => 0.0,
            1..=2 => 1.0,
            3..=4 => f64::from(u.int_in_range(1_u8..=5)?),
            5 if wild => *u.choose(&[1e-300, 1e-12, 1e-6, 1e6, 1e12, 1e300])?,
            6 if wild => u.arbitrary()?,
            _ => f64::from(u.arbitrary::<u16>()?) / 65536.0,
        })
    };
    (0..len).map(|_| number(u)).collect()
}

/// Mostly 0 to 6, in which range choices are close; seldom anything.
fn lambda(u: &mut Unstructured<'_>) -> Result<f64> {
    Ok(match u.int_in_range(0..=31)? {
        0..=2 => 0.0,
        3..=6 => 1.0,
        7..=8 => 1.4,
        9 => 50.0,
        10 => *u.choose(&[1e-300, 1e-12, 1e-6, 1e6, 1e12, 1e300, f64::MAX])?,
        11 => u.arbitrary()?,
        _ => f64::from(u.arbitrary::<u16>()?) * (6.0 / 65536.0),
    })
}

/// Mostly what halves or stays near; seldom what is refused.
fn rho(u: &mut Unstructured<'_>) -> Result<f64> {
    Ok(match u.int_in_range(0..=15)? {
        0..=3 => 0.0,
        4..=7 => 0.5,
        8 => *u.choose(&[1e-300, 1e-12, 1.0 - f64::EPSILON, 1.0])?,
        9 => u.arbitrary()?,
        _ => f64::from(u.arbitrary::<u16>()?) / 65536.0,
    })
}

impl Instance {
    /// Borrows the problem as a request for the default method.
    pub fn request(&self) -> Request<'_> {
        let mut request = Request::new(&self.parents, &self.leaves, &self.weights)
            .lambda_r(self.lambda_r)
            .rho(self.rho)
            .lambda_b(self.lambda_b)
            .lambda_d(self.lambda_d);
        request.clusters = self.clusters.as_deref();
        request.cluster_worth = self.cluster_worth.as_deref();
        request.node_costs = self.node_costs.as_deref();
        request.node_tokens = self.node_tokens.as_deref();
        request.kv_budget = self.kv_budget;
        request
    }

    /// How far two optima may be apart. The MILP solvers drop what is within 1e-9 of their best, in
    /// units of the largest coefficient or of the objective; profits sum to `lambda_r`, costs to
    /// `lambda_b`, gains to `lambda_d`. Rounding gets as much again.
    pub fn tolerance(&self) -> f64 {
        2e-9 * (1.0 + self.lambda_r + self.lambda_b + self.lambda_d)
    }

    /// Asserts that an answer is feasible and worth and holds what it says, from the definition.
    pub fn check(&self, selection: &Selection) {
        let keep = &selection.keep;
        assert!(keep.len() == self.leaves.len() && keep.contains(&true), "{keep:?}");
        let all = self.on_paths(|_| true);
        let kept = self.on_paths(|i| keep[i]);
        assert_eq!(selection.nodes_kept, kept.iter().filter(|&&is| is).count());
        let tokens = self.node_tokens.as_ref().map(|tokens| {
            tokens.iter().zip(&kept).filter(|(_, is)| **is).map(|(tokens, _)| tokens).sum()
        });
        assert_eq!(selection.tokens_kept, tokens);
        assert!(self.kv_budget.is_none_or(|budget| tokens <= Some(budget)));
        let objective = self.lambda_r * self.profit(keep) - self.lambda_b * self.cost(&kept, &all)
            + self.lambda_d * self.coverage(keep);
        let (got, tolerance) = (selection.objective, self.tolerance());
        assert!((objective - got).abs() <= tolerance, "reports {got}, is worth {objective}");
    }

    /// Share of the weights that is kept.
    fn profit(&self, keep: &[bool]) -> f64 {
        share(&self.weights, keep, &vec![true; keep.len()])
    }

    /// Share of the costs on all paths that the kept ones have.
    fn cost(&self, kept: &[bool], all: &[bool]) -> f64 {
        match &self.node_costs {
            Some(costs) => share(costs, kept, all),
            None => share(&vec![1.0; all.len()], kept, all),
        }
    }

    /// Sum over the clusters of their share of the worth, times what of it the kept leaves have.
    fn coverage(&self, keep: &[bool]) -> f64 {
        let Some(clusters) = &self.clusters else { return 0.0 };
        let mut members = BTreeMap::<usize, i32>::new();
        for (&k, &kept) in clusters.iter().zip(keep) {
            *members.entry(k).or_default() += i32::from(kept);
        }
        let worth = |k: &usize| self.cluster_worth.as_ref().map_or(1.0, |worth| worth[*k]);
        let worths: Vec<f64> = members.keys().map(worth).collect();
        let largest = worths.iter().copied().fold(0.0_f64, f64::max);
        if largest == 0.0 {
            return 0.0;
        }
        let held = |&members: &i32| if members == 0 { 0.0 } else { 1.0 - self.rho.powi(members) };
        let total: f64 = worths.iter().map(|worth| worth / largest).sum();
        let parts = worths.iter().zip(members.values());
        parts.map(|(worth, members)| worth / largest * held(members)).sum::<f64>() / total
    }

    /// Marks the nodes on paths to the chosen leaves.
    fn on_paths(&self, chosen: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut on = vec![false; self.parents.len()];
        for (_, &leaf) in self.leaves.iter().enumerate().filter(|(i, _)| chosen(*i)) {
            let mut v = leaf;
            while !std::mem::replace(&mut on[v.index()], true) {
                v = self.parents[v.index()];
            }
        }
        on
    }
}

/// Sum over the one set divided by the sum over the other; 0 where that is 0.
fn share(values: &[f64], part: &[bool], whole: &[bool]) -> f64 {
    let largest = values.iter().zip(whole).filter(|(_, is)| **is).map(|(value, _)| *value);
    // Divided by the largest first: sums of the largest floats overflow.
    let largest = largest.fold(0.0_f64, f64::max);
    if largest == 0.0 {
        return 0.0;
    }
    let sum = |of: &[bool]| {
        let terms = values.iter().zip(of).filter(|(_, is)| **is).map(|(value, _)| value / largest);
        terms.sum::<f64>()
    };
    sum(part) / sum(whole)
}
