//! Nodes that stand for several against as many nodes.

use proptest::prelude::*;

use super::{MILP, Owned, assert_close, objective, small_problem};
use crate::prune::{Request, Solver, select_leaves};
use crate::tree::NodeId;

/// The same problem with as many nodes as each one stands for, and the tokens at the last of them.
fn spread_out(problem: &Owned, counts: &[u64]) -> Owned {
    let (mut parents, mut node_tokens, mut last) = (vec![], vec![], vec![]);
    for (v, &count) in counts.iter().enumerate() {
        let mut above = if v == 0 { NodeId::ROOT } else { last[problem.parents[v].index()] };
        for at in 0..count {
            let id = NodeId(parents.len() as u32);
            parents.push(above);
            node_tokens.push(if at == count - 1 { problem.node_tokens[v] } else { 0 });
            above = id;
        }
        last.push(above);
    }
    let leaves = problem.leaves.iter().map(|&leaf| last[leaf.index()]).collect();
    Owned { parents, leaves, node_tokens, node_costs: None, ..problem.clone() }
}

proptest! {
    #[test]
    fn a_node_that_stands_for_several_costs_as_much_as_they(
        problem in small_problem(),
        counts in proptest::collection::vec(prop_oneof![Just(1_u64), 1_u64..5, Just(100)], 24),
        milp: bool,
    ) {
        let counts = &counts[..problem.parents.len()];
        let solver = if milp { MILP.0 } else { Solver::Exact };
        let wide = spread_out(&problem, counts);
        let request = Request {
            node_costs: None, node_counts: Some(counts), solver, ..problem.request()
        };
        let (short, long) = (select_leaves(&request).unwrap(), select_leaves(&wide.request()).unwrap());
        assert_close(short.objective, long.objective);
        prop_assert!(short.optimal && long.optimal);
        prop_assert_eq!(short.stats.nodes, long.stats.nodes);
        // Another of several best may be kept.
        let (value, tokens) = objective(&wide.request(), &short.keep);
        assert_close(short.objective, value);
        prop_assert_eq!(short.tokens_kept, Some(tokens));
        if short.keep == long.keep {
            prop_assert_eq!(short.nodes_kept, long.nodes_kept);
            prop_assert_eq!(short.objective.to_bits(), long.objective.to_bits());
        }
    }

    #[test]
    fn nodes_that_stand_for_themselves_change_no_bit(problem in small_problem()) {
        let counts = vec![1; problem.parents.len()];
        let found = select_leaves(&problem.request()).unwrap();
        let mut same =
            select_leaves(&Request { node_counts: Some(&counts), ..problem.request() }).unwrap();
        same.stats.elapsed = found.stats.elapsed;
        prop_assert_eq!(found, same);
    }
}

#[test]
fn counts_are_checked() {
    let request =
        Request { lambda_b: 1.0, ..Request::new(&[NodeId::ROOT; 2], &[NodeId(1)], &[1.0]) };
    let refused = |counts: &[u64]| {
        let error = select_leaves(&Request { node_counts: Some(counts), ..request }).unwrap_err();
        error.to_string()
    };
    assert_eq!(refused(&[1]), "node_counts has length 1: it must have length 2, like parents");
    assert_eq!(refused(&[1, 0]), "node_counts[1] is 0: it must be at least 1");
    assert!(refused(&[u64::MAX >> 1, 1]).contains("small enough for the sum to stay below 2**63"));
}
