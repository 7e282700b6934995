//! Every solver in the build against brute force, and against each other where that takes too long.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use good_lp::Variable;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Backend, Found, Model, Problem, solve};
use crate::prune::Request;
use crate::tree::NodeId;

#[cfg(not(feature = "highs"))]
const BACKENDS: [Backend; 1] = [super::MICROLP];
#[cfg(feature = "highs")]
const BACKENDS: [Backend; 2] = [super::MICROLP, super::HIGHS];

/// Arrays of one request.
#[derive(Debug, Clone)]
struct Owned {
    parents: Vec<NodeId>,
    leaves: Vec<NodeId>,
    weights: Vec<f64>,
    clusters: Vec<usize>,
    node_costs: Option<Vec<f64>>,
    node_tokens: Vec<u64>,
    lambda_b: f64,
    lambda_d: f64,
    kv_budget: Option<u64>,
}

impl Owned {
    /// Checks the problem, with the budget raised to what its cheapest leaf needs.
    fn problem(&self) -> Problem {
        let request = Request {
            clusters: Some(&self.clusters),
            node_costs: self.node_costs.as_deref(),
            node_tokens: Some(&self.node_tokens),
            lambda_b: self.lambda_b,
            lambda_d: self.lambda_d,
            ..Request::new(&self.parents, &self.leaves, &self.weights)
        };
        let mut problem = Problem::new(&request).unwrap();
        let needs = problem.path_sums().into_iter().min().unwrap();
        problem.budget = self.kv_budget.map(|budget| budget.max(needs));
        problem
    }
}

/// Trees of up to `m` nodes and `n` candidates, some of them inner nodes; lambdas that make choices
/// close, and some extreme ones.
fn problems(m: usize, n: usize) -> impl Strategy<Value = Owned> {
    let lambda = || prop_oneof![Just(0.0), Just(1.0), 0.2..6.0, Just(1e-9), Just(1e6)];
    let weight = prop_oneof![Just(0.0), Just(1.0), 0.0..3.0];
    let costs = proptest::option::of(vec(prop_oneof![Just(0.0), Just(1.0), 0.0..3.0], m));
    let budget = proptest::option::of(0..15 * m as u64);
    (2..=m, 1..=n, prop_oneof![Just(1), Just(3), Just(m)], 1..=n)
        .prop_flat_map(move |(m, n, reach, kinds)| {
            let parents: Vec<_> =
                (0..m).map(|v| v.saturating_sub(reach) as u32..(v as u32).max(1)).collect();
            let order = Just((0..m as u32).map(NodeId).collect::<Vec<_>>()).prop_shuffle();
            (
                (parents, order, vec(weight.clone(), n), vec(0..kinds, n)),
                (costs.clone(), vec(0_u64..30, m), lambda(), lambda(), budget.clone()),
            )
        })
        .prop_map(|((parents, mut leaves, mut weights, clusters), rest)| {
            let parents: Vec<NodeId> = parents.into_iter().map(NodeId).collect();
            leaves.truncate(weights.len());
            let n = leaves.len();
            weights.truncate(n);
            weights[0] += 0.5;
            let (node_costs, node_tokens, lambda_b, lambda_d, kv_budget) = rest;
            let node_costs = node_costs.map(|costs| costs[..parents.len()].to_vec());
            let clusters = clusters[..n].to_vec();
            Owned {
                parents,
                leaves,
                weights,
                clusters,
                node_costs,
                node_tokens,
                lambda_b,
                lambda_d,
                kv_budget,
            }
        })
}

fn brute_force(problem: &Problem) -> f64 {
    let n = problem.leaf.len();
    (1_u32..1 << n)
        .map(|bits| (0..n).map(|i| bits >> i & 1 == 1).collect::<Vec<_>>())
        .map(|keep| problem.evaluate(&keep))
        .filter(|value| problem.budget.is_none_or(|budget| value.tokens <= budget))
        .map(|value| value.objective)
        .fold(f64::NEG_INFINITY, f64::max)
}

/// Solves and asserts that the answer is feasible; returns it with its objective.
fn answer(backend: Backend, problem: &Problem, limit: Option<Duration>) -> (Found, f64) {
    let found = solve(backend, problem, limit, Instant::now(), None).unwrap();
    assert_eq!(found.stats.solver, backend.name);
    assert!(found.keep.contains(&true));
    let value = problem.evaluate(&found.keep);
    assert!(problem.budget.is_none_or(|budget| value.tokens <= budget));
    (found, value.objective)
}

/// Asserts equality as far as the solvers tell values apart.
fn assert_close(problem: &Problem, a: f64, b: f64) {
    let tolerance = 3e-9 * (Model::build(problem).scale + a.abs());
    assert!((a - b).abs() <= tolerance, "{a} against {b}, +- {tolerance}");
}

#[test]
fn a_price_near_the_tolerance_does_not_decide() {
    let owned = Owned {
        parents: [0, 0, 0, 1, 3, 3, 3, 6, 5, 6].map(NodeId).to_vec(),
        leaves: [4, 5, 7, 3, 2, 1].map(NodeId).to_vec(),
        weights: vec![0.5, 0.0, 0.0, 1.0, 0.0, 0.0],
        clusters: vec![2, 0, 0, 1, 1, 0],
        node_costs: None,
        node_tokens: vec![0, 0, 17, 17, 16, 21, 28, 14, 0, 0],
        lambda_b: 1e-9,
        lambda_d: 0.0,
        kv_budget: Some(50),
    };
    let problem = owned.problem();
    let best = brute_force(&problem);
    for backend in BACKENDS {
        assert_close(&problem, answer(backend, &problem, None).1, best);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_solver_finds_the_brute_force_optimum(owned in problems(24, 8)) {
        let problem = owned.problem();
        let best = brute_force(&problem);
        for backend in BACKENDS {
            let (found, objective) = answer(backend, &problem, None);
            assert!(found.bound.is_none());
            assert_close(&problem, objective, best);
            assert_eq!(answer(backend, &problem, None).0.keep, found.keep);
        }
    }

    #[test]
    fn solvers_agree_and_their_bounds_hold_on_medium_trees(owned in problems(90, 40)) {
        let problem = owned.problem();
        let (_, best) = answer(BACKENDS[0], &problem, None);
        for backend in BACKENDS {
            let (_, objective) = answer(backend, &problem, None);
            assert_close(&problem, objective, best);
            for limit in [Duration::ZERO, Duration::from_micros(200)] {
                let (found, objective) = answer(backend, &problem, Some(limit));
                assert_close(&problem, objective.max(best), best);
                let bound = found.bound.unwrap_or(objective);
                assert_close(&problem, bound.min(best), best);
            }
        }
    }

    #[test]
    fn the_first_selection_is_complete_and_in_order(owned in problems(24, 12)) {
        let problem = owned.problem();
        let model = Model::build(&problem);
        let keep: Vec<bool> = (0..problem.leaf.len()).map(|i| i % 2 == 0).collect();
        let start = model.complete(&problem, &keep);
        let order: Vec<Variable> = start.iter().map(|&(variable, _)| variable).collect();
        let added = model.variables.iter_variables_with_def().map(|(variable, _)| variable);
        assert_eq!(order, added.collect::<Vec<_>>());
        let values: HashMap<Variable, f64> = start.into_iter().collect();
        let worth = model.objective.eval_with(&values) * model.scale;
        assert_close(&problem, worth, problem.evaluate(&keep).objective);
    }
}
