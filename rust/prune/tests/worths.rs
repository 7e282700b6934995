//! Clusters worth differently, and further members that still pay: brute force, the MILP, bounds.

use std::collections::HashMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{MILP, Owned, assert_close, small_problem};
use crate::generate::{ClusterKind, Generator, Instance};
use crate::prune::{Pruner, Request, Selection, Solver, select_leaves};
use crate::tree::NodeId;

/// What is found without the search over inner nodes.
fn select_by_bounds(request: &Request<'_>) -> Selection {
    let mut pruner = Pruner::new();
    pruner.exact.only_by_bounds = true;
    pruner.select_leaves(request).unwrap()
}

/// What makes a rule other than the published one.
#[derive(Debug, Clone)]
struct Rule {
    lambda_r: f64,
    /// Worth by label; `None`: equal.
    worth: Option<Vec<f64>>,
    rho: f64,
}

const LABELS: usize = 12;

fn rule() -> impl Strategy<Value = Rule> {
    let lambda_r = prop_oneof![Just(0.001), Just(1.0), Just(0.0), 0.0..3.0];
    let one = prop_oneof![Just(1.0), Just(0.0), 0.0..5.0, Just(0.25)];
    let worth = proptest::option::weighted(0.8, vec(one, LABELS));
    let rho = prop_oneof![Just(0.0), Just(0.5), Just(0.9), 0.0..0.999, Just(0.01)];
    (lambda_r, worth, rho).prop_map(|(lambda_r, worth, rho)| Rule { lambda_r, worth, rho })
}

/// The request, or none where no cluster that occurs is worth anything.
fn request_of<'a>(owned: &'a Owned, labels: &'a [usize], rule: &'a Rule) -> Option<Request<'a>> {
    let request = Request { clusters: Some(labels), ..owned.request() };
    with_rule(request, rule)
}

fn with_rule<'a>(request: Request<'a>, rule: &'a Rule) -> Option<Request<'a>> {
    let worth = rule.worth.as_deref();
    let labels = request.clusters.unwrap();
    let paid = worth.is_none_or(|worth| labels.iter().any(|&k| worth[k] > 0.0));
    paid.then_some(Request {
        lambda_r: rule.lambda_r,
        rho: rule.rho,
        cluster_worth: worth,
        ..request
    })
}

fn labels(owned: &Owned) -> Vec<usize> {
    owned.clusters.iter().map(|label| label % LABELS).collect()
}

/// The objective and tokens of a set of leaves, read off the definition.
fn objective(request: &Request<'_>, keep: &[bool]) -> (f64, u64) {
    let plain = Request { lambda_d: 0.0, cluster_worth: None, rho: 0.0, ..*request };
    // The published objective with the profit scaled.
    let (free, tokens) = super::objective(&Request { lambda_b: 0.0, ..plain }, keep);
    let (paid, _) = super::objective(&plain, keep);
    let labels = request.clusters.unwrap();
    let mut members: HashMap<usize, i32> = labels.iter().map(|&k| (k, 0)).collect();
    for (k, _) in labels.iter().zip(keep).filter(|(_, kept)| **kept) {
        *members.get_mut(k).unwrap() += 1;
    }
    let worth = |k: usize| request.cluster_worth.map_or(1.0, |worth| worth[k]);
    let total: f64 = members.keys().map(|&k| worth(k)).sum();
    let clusters: f64 = members
        .iter()
        .map(|(&k, &m)| worth(k) / total * if m == 0 { 0.0 } else { 1.0 - request.rho.powi(m) })
        .sum();
    (request.lambda_r * free + (paid - free) + request.lambda_d * clusters, tokens)
}

