//! Trees with long runs, cut short at once, run by run, and step by step.

use proptest::prelude::*;

use super::super::tests::tree_and_nodes;
use super::*;

const LONGEST: u32 = LONGEST_RUN;

fn chosen(leaves: &[NodeId], bits: u32) -> Vec<NodeId> {
    (0..).zip(leaves).filter(|(at, _)| bits >> (at % 32) & 1 == 1).map(|(_, &leaf)| leaf).collect()
}

/// A tree in which many nodes hang at their parent by a run, some just long enough to be cut
/// short, and distinct nodes of it, inner ones too.
fn stretched() -> impl Strategy<Value = (Tree, Vec<NodeId>)> {
    let runs = vec![0, 0, 0, 1, LONGEST - 3, LONGEST - 2, LONGEST - 1, LONGEST, 3 * LONGEST];
    let runs = proptest::collection::vec(proptest::sample::select(runs), 61);
    (tree_and_nodes(), runs, 0_u32..=9).prop_map(|((small, leaves), runs, spread)| {
        let mut tree = Tree::new(small.tokens()[0]);
        let mut places = vec![NodeId::ROOT];
        for node in 1..small.len() {
            let mut above = places[small.parents[node].index()];
            for at in 0..if node as u32 % 10 < spread { runs[node] } else { 0 } {
                above = tree.add(above, at % 7).unwrap();
            }
            places.push(tree.add(above, small.tokens()[node]).unwrap());
        }
        let mut leaves: Vec<NodeId> = leaves.iter().map(|&leaf| places[leaf.index()]).collect();
        leaves.sort_unstable();
        leaves.dedup();
        (tree, leaves)
    })
}

/// The part above some leaves, its long runs cut short, found one run at a time.
fn short_naive(tree: &Tree, leaves: &[NodeId]) -> Part {
    let part = tree.part_above(leaves).unwrap();
    let id = |v: usize| NodeId(v as u32);
    let below = |v: usize| part.parents.iter().skip(1).filter(|&&parent| parent == id(v)).count();
    let goes_on = |v: usize| below(v) == 1 && !part.leaves.contains(&id(v));
    let run = |end: usize| {
        let mut run = vec![end];
        while run[0] > 0 && goes_on(part.parents[run[0]].index()) {
            run.insert(0, part.parents[run[0]].index());
        }
        run
    };
    let mut gone = vec![false; part.parents.len()];
    for end in (0..gone.len()).filter(|&v| !goes_on(v)) {
        let run = run(end);
        let long = run.len() > LONGEST as usize;
        run[..run.len() - 1].iter().for_each(|&v| gone[v] = long);
    }
    let stays: Vec<usize> = (0..gone.len()).filter(|&v| !gone[v]).collect();
    let place = |v: NodeId| id(stays.iter().position(|&at| id(at) == v).unwrap());
    let stood_for = |v: usize| {
        if goes_on(v) || run(v).len() <= LONGEST as usize { vec![v] } else { run(v) }
    };
    let deepest = leaves.iter().map(|&leaf| tree.depths()[leaf.index()]).max();
    Part {
        parents: stays
            .iter()
            .map(|&v| match stood_for(v)[0] {
                0 => NodeId::ROOT,
                first => place(part.parents[first]),
            })
            .collect(),
        tokens: stays
            .iter()
            .map(|&v| stood_for(v).iter().map(|&at| part.tokens[at]).sum())
            .collect(),
        leaves: part.leaves.iter().map(|&leaf| place(leaf)).collect(),
        counts: match deepest {
            Some(depth) if depth >= LONGEST_RUN => {
                stays.iter().map(|&v| stood_for(v).len() as u64).collect()
            }
            _ => vec![],
        },
    }
}

fn short(tree: &Tree, leaves: &[NodeId]) -> Part {
    let mut part = tree.part_above(leaves).unwrap();
    part.shorten();
    part
}

