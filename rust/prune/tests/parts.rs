//! What a tree hands over is read as what anybody hands over is.

use proptest::prelude::*;

use super::{Owned, small_problem};
use crate::error::Error;
use crate::prune::{Request, Selection, select_leaves};
use crate::tree::{Marks, NodeId, Part, Tree};

fn tree_of(owned: &Owned) -> Tree {
    let mut tree = Tree::new(owned.node_tokens[0] as u32);
    let tokens: Vec<u32> = owned.node_tokens[1..].iter().map(|&tokens| tokens as u32).collect();
    tree.extend(&owned.parents[1..], &tokens).unwrap();
    tree
}

fn told(found: &Result<Selection, Error>) -> Option<(Vec<bool>, u64, usize, Option<u64>)> {
    let found = found.as_ref().ok()?;
    Some((found.keep.clone(), found.objective.to_bits(), found.nodes_kept, found.tokens_kept))
}

proptest! {
    #[test]
    fn a_part_is_selected_from_as_its_arrays_are(
        owned in small_problem(), budget in proptest::option::of(0_u64..100),
    ) {
        let part = tree_of(&owned).part_above(&owned.leaves).unwrap();
        let with = |request| Request {
            clusters: Some(&owned.clusters),
            lambda_b: owned.lambda_b,
            lambda_d: owned.lambda_d,
            kv_budget: budget,
            ..request
        };
        let cut = with(Request::of_part(&part, &owned.weights));
        prop_assert!(cut.is_cut());
        let (parents, leaves) = (part.parents().to_vec(), part.leaves().to_vec());
        let plain = Request { parents: &parents, leaves: &leaves, ..cut };
        prop_assert!(!plain.is_cut());
        let whole = with(Request { node_tokens: Some(&owned.node_tokens), ..owned.request() });
        let found = told(&select_leaves(&cut));
        prop_assert_eq!(&found, &told(&select_leaves(&plain)));
        if owned.node_costs.is_none() {
            prop_assert_eq!(&found, &told(&select_leaves(&whole)));
        }
    }
}

/// Its arrays may be exchanged for others, which nobody has checked.
#[test]
fn other_arrays_in_the_place_of_a_parts_are_checked() {
    let mut tree = Tree::new(1);
    tree.extend(&[NodeId::ROOT; 3], &[1, 1, 1]).unwrap();
    let part = tree.part_above(&[1, 2, 3].map(NodeId)).unwrap();
    let request = Request::of_part(&part, &[1.0; 3]);
    select_leaves(&request).unwrap();
    let wrong = [0, 0, 9, 0].map(NodeId);
    let twice = [1, 2, 1].map(NodeId);
    assert!(select_leaves(&Request { parents: &wrong, ..request }).is_err());
    assert!(select_leaves(&Request { leaves: &twice, ..request }).is_err());
    assert!(select_leaves(&Request { leaves: &part.leaves()[..2], ..request }).is_err());
    assert!(select_leaves(&Request { weights: &[1.0; 2], ..request }).is_err());
}

#[test]
fn a_part_that_was_refused_holds_no_leaves() {
    let mut tree = Tree::new(1);
    tree.extend(&[NodeId::ROOT; 3], &[1, 1, 1]).unwrap();
    let mut part = Part::default();
    let twice = [1, 2, 1].map(NodeId);
    assert!(tree.part_above_with(&mut Marks::default(), &mut part, &twice).is_err());
    let found = select_leaves(&Request::of_part(&part, &[]));
    assert_eq!(found.unwrap_err(), Error::Empty { argument: "leaves" });
}
