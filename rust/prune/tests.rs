//! Both methods against brute force on small trees; larger ones and reuse below.

mod counts;
mod generated;
mod parts;
mod paths;
mod reductions;
mod reuse;
mod stopping;
mod worths;

use proptest::prelude::*;

use std::time::{Duration, Instant};

use super::problem::Problem;
use super::{Request, Solver, incumbent, milp, select_leaves};
use crate::error::Error;
use crate::tree::NodeId;

/// The solver that the exact method is held against.
#[cfg(not(feature = "highs"))]
const MILP: (Solver, milp::Backend) = (Solver::Milp, milp::MICROLP);
#[cfg(feature = "highs")]
const MILP: (Solver, milp::Backend) = (Solver::Highs, milp::HIGHS);

/// A small problem that owns its arrays.
#[derive(Debug, Clone)]
struct Owned {
    parents: Vec<NodeId>,
    leaves: Vec<NodeId>,
    weights: Vec<f64>,
    clusters: Vec<usize>,
    lambda_b: f64,
    lambda_d: f64,
    node_costs: Option<Vec<f64>>,
    node_tokens: Vec<u64>,
}

impl Owned {
    fn request(&self) -> Request<'_> {
        Request {
            clusters: Some(&self.clusters),
            lambda_b: self.lambda_b,
            lambda_d: self.lambda_d,
            node_costs: self.node_costs.as_deref(),
            node_tokens: Some(&self.node_tokens),
            ..Request::new(&self.parents, &self.leaves, &self.weights)
        }
    }
}

/// What the objective says of one set of leaves, read off its definition.
fn objective(request: &Request<'_>, keep: &[bool]) -> (f64, u64) {
    let m = request.parents.len();
    let paths_of = |chosen: &dyn Fn(usize) -> bool| {
        let mut on = vec![false; m];
        for (_, &leaf) in request.leaves.iter().enumerate().filter(|(i, _)| chosen(*i)) {
            let mut v = leaf;
            while !std::mem::replace(&mut on[v.index()], true) {
                v = request.parents[v.index()];
            }
        }
        on
    };
    let (every, kept) = (paths_of(&|_| true), paths_of(&|i| keep[i]));
    let cost = |v: usize| request.node_costs.map_or(1.0, |costs| costs[v]);
    let total: f64 = (0..m).filter(|&v| every[v]).map(cost).sum();
    let held: f64 = (0..m).filter(|&v| kept[v]).map(cost).sum();
    let tokens = (0..m).filter(|&v| kept[v]).map(|v| request.node_tokens.unwrap()[v]).sum();
    let profit: f64 = (0..keep.len()).filter(|&i| keep[i]).map(|i| request.weights[i]).sum();
    let mut labels = request.clusters.unwrap().to_vec();
    let mut covered: Vec<usize> = (0..keep.len()).filter(|&i| keep[i]).map(|i| labels[i]).collect();
    for list in [&mut labels, &mut covered] {
        list.sort_unstable();
        list.dedup();
    }
    let share = if total > 0.0 { held / total } else { 0.0 };
    let value = profit / request.weights.iter().sum::<f64>() - request.lambda_b * share
        + request.lambda_d * covered.len() as f64 / labels.len() as f64;
    (value, tokens)
}

/// The best objective over all non-empty sets within the budget.
fn brute_force(request: &Request<'_>) -> Option<f64> {
    let n = request.leaves.len();
    (1_u32..1 << n)
        .map(|bits| objective(request, &(0..n).map(|i| bits >> i & 1 == 1).collect::<Vec<_>>()))
        .filter(|&(_, tokens)| request.kv_budget.is_none_or(|budget| tokens <= budget))
        .map(|(value, _)| value)
        .reduce(f64::max)
}

