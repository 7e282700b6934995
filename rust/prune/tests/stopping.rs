//! A selection looks at its clock after bounded work, and stops soon after it was told to.
//!
//! Work is counted, in nodes and entries passed over, not time: the tests say the same everywhere.

use super::{MILP, Owned, assert_close, objective};
use crate::clock::{Clock, STRIDE};
use crate::generate::{ClusterKind, Generator};
use crate::interrupt::Interrupt;
use crate::prune::{Pruner, Request, Solver, select_leaves};
use crate::tree::NodeId;

/// A spine of `spine` nodes, each with a leaf; all leaves but the deepest cost more the higher they
/// hang, so that none makes another one needless.
fn caterpillar(spine: usize, clusters: usize, lambda_b: f64, lambda_d: f64) -> Owned {
    let mut parents = vec![NodeId::ROOT];
    let (mut leaves, mut top) = (Vec::new(), NodeId::ROOT);
    for i in 0..spine {
        leaves.push(NodeId(parents.len() as u32));
        parents.push(top);
        if i + 1 < spine {
            top = {
                parents.push(top);
                NodeId(parents.len() as u32 - 1)
            };
        }
    }
    let mut costs = vec![1e-3; parents.len()];
    for (i, &leaf) in leaves.iter().enumerate() {
        costs[leaf.index()] = 2.0 - i as f64 / spine as f64;
    }
    Owned {
        node_tokens: vec![1; parents.len()],
        weights: vec![1.0; spine],
        clusters: (0..spine).map(|i| i % clusters).collect(),
        node_costs: Some(costs),
        parents,
        leaves,
        lambda_b,
        lambda_d,
    }
}

fn generated(width: usize, depth: usize, lambda_b: f64, lambda_d: f64) -> Owned {
    let clusters = ClusterKind::Independent;
    let made = Generator { width, depth, clusters, pruned: None, seed: 1 }.generate().unwrap();
    Owned {
        parents: made.parents,
        leaves: made.leaves,
        weights: made.weights,
        clusters: made.clusters,
        lambda_b,
        lambda_d,
        node_costs: None,
        node_tokens: made.tokens,
    }
}

/// A chain on which every node is a candidate.
fn chain(n: usize, clusters: usize, lambda_b: f64, lambda_d: f64) -> Owned {
    Owned {
        parents: (0..n as u32).map(|v| NodeId(v.saturating_sub(1))).collect(),
        leaves: (0..n as u32).map(NodeId).collect(),
        weights: (0..n).map(|i| (i * 7919 % 101) as f64).collect(),
        clusters: (0..n).map(|i| i * 7 % clusters).collect(),
        lambda_b,
        lambda_d,
        node_costs: None,
        node_tokens: vec![1; n],
    }
}

/// Solves a request, whose checks are left to others, with a clock that stops after some looks.
fn solved(request: &Request<'_>, most_looks: Option<usize>) -> (Vec<bool>, Option<f64>, Pruner) {
    let mut pruner = Pruner::new();
    pruner.problem.read(request).unwrap();
    pruner.problem.list_candidates();
    let found = pruner.solve(Clock::stopping_after(most_looks));
    (found.keep, found.bound, pruner)
}

/// Stops a selection at many places; at each the answer is right and the work is bounded.
fn check(name: &str, request: &Request<'_>, pairs: usize) {
    let size = request.parents.len() + request.leaves.len() + pairs;
    let mut above = f64::INFINITY;
    let mut best = f64::NEG_INFINITY;
    let stops = (0..12).chain((4..12).map(|power| 1 << power));
    for most_looks in stops {
        let (keep, bound, pruner) = solved(request, Some(most_looks));
        let looks = &pruner.exact.clock.test;
        assert!(keep.contains(&true), "{name}, {most_looks} looks: no leaf is kept");
        let (value, tokens) = objective(request, &keep);
        assert!(request.kv_budget.is_none_or(|budget| tokens <= budget), "{name}: {tokens}");
        above = above.min(bound.unwrap_or(value));
        best = best.max(value);
        assert!(best <= above + 1e-9, "{name}, {most_looks} looks: {best} above the bound {above}");
        let (between, late) = (looks.between, looks.late);
        assert!(between <= 2 * size + STRIDE, "{name}: {between} between looks, of {size}");
        assert!(late <= 32 * size, "{name}, {most_looks} looks: {late} too late, of {size}");
        if looks.taken < most_looks {
            break;
        }
    }
}

#[test]
fn where_no_leaf_pays() {
    for (width, lambda_b, lambda_d) in [(512, 80.0, 2.0), (512, 400.0, 50.0), (64, 30.0, 6.0)] {
        check("wide", &generated(width, 20, lambda_b, lambda_d).request(), 0);
    }
    check("deep", &caterpillar(2000, 1, 80.0, 0.0).request(), 0);
    // Gains make every subtree look as if it could pay.
    check("deep, with clusters", &caterpillar(600, 300, 900.0, 300.0).request(), 0);
}

