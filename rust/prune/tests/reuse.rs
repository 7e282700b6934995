//! A pruner that is used again answers as a fresh one does, whatever came before.

use std::time::Duration;

use proptest::prelude::*;

use super::{Owned, small_problem};
use crate::generate::{ClusterKind, Generator};
use crate::prune::{Pruner, Request, Selection, Stats, select_leaves};
use crate::tree::NodeId;

/// What must be equal from run to run: all but the time.
fn timeless(selection: Selection) -> Selection {
    Selection { stats: Stats { elapsed: Duration::ZERO, ..selection.stats }, ..selection }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn one_pruner_answers_all_requests(
        problems in proptest::collection::vec(
            (small_problem(), proptest::option::of(0_u64..200), any::<[bool; 4]>()), 1..12,
        ),
    ) {
        let mut pruner = Pruner::new();
        for (owned, budget, [has_clusters, has_tokens, is_bad, in_a_hurry]) in &problems {
            let request = owned.request();
            let request = Request {
                clusters: request.clusters.filter(|_| *has_clusters),
                node_tokens: request.node_tokens.filter(|_| *has_tokens),
                kv_budget: budget.filter(|_| *has_tokens),
                ..request
            };
            if *is_bad {
                // Found late: the tree and the leaves are read by then.
                pruner.select_leaves(&Request { node_tokens: Some(&[u64::MAX]), ..request }).unwrap_err();
                pruner.select_leaves(&Request { weights: &[f64::NAN], ..request }).unwrap_err();
            }
            if *in_a_hurry {
                // Cut short in the middle, if it is not refused: its scratch memory stays behind.
                let _ = pruner.select_leaves(&Request { time_limit: Some(Duration::ZERO), ..request });
            }
            let found = pruner.select_leaves(&request).map(timeless);
            assert_eq!(found, select_leaves(&request).map(timeless));
        }
    }
}

#[test]
fn requests_of_very_different_sizes_leave_no_trace() {
    let wide = Generator {
        width: 300,
        depth: 4,
        clusters: ClusterKind::Independent,
        pruned: Some((3.0, 1.5)),
        seed: 1,
    };
    let tiny = Generator { width: 2, depth: 1, clusters: ClusterKind::One, pruned: None, seed: 2 };
    let long = Generator { width: 24, depth: 200, clusters: ClusterKind::Few, ..wide };
    let hard = Generator { width: 64, depth: 6, seed: 7, ..wide };
    let instances = [wide, tiny, hard, long, tiny, wide, hard].map(|g| g.generate().unwrap());
    let mut pruner = Pruner::new();
    for (lambda_b, lambda_d) in [(1.0, 1.4), (3.0, 1.5), (1.0, 0.0), (90.0, 1.0), (0.0, 0.0)] {
        for instance in &instances {
            let free = instance.request(lambda_b, lambda_d);
            let free = Request { node_tokens: Some(&instance.tokens), ..free };
            let found = timeless(pruner.select_leaves(&free).unwrap());
            assert_eq!(found, timeless(select_leaves(&free).unwrap()));
            let held = found.tokens_kept.unwrap();
            // Tighter ones take seconds here, and proptest has them on small problems.
            for budget in [held, u64::MAX, 0] {
                let request = Request { kv_budget: Some(budget), ..free };
                let again = pruner.select_leaves(&request).map(timeless);
                assert_eq!(again, select_leaves(&request).map(timeless));
                assert_eq!(again.is_err(), budget == 0);
            }
        }
    }
}

#[test]
fn a_refused_request_leaves_the_pruner_working() {
    let owned = Owned {
        parents: [0, 0, 0, 1, 1, 2].map(NodeId).to_vec(),
        leaves: [3, 4, 5].map(NodeId).to_vec(),
        weights: vec![9.0, 6.0, 1.0],
        clusters: vec![0, 0, 1],
        lambda_b: 1.0,
        lambda_d: 0.0,
        node_costs: None,
        node_tokens: vec![1; 6],
    };
    let request = owned.request();
    let mut pruner = Pruner::new();
    let first = timeless(pruner.select_leaves(&request).unwrap());
    assert_eq!(first.keep, [true, true, false]);
    for bad in [
        Request { parents: &[0, 0, 5, 1, 1, 2].map(NodeId), ..request },
        Request { leaves: &[3, 4, 4].map(NodeId), ..request },
        Request { leaves: &[3, 4, 6].map(NodeId), ..request },
        Request { weights: &[1.0, 1.0, -1.0], ..request },
        Request { clusters: Some(&[1]), lambda_d: 1.0, ..request },
        Request { node_costs: Some(&[1.0, 1.0, 1.0, 1.0, 1.0, f64::INFINITY]), ..request },
        Request { kv_budget: Some(2), ..request },
        Request { lambda_b: 1.1e300, ..request },
    ] {
        pruner.select_leaves(&bad).unwrap_err();
        assert_eq!(timeless(pruner.select_leaves(&request).unwrap()), first);
    }
}