/// Small trees: branching or chains, leaves at inner nodes too, few or many clusters, equal
/// weights and zero weights, lambdas from 0 to prices that make every set a loss.
fn small_problem() -> impl Strategy<Value = Owned> {
    (1_usize..24).prop_flat_map(|m| {
        let reach = prop_oneof![Just(1_usize), Just(3), Just(m)];
        let nodes = proptest::collection::vec(0.0..1.0, m);
        let costs = proptest::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.0..3.0], m);
        let tokens = proptest::collection::vec(0_u64..20, m);
        let order = Just((0..m as u32).map(NodeId).collect::<Vec<_>>()).prop_shuffle();
        let n = 1..=m.min(9);
        let lambda_b = prop_oneof![Just(0.0), Just(1.0), 0.0..6.0, Just(50.0)];
        let lambda_d = prop_oneof![Just(0.0), Just(1.4), 0.0..6.0];
        (reach, nodes, proptest::option::of(costs), tokens, order, n, lambda_b, lambda_d)
            .prop_flat_map(
                |(reach, at, node_costs, node_tokens, mut leaves, n, lambda_b, lambda_d)| {
                    leaves.truncate(n);
                    let parent = |(v, at): (usize, &f64)| {
                        NodeId((v - 1 - (at * v.min(reach) as f64) as usize) as u32)
                    };
                    let mut parents = vec![NodeId::ROOT];
                    parents.extend(at.iter().enumerate().skip(1).map(parent));
                    let weights = proptest::collection::vec(
                        prop_oneof![Just(1.0), Just(0.0), (1_u8..5).prop_map(f64::from), 0.0..1.0],
                        n,
                    );
                    let weights = weights.prop_filter("not all 0", |w| w.iter().sum::<f64>() > 0.0);
                    // Close to each other, or as far apart as can be.
                    let kinds = prop_oneof![Just(1_usize), Just(2), Just(4), Just(1000)];
                    let clusters = kinds.prop_flat_map(move |kinds| {
                        let label = (0..2 * kinds).prop_map(move |at| at.wrapping_sub(kinds));
                        proptest::collection::vec(label, n)
                    });
                    (weights, clusters).prop_map(move |(weights, clusters)| Owned {
                        parents: parents.clone(),
                        leaves: leaves.clone(),
                        weights,
                        clusters,
                        lambda_b,
                        lambda_d,
                        node_costs: node_costs.clone(),
                        node_tokens: node_tokens.clone(),
                    })
                },
            )
    })
}

fn assert_close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * (1.0 + a.abs()), "{a} against {b}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn both_methods_find_the_brute_force_optimum(owned in small_problem()) {
        let request = owned.request();
        let best = brute_force(&request).unwrap();
        for solver in [Solver::Auto, Solver::Exact, MILP.0] {
            let found = select_leaves(&Request { solver, ..request }).unwrap();
            assert_close(found.objective, best);
            let (value, tokens) = objective(&request, &found.keep);
            assert_close(value, found.objective);
            assert_eq!(found.tokens_kept, Some(tokens));
            assert!(found.optimal && found.bound.to_bits() == found.objective.to_bits());
            assert_eq!(select_leaves(&Request { solver, ..request }).unwrap().keep, found.keep);
        }
    }

    #[test]
    fn without_a_coverage_term_one_pass_equals_the_milp(owned in small_problem()) {
        let request = Request { clusters: None, ..owned.request() };
        let (one, milp) = (
            select_leaves(&request).unwrap(),
            select_leaves(&Request { solver: MILP.0, ..request }).unwrap(),
        );
        assert_eq!((one.stats.solver, milp.stats.solver), ("onepass", MILP.1.name));
        assert_close(one.objective, milp.objective);
    }

    #[test]
    fn a_budget_is_kept_and_the_best_within_it_found(
        owned in small_problem(), budget in 0_u64..200,
    ) {
        let request = Request { kv_budget: Some(budget), ..owned.request() };
        if let Some(best) = brute_force(&request) {
            let found = select_leaves(&request).unwrap();
            assert_close(found.objective, best);
            assert!(found.tokens_kept.unwrap() <= budget);
        } else {
            let Err(Error::BudgetTooSmall { needs, .. }) = select_leaves(&request) else {
                panic!("a budget that nothing fits must be refused");
            };
            assert!(needs > budget);
            select_leaves(&Request { kv_budget: Some(needs), ..request }).unwrap();
        }
    }

    #[test]
    fn the_fallback_is_feasible_and_its_bound_holds(
        owned in small_problem(), budget in proptest::option::of(0_u64..200),
    ) {
        let request = Request { kv_budget: budget, ..owned.request() };
        if let Ok(problem) = Problem::new(&request) {
            let best = brute_force(&request).unwrap();
            let value = problem.evaluate(&incumbent::simple_selection(&problem));
            assert!(value.objective <= best + 1e-9);
            assert!(problem.budget.is_none_or(|budget| value.tokens <= budget));
            assert!(incumbent::simple_bound(&problem) >= best - 1e-9);
        }
    }
}

