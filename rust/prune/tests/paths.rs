//! Components that are bounded by paths.

use proptest::prelude::*;

use super::generated::{hard_lambdas, medium_instance};
use super::{assert_close, brute_force, objective, small_problem};
use crate::generate::{ClusterKind, Generator};
use crate::prune::{Pruner, Request, Selection, select_leaves};

/// What is found where paths take over after the first branch.
fn select_by_paths(pruner: &mut Pruner, request: &Request<'_>) -> Selection {
    pruner.exact.paths_anyway = true;
    let found = pruner.select_leaves(request).unwrap();
    pruner.exact.paths_anyway = false;
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn paths_find_the_brute_force_optimum(owned in small_problem()) {
        let request = owned.request();
        let found = select_by_paths(&mut Pruner::new(), &request);
        assert_close(found.objective, brute_force(&request).unwrap());
        assert!(found.optimal);
    }

    /// One pruner for all three: what paths leave behind is no part of what comes after.
    #[test]
    fn paths_find_what_clusters_find(
        instance in medium_instance(),
        (lambda_b, lambda_d) in hard_lambdas(),
        rho in prop_oneof![Just(0.0), Just(0.5)],
    ) {
        let mut pruner = Pruner::new();
        let request =
            Request { node_tokens: Some(&instance.tokens), ..instance.request(lambda_b, lambda_d) };
        let by_paths = select_by_paths(&mut pruner, &request);
        assert!(by_paths.optimal);
        assert_close(by_paths.objective, objective(&request, &by_paths.keep).0);
        let found = select_leaves(&request).unwrap();
        assert_close(by_paths.objective, found.objective);
        let free = Request { rho, ..request };
        let budget = found.tokens_kept.map(|tokens| tokens * 9 / 10);
        for request in [free, Request { kv_budget: budget, ..request }] {
            let (again, fresh) = (pruner.select_leaves(&request), select_leaves(&request));
            assert_eq!(again.map(|found| found.keep).ok(), fresh.map(|found| found.keep).ok());
        }
    }
}

/// Clusters that follow the tree, selected from much more strictly than it was grown: by clusters
/// alone this takes 705 and 2,673 branches.
#[test]
fn strict_lambdas_take_few_branches_where_clusters_follow_the_tree() {
    let clusters = ClusterKind::Inherited;
    let generator = Generator { width: 512, depth: 8, clusters, pruned: Some((1.0, 1.4)), seed: 2 };
    let instance = generator.generate().unwrap();
    for (lambda_b, lambda_d) in [(4.0, 2.0), (8.0, 6.0)] {
        let found = select_leaves(&instance.request(lambda_b, lambda_d)).unwrap();
        let branches = found.stats.branch_nodes;
        assert!(found.optimal && branches <= 100, "{branches} branches");
    }
}