fn brute_force(request: &Request<'_>) -> Option<f64> {
    let n = request.leaves.len();
    (1_u32..1 << n)
        .map(|bits| objective(request, &(0..n).map(|i| bits >> i & 1 == 1).collect::<Vec<_>>()))
        .filter(|&(_, tokens)| request.kv_budget.is_none_or(|budget| tokens <= budget))
        .map(|(value, _)| value)
        .reduce(f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_rule_finds_the_brute_force_optimum(
        owned in small_problem(), rule in rule(), budget in proptest::option::of(0_u64..200),
    ) {
        let labels = labels(&owned);
        let Some(request) = request_of(&owned, &labels, &rule) else { return Ok(()) };
        let request = Request { kv_budget: budget, ..request };
        let Some(best) = brute_force(&request) else { return Ok(()) };
        for solver in [Solver::Exact, MILP.0] {
            let found = select_leaves(&Request { solver, ..request }).unwrap();
            assert_close(found.objective, best);
            let (value, _) = objective(&request, &found.keep);
            assert_close(value, found.objective);
            assert!(found.optimal && found.bound.to_bits() == found.objective.to_bits());
        }
        assert_close(select_by_bounds(&request).objective, best);
    }

    #[test]
    fn cut_short_the_bound_still_holds(owned in small_problem(), rule in rule()) {
        let labels = labels(&owned);
        let Some(request) = request_of(&owned, &labels, &rule) else { return Ok(()) };
        let best = brute_force(&request).unwrap();
        for solver in [Solver::Exact, MILP.0] {
            let hasty = Request { solver, time_limit: Some(Duration::ZERO), ..request };
            let found = select_leaves(&hasty).unwrap();
            assert!(found.objective <= best + 1e-9 && found.bound >= best - 1e-9);
        }
    }

    #[test]
    fn equal_worths_and_no_further_gain_are_the_published_rule(owned in small_problem()) {
        let labels = labels(&owned);
        let published = Request { clusters: Some(&labels), ..owned.request() };
        let worth = vec![3.0; LABELS];
        let found = select_leaves(&Request { cluster_worth: Some(&worth), ..published }).unwrap();
        let expected = select_leaves(&published).unwrap();
        assert_eq!(found.keep, expected.keep);
        assert_eq!(found.objective.to_bits(), expected.objective.to_bits());
    }
}

fn medium_instance() -> impl Strategy<Value = Instance> {
    use ClusterKind::{Few, Independent, Inherited};
    let kinds = vec![Independent, Inherited, Inherited, Few];
    let pruned = proptest::option::weighted(0.7, (0.5..4.0, 0.2..3.0));
    (24_usize..=64, 1_usize..8, prop::sample::select(kinds), pruned, any::<u64>()).prop_map(
        |(width, depth, clusters, pruned, seed)| {
            Generator { width, depth, clusters, pruned, seed }.generate().unwrap()
        },
    )
}

/// What each cluster's candidates promise together.
fn masses(instance: &Instance) -> Vec<f64> {
    let mut masses = vec![0.0; 1 + instance.clusters.iter().max().unwrap()];
    for (&k, weight) in instance.clusters.iter().zip(&instance.weights) {
        masses[k] += weight;
    }
    masses
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn medium_searches_have_the_optimum_of_the_milp(
        instance in medium_instance(),
        lambda_b in prop_oneof![0.3..6.0, Just(2.0), Just(1.0)],
        lambda_r in prop_oneof![Just(0.001), Just(1.0), 0.0..1.0],
        lambda_d in prop_oneof![Just(1.0), 0.3..4.0],
        rho in prop_oneof![Just(0.5), Just(0.0), Just(0.8), 0.0..0.95],
        (dear_tokens, equal) in any::<(bool, bool)>(),
    ) {
        let costs: Vec<f64> = instance.tokens.iter().map(|&tokens| tokens as f64).collect();
        let masses = masses(&instance);
        let request = Request {
            lambda_r,
            rho,
            cluster_worth: (!equal).then_some(&masses),
            node_costs: dear_tokens.then_some(&costs),
            node_tokens: Some(&instance.tokens),
            ..instance.request(lambda_b, lambda_d)
        };
        let found = select_leaves(&request).unwrap();
        let milp = select_leaves(&Request { solver: MILP.0, ..request }).unwrap();
        assert_close(found.objective, milp.objective);
        assert_close(select_by_bounds(&request).objective, milp.objective);
        assert_close(objective(&request, &found.keep).0, found.objective);
        assert!(found.optimal && found.bound.to_bits() == found.objective.to_bits());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn budgets_have_the_optimum_of_the_milp(
        (width, depth, seed) in (8_usize..=24, 1_usize..6, any::<u64>()),
        lambda_b in prop_oneof![Just(2.0), Just(1.0), 0.3..4.0],
        rho in prop_oneof![Just(0.5), Just(0.0), 0.0..0.9],
        share in prop::sample::select(vec![3, 6, 9]),
    ) {
        let clusters = ClusterKind::Inherited;
        let instance =
            Generator { width, depth, clusters, pruned: Some((2.0, 1.0)), seed }.generate().unwrap();
        let masses = masses(&instance);
        let free = Request {
            lambda_r: 0.001,
            rho,
            cluster_worth: Some(&masses),
            node_tokens: Some(&instance.tokens),
            ..instance.request(lambda_b, 1.0)
        };
        let held = select_leaves(&free).unwrap().tokens_kept.unwrap();
        let request = Request { kv_budget: Some(held * share / 10), ..free };
        // Refused where not even the cheapest leaf fits.
        if let Ok(found) = select_leaves(&request) {
            let milp = select_leaves(&Request { solver: MILP.0, ..request }).unwrap();
            assert_close(found.objective, milp.objective);
            assert!(found.optimal && found.tokens_kept.unwrap() <= held * share / 10);
        }
    }
}

#[test]
fn where_few_nodes_branch_hardly_a_bound_is_needed() {
    let mut settled = 0;
    for seed in 0..20 {
        let clusters = ClusterKind::Inherited;
        let instance = Generator { width: 64, depth: 6, clusters, pruned: Some((2.0, 1.0)), seed };
        let instance = instance.generate().unwrap();
        let masses = masses(&instance);
        let request = Request {
            lambda_r: 0.001,
            rho: 0.5,
            cluster_worth: Some(&masses),
            ..instance.request(2.0, 1.0)
        };
        let (found, other) = (select_leaves(&request).unwrap(), select_by_bounds(&request));
        assert_close(found.objective, other.objective);
        settled += usize::from(found.stats.bounds == 0 && other.stats.bounds > 0);
    }
    // The others are given up on the way.
    assert!(settled >= 15, "{settled} of 20");
}

#[test]
fn what_makes_no_rule_is_named() {
    let (parents, leaves, weights) = ([0, 0, 0].map(NodeId), [1, 2].map(NodeId), [1.0, 1.0]);
    let request = Request {
        clusters: Some(&[0, 2]),
        lambda_d: 1.0,
        ..Request::new(&parents, &leaves, &weights)
    };
    let message = |request: Request<'_>| select_leaves(&request).unwrap_err().to_string();
    assert_eq!(
        message(Request { cluster_worth: Some(&[1.0, 1.0]), ..request }),
        "clusters[1] is 2: it must be at least 0 and below 2 (the length of cluster_worth)"
    );
    assert_eq!(
        message(Request { cluster_worth: Some(&[0.0, 1.0, 0.0]), ..request }),
        "the sum of cluster_worth over the clusters that occur is 0.0: it must be above 0"
    );
    assert_eq!(
        message(Request { cluster_worth: Some(&[1.0, 1.0, -1.0]), ..request }),
        "cluster_worth[2] is -1.0: it must be finite and at least 0"
    );
    assert_eq!(
        message(Request { rho: 1.0, ..request }),
        "rho is 1.0: it must be at least 0 and below 1"
    );
    assert_eq!(
        message(Request { lambda_r: f64::NAN, ..request }),
        "lambda_r is NaN: it must be between 0 and 1e300"
    );
    for bad in [
        Request { rho: 0.5, clusters: None, ..request },
        Request { cluster_worth: Some(&[1.0]), clusters: None, ..request },
        Request { cluster_worth: Some(&[1.0, 1.0, f64::INFINITY]), ..request },
        Request { cluster_worth: Some(&[]), lambda_d: 0.0, ..request },
        Request { rho: -0.1, ..request },
    ] {
        select_leaves(&bad).unwrap_err();
    }
}