#[test]
fn no_time_at_all_still_answers_with_a_bound() {
    let owned = Owned {
        parents: [0, 0, 0].into_iter().chain((0..40).map(|i| 1 + i % 2)).map(NodeId).collect(),
        leaves: (3..43).map(NodeId).collect(),
        weights: (0..40).map(|i| f64::from(i * 7 % 11)).collect(),
        clusters: (0..40).map(|i| i * 5 % 13).collect(),
        lambda_b: 2.0,
        lambda_d: 1.0,
        node_costs: None,
        node_tokens: vec![1; 43],
    };
    let request = owned.request();
    let best = select_leaves(&request).unwrap();
    let hasty = select_leaves(&Request { time_limit: Some(Duration::ZERO), ..request }).unwrap();
    assert!(hasty.objective <= best.objective + 1e-9 && best.objective <= hasty.bound + 1e-9);
    assert!(!hasty.optimal || hasty.bound.to_bits() == hasty.objective.to_bits());
    let problem = Problem::new(&request).unwrap();
    let found = milp::solve(MILP.1, &problem, None, Instant::now(), None).unwrap();
    assert_eq!(found.keep, best.keep);
}

#[test]
fn bad_input_is_named() {
    let (parents, leaves, weights) = ([0, 0, 0].map(NodeId), [1, 2].map(NodeId), [1.0, 1.0]);
    let request = Request::new(&parents, &leaves, &weights);
    let message = |request: Request<'_>| select_leaves(&request).unwrap_err().to_string();
    assert_eq!(
        message(Request { parents: &[0, 2, 0].map(NodeId), ..request }),
        "parents[1] is 2: it must be the id of an earlier node (parents come before children; \
         only node 0 is a root)"
    );
    assert_eq!(
        message(Request { leaves: &[1, 1].map(NodeId), ..request }),
        "leaves[1] is 1, as leaves[0] already is: entries must be distinct"
    );
    assert_eq!(
        message(Request { weights: &[0.0, 0.0], ..request }),
        "the sum of weights is 0.0: it must be above 0"
    );
    assert_eq!(
        message(Request { kv_budget: Some(4), ..request }),
        "kv_budget needs node_tokens: give both or neither"
    );
    assert_eq!(
        message(Request { kv_budget: Some(4), node_tokens: Some(&[3, 2, 3]), ..request }),
        "kv_budget is 4: it must be at least 5, the tokens on the path to the cheapest leaf"
    );
    for bad in [
        Request { parents: &[], ..request },
        Request { parents: &[1, 0, 0].map(NodeId), ..request },
        Request { parents: &[0, 1, 0].map(NodeId), ..request },
        Request { leaves: &[], ..request },
        Request { leaves: &[1, 3].map(NodeId), ..request },
        Request { weights: &[1.0], ..request },
        Request { weights: &[1.0, f64::INFINITY], ..request },
        Request { clusters: Some(&[0]), ..request },
        Request { lambda_b: -1.0, ..request },
        Request { lambda_d: f64::NAN, ..request },
        Request { node_costs: Some(&[1.0, -1.0, 0.0]), ..request },
        Request { node_tokens: Some(&[u64::MAX, 1, 0]), ..request },
        Request { node_tokens: Some(&[1 << 62, 1 << 62, 0]), ..request },
    ] {
        select_leaves(&bad).unwrap_err();
    }
}
