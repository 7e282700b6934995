//! The exact method against the MILP on the states of simulated searches.

use proptest::prelude::*;

use std::time::Duration;

use super::{MILP, assert_close, objective};
use crate::generate::{ClusterKind, Generator, Instance};
use crate::prune::{Request, select_leaves};

/// The state of a search of medium width, most of them pruned at every step: there the reductions
/// have already had what is easy.
pub fn medium_instance() -> impl Strategy<Value = Instance> {
    use ClusterKind::{Distinct, Few, Independent, Inherited, One};
    let kinds =
        vec![Independent, Independent, Independent, Inherited, Inherited, Few, Distinct, One];
    let pruned = proptest::option::weighted(0.8, (0.5..6.0, 0.2..3.0));
    (24_usize..=64, 1_usize..10, prop::sample::select(kinds), pruned, any::<u64>()).prop_map(
        |(width, depth, clusters, pruned, seed)| {
            Generator { width, depth, clusters, pruned, seed }.generate().unwrap()
        },
    )
}

/// Prices and rewards at which choices are close.
pub fn hard_lambdas() -> impl Strategy<Value = (f64, f64)> {
    (prop_oneof![0.5..6.0, Just(1.0), Just(3.0)], prop_oneof![0.2..6.0, Just(1.4), Just(2.0)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn medium_searches_have_the_optimum_of_the_milp(
        instance in medium_instance(),
        (lambda_b, lambda_d) in hard_lambdas(),
        dear_tokens in any::<bool>(),
    ) {
        let costs: Vec<f64> = instance.tokens.iter().map(|&tokens| tokens as f64).collect();
        let request = Request {
            node_costs: dear_tokens.then_some(&costs),
            node_tokens: Some(&instance.tokens),
            ..instance.request(lambda_b, lambda_d)
        };
        let found = select_leaves(&request).unwrap();
        let milp = select_leaves(&Request { solver: MILP.0, ..request }).unwrap();
        assert_close(found.objective, milp.objective);
        let (value, tokens) = objective(&request, &found.keep);
        assert_close(value, found.objective);
        assert_eq!(found.tokens_kept, Some(tokens));
        assert!(found.optimal && found.bound.to_bits() == found.objective.to_bits());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn budgets_have_the_optimum_of_the_milp(
        (width, depth, seed) in (8_usize..=24, 1_usize..7, any::<u64>()),
        (lambda_b, lambda_d) in hard_lambdas(),
        share in prop::sample::select(vec![3, 6, 9]),
    ) {
        let clusters = ClusterKind::Independent;
        let instance =
            Generator { width, depth, clusters, pruned: Some((2.0, 1.0)), seed }.generate().unwrap();
        let free =
            Request { node_tokens: Some(&instance.tokens), ..instance.request(lambda_b, lambda_d) };
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
fn a_limit_never_gives_a_wrong_bound() {
    let generator = Generator {
        width: 96,
        depth: 5,
        clusters: ClusterKind::Independent,
        pruned: Some((3.0, 1.5)),
        seed: 0,
    };
    for seed in 0..20 {
        let instance = Generator { seed, ..generator }.generate().unwrap();
        let request = instance.request(4.0, 2.0);
        let best = select_leaves(&request).unwrap();
        assert!(best.optimal);
        for micros in [0, 10, 100, 1000] {
            let time_limit = Some(Duration::from_micros(micros));
            let hasty = select_leaves(&Request { time_limit, ..request }).unwrap();
            assert!(hasty.objective <= best.objective + 1e-12);
            assert!(hasty.bound >= best.objective - 1e-12);
            assert!(!hasty.optimal || hasty.objective >= best.objective - 1e-12);
        }
    }
}