#[test]
fn where_paths_are_long_and_clusters_few() {
    for (clusters, lambda_b) in [(2, 40.0), (8, 40.0), (8, 200.0), (64, 40.0)] {
        let owned = caterpillar(2000, clusters, lambda_b, 3.0);
        check("deep", &owned.request(), 0);
    }
}

#[test]
fn where_paths_are_tried() {
    let clusters = ClusterKind::Inherited;
    let generator = Generator { width: 512, depth: 8, clusters, pruned: Some((1.0, 1.4)), seed: 2 };
    let made = generator.generate().unwrap();
    let request = Request { node_tokens: Some(&made.tokens), ..made.request(4.0, 2.0) };
    check("strict", &request, 4 * made.parents.len());
}

#[test]
fn within_a_budget() {
    let owned = generated(256, 8, 3.0, 1.5);
    let paths = 10 * owned.leaves.len();
    for budget in [2_000, 20_000] {
        check("wide", &Request { kv_budget: Some(budget), ..owned.request() }, paths);
    }
    let owned = caterpillar(400, 8, 20.0, 3.0);
    let paths = 400 * 400 / 2;
    for budget in [2, 30, 300] {
        check("deep", &Request { kv_budget: Some(budget), ..owned.request() }, paths);
    }
    let owned = chain(1500, 300, 3.0, 1.4);
    check("chain", &Request { kv_budget: Some(700), ..owned.request() }, 0);
}

/// The search below each node in turn used to cost the whole tree, node by node.
#[test]
fn where_no_leaf_pays_the_work_is_linear() {
    for owned in [caterpillar(4000, 1, 80.0, 0.0), generated(1024, 20, 80.0, 2.0)] {
        let request = owned.request();
        let (_, bound, pruner) = solved(&request, None);
        let (work, size) = (pruner.exact.clock.test.total, request.parents.len());
        assert_eq!(bound, None);
        assert!(work <= 12 * size, "{work} for {size} nodes");
    }
}

/// An ancestor that carries a cluster already makes a node idle, however far up.
#[test]
fn chains_of_candidates_are_proven_by_reductions() {
    for (n, clusters) in [(100, 30), (1000, 300), (20_000, 6000)] {
        let owned = chain(n, clusters, 3.0, 1.4);
        let request = owned.request();
        let found = select_leaves(&request).unwrap();
        assert!(found.optimal);
        assert_eq!((found.stats.bounds, found.stats.branch_nodes), (0, 0));
        // There is a prefix for each node, and what it is worth is summed up along the chain.
        let whole: f64 = owned.weights.iter().sum();
        let (mut value, mut seen, mut best) = (0.0, vec![false; clusters], f64::NEG_INFINITY);
        for (weight, &k) in owned.weights.iter().zip(&owned.clusters) {
            let new = !std::mem::replace(&mut seen[k], true);
            value += weight / whole - owned.lambda_b / n as f64;
            value += if new { owned.lambda_d / clusters as f64 } else { 0.0 };
            best = best.max(value);
        }
        assert_close(found.objective, best);
    }
}

#[test]
fn an_interrupt_ends_a_selection() {
    let owned = generated(256, 12, 6.0, 4.0);
    let interrupt = Interrupt::new();
    let request = Request { interrupt: Some(&interrupt), ..owned.request() };
    let whole = select_leaves(&request).unwrap();
    assert_eq!(whole.keep, select_leaves(&owned.request()).unwrap().keep);
    assert!(!interrupt.is_set() && whole.optimal && whole.stats.bounds > 0);
    interrupt.clone().set();
    for solver in [Solver::Exact, MILP.0] {
        let found = select_leaves(&Request { solver, ..request }).unwrap();
        assert!(!found.optimal && found.keep.contains(&true));
        assert!(found.objective <= whole.objective && whole.objective <= found.bound + 1e-9);
    }
}

#[test]
fn an_interrupt_that_asks_is_asked_in_the_midst() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    // Hours of work: that this ends says that the third answer was heard.
    let made = Generator {
        width: 4096,
        depth: 20,
        clusters: ClusterKind::Independent,
        pruned: None,
        seed: 1,
    };
    let made = made.generate().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let interrupt = Interrupt::new().asking(move || count.fetch_add(1, Ordering::Relaxed) == 2);
    let request = Request { interrupt: Some(&interrupt), ..made.request(30.0, 6.0) };
    let found = select_leaves(&request).unwrap();
    assert!(!found.optimal && !interrupt.is_set());
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}