proptest! {
    #[test]
    fn runs_are_cut_short_by_definition((tree, leaves) in stretched()) {
        let part = short(&tree, &leaves);
        prop_assert_eq!(&part, &short_naive(&tree, &leaves));
        prop_assert!(part.parents.len() <= (2 * LONGEST as usize * leaves.len()).max(1));
    }

    /// What is selected, to the last bit, is a function of this part.
    #[test]
    fn a_tree_that_was_cut_short_is_selected_in_as_the_whole_one(
        (mut whole, leaves) in stretched(),
        steps in proptest::collection::vec((any::<u32>(), any::<u32>(), 0..=2 * LONGEST), 1..6),
    ) {
        let mut marks = Marks::default();
        let (mut small, mut places) = whole.contracted_with(&mut marks, &leaves).unwrap();
        let mut leaves = leaves;
        for (bits, goes_on, run) in steps {
            let (some, there) = (chosen(&leaves, bits), chosen(&places, bits));
            prop_assert_eq!(short(&small, &there), short(&whole, &some));
            prop_assert_eq!(small.kv_tokens(&there).unwrap(), whole.kv_tokens(&some).unwrap());
            // Some go on, with two nodes each at first, and are cut short once more.
            let mut above = [chosen(&leaves, goes_on), chosen(&places, goes_on)];
            if above[0].is_empty() {
                break;
            }
            above.iter_mut().for_each(|above| above.extend(above.clone()));
            for _ in 0..=run {
                let tokens: Vec<u32> = (1..).take(above[0].len()).collect();
                for (tree, above) in [&mut whole, &mut small].into_iter().zip(&mut above) {
                    *above = tree.extend(above, &tokens).unwrap();
                }
            }
            (small, places) = small.contracted_with(&mut marks, &above[1]).unwrap();
            leaves.clone_from(&above[0]);
            let depth = |tree: &Tree, leaf: NodeId| tree.depths()[leaf.index()];
            for (&leaf, &place) in leaves.iter().zip(&places) {
                prop_assert_eq!(depth(&small, place), depth(&whole, leaf));
            }
        }
    }
}

/// A tree of one run, and its last node.
fn chain(prompt: u32, tokens: &[u32]) -> (Tree, NodeId) {
    let mut tree = Tree::new(prompt);
    let parents: Vec<NodeId> = (0..).map(NodeId).take(tokens.len()).collect();
    tree.extend(&parents, tokens).unwrap();
    (tree, NodeId(tokens.len() as u32))
}

#[test]
fn a_run_of_more_tokens_than_a_node_holds_stays_in_stretches() {
    let most = u32::MAX;
    let mut tokens = vec![0; LONGEST as usize];
    (tokens[1], tokens[2], tokens[7]) = (most, 1, most);
    let (tree, end) = chain(most, &tokens);
    let (small, places) = tree.contracted_with(&mut Marks::default(), &[end]).unwrap();
    assert_eq!((small.len(), places), (4, vec![NodeId(3)]));
    assert_eq!(small.kv_tokens(&[NodeId(3)]).unwrap(), tree.kv_tokens(&[end]).unwrap());
    assert_eq!(small.depths(), [LONGEST_RUN; 4]);
    assert_eq!(short(&small, &[NodeId(3)]), short(&tree, &[end]));
}

#[test]
fn a_long_run_is_one_node_and_no_leaf_needs_but_a_root() {
    let mut marks = Marks::default();
    let tokens = vec![2; LONGEST as usize];
    let (tree, end) = chain(3, &tokens[1..]);
    let (small, places) = tree.contracted_with(&mut marks, &[end]).unwrap();
    assert_eq!((&small, places), (&tree, vec![end]));
    assert!(!small.is_contracted());
    let (tree, end) = chain(3, &tokens);
    let (small, places) = tree.contracted_with(&mut marks, &[end]).unwrap();
    assert_eq!((small.tokens(), places), (&[3 + 2 * LONGEST_RUN][..], vec![NodeId::ROOT]));
    assert!(small.is_contracted());
    let (small, places) = tree.contracted_with(&mut marks, &[]).unwrap();
    assert_eq!((small.tokens(), places), (&[0][..], vec![]));
    assert!(tree.contracted_with(&mut marks, &[NodeId(1), NodeId(1)]).is_err());
}

#[test]
fn depths_of_a_copy_are_checked() {
    let (tree, end) = chain(3, &vec![2; 2 * LONGEST as usize]);
    let (small, _) = tree.contracted_with(&mut Marks::default(), &[NodeId(1), end]).unwrap();
    let (mut copy, _) = chain(3, &[2, 2 * (2 * LONGEST - 1)]);
    let refused =
        |copy: &mut Tree, depths: &[u32]| copy.set_depths(depths).unwrap_err().to_string();
    assert_eq!(
        refused(&mut copy, &[0, 1]),
        "depths has length 2: it must have length 3, like the nodes"
    );
    assert_eq!(
        refused(&mut copy, &[0, 2, 1]),
        "depths[2] is 1: it must be below 2**32, and at least its parent's"
    );
    copy.set_depths(&[0, 1, 2 * LONGEST]).unwrap();
    assert_eq!(copy, small);
}
