//! Each reduction and each bound by itself, held against all selections of small forests.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::clock::Clock;
use crate::prune::counts::Tally;
use crate::prune::dominance::Dominance;
use crate::prune::dual::Dual;
use crate::prune::fix::Fix;
use crate::prune::fold::Fold;
use crate::prune::forest::Forest;
use crate::prune::path_dual::PathDual;
use crate::prune::presolve::Presolve;
use crate::prune::reduction::Reduction;
use crate::prune::submodular::{Outcome, Submodular};

const CLOSE: f64 = 1e-9;

/// Forests of up to nine nodes: chains and stars, values of either sign and often equal; clusters of one
/// gain each, or of falling ones that may be equal; nodes that carry several members, or none.
fn forest(same: bool) -> impl Strategy<Value = Forest> {
    (1_usize..=9, 1_usize..=3).prop_flat_map(move |(r, clusters)| {
        let value = prop_oneof![Just(-1.0), Just(-0.5), Just(-0.25), Just(0.0), -1.0..0.5];
        let gain = prop_oneof![Just(0.25_f64), Just(0.5), Just(1.0), 0.01..1.5];
        let entry = (0..r as u32, 0..clusters as u32);
        let parent = (vec(any::<prop::sample::Index>(), r), prop_oneof![Just(1), Just(r)]);
        (parent, vec(value, r), vec(vec(gain, 1..4), clusters), vec(entry, 0..9), 0.1..1.0)
            .prop_map(move |((at, reach), value, gains, mut entries, one)| {
                let mut forest = Forest::default();
                forest.clear(same.then_some(one));
                forest.parent.push(0);
                for (v, at) in at.iter().enumerate().skip(1) {
                    forest.parent.push((v - 1 - at.index(v.min(reach))) as u32);
                }
                forest.value = value;
                for mut of in gains {
                    of.sort_by(|a, b| f64::total_cmp(b, a));
                    if same {
                        forest.gains.push_same(1);
                    } else {
                        forest.gains.push(of.into_iter());
                    }
                }
                entries.sort_unstable();
                for (v, k) in entries {
                    let own = forest.owner.iter().zip(&forest.cover);
                    let held = own.filter(|&(&owner, &cover)| (owner, cover) == (v, k)).count();
                    if held < forest.gains.of(k).len() {
                        forest.owner.push(v);
                        forest.cover.push(k);
                    }
                }
                forest
            })
    })
}

/// Either kind of gains.
fn any_forest() -> impl Strategy<Value = Forest> {
    prop_oneof![forest(true), forest(false)]
}

/// What a round leaves of a forest, and which of its nodes each one became part of.
fn round(forest: &Forest) -> (Forest, Vec<u32>) {
    let (mut presolve, mut place, mut left) = (Presolve::default(), Vec::new(), Forest::default());
    presolve.bottom_up(forest, &[], &mut Tally::default());
    presolve.top_down(forest, &mut place, &mut left);
    (left, place)
}

/// Forests as a round leaves them.
fn settled(forests: impl Strategy<Value = Forest>) -> impl Strategy<Value = Forest> {
    forests.prop_map(|forest| round(&forest).0)
}

/// The same with tokens, some nodes without any.
fn budgeted_forest() -> impl Strategy<Value = Forest> {
    let budgeted = (forest(true), vec(0_u64..4, 9)).prop_map(|(mut forest, tokens)| {
        forest.tokens = tokens[..forest.len()].to_vec();
        forest
    });
    settled(budgeted)
}

/// All selections that hold the root, and with a node its parent.
fn selections(forest: &Forest) -> impl Iterator<Item = Vec<bool>> + '_ {
    let r = forest.len();
    (0_u32..1 << (r - 1)).filter_map(move |bits| {
        let keep: Vec<bool> = (0..r).map(|v| v == 0 || bits >> (v - 1) & 1 == 1).collect();
        let closed = (1..r).all(|v| !keep[v] || keep[forest.parent[v] as usize]);
        closed.then_some(keep)
    })
}

/// Values and gains of what is kept, read off the definition.
fn worth(forest: &Forest, keep: &[bool]) -> f64 {
    let values = (0..forest.len()).filter(|&v| keep[v]).map(|v| forest.value[v]);
    let gains = (0..forest.clusters() as u32).map(|k| {
        let entries = forest.owner.iter().zip(&forest.cover);
        let held = entries.filter(|&(&v, &cover)| cover == k && keep[v as usize]).count();
        forest.gains.of(k).iter().take(held).sum::<f64>()
    });
    values.sum::<f64>() + gains.sum::<f64>()
}

/// The best of the selections for which `ok` holds.
fn best_where(forest: &Forest, ok: impl Fn(&[bool]) -> bool) -> f64 {
    let kept = selections(forest).filter(|keep| ok(keep));
    kept.map(|keep| worth(forest, &keep)).fold(f64::NEG_INFINITY, f64::max)
}

fn best(forest: &Forest) -> f64 {
    best_where(forest, |_| true)
}

fn obeys(keep: &[bool], fix: &[Fix]) -> bool {
    keep.iter().zip(fix).all(|(&kept, fix)| match fix {
        Fix::Free => true,
        Fix::In => kept,
        Fix::Out => !kept,
    })
}

fn tokens(forest: &Forest, keep: &[bool]) -> u64 {
    forest.tokens.iter().zip(keep).filter(|(_, kept)| **kept).map(|(tokens, _)| tokens).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_fold_takes_from_no_selection(forest in any_forest()) {
        let mut fold = Fold::default();
        let entry = |e: usize| (forest.owner[e], forest.cover[e]);
        fold.run(&forest.gains, forest.owner.len(), entry, &mut Tally::default());
        for keep in selections(&forest) {
            let mut held = vec![0; forest.clusters()];
            let mut folded: f64 =
                (0..forest.len()).filter(|&v| keep[v]).map(|v| forest.value[v]).sum();
            for (&v, &k) in forest.owner.iter().zip(&forest.cover) {
                if keep[v as usize] {
                    folded += fold.base(k) + fold.gain(&forest.gains, k, held[k as usize]);
                    held[k as usize] += 1;
                }
            }
            prop_assert!((folded - worth(&forest, &keep)).abs() < CLOSE);
        }
    }

    #[test]
    fn a_round_keeps_a_best_selection(forest in any_forest()) {
        let (left, place) = round(&forest);
        prop_assert!((best(&left) - best(&forest)).abs() < CLOSE);
        // What is left is worth as much as what it stands for.
        for keep in selections(&left) {
            let whole: Vec<bool> =
                place.iter().map(|&at| at != u32::MAX && keep[at as usize]).collect();
            prop_assert!((worth(&left, &keep) - worth(&forest, &whole)).abs() < CLOSE);
        }
    }

    #[test]
    fn dominance_keeps_a_best_selection(forest in settled(any_forest())) {
        let (mut dominance, mut left) = (Dominance::default(), forest.clone());
        dominance.find(&mut left, &mut Tally::default());
        let found = best_where(&left, |keep| obeys(keep, &dominance.fix));
        prop_assert!((found - best(&forest)).abs() < CLOSE);
    }

    #[test]
    fn dominance_keeps_a_best_selection_of_every_budget(forest in budgeted_forest()) {
        let (mut dominance, mut left) = (Dominance::default(), forest.clone());
        dominance.find(&mut left, &mut Tally::default());
        for budget in tokens(&forest, &[true])..=tokens(&forest, &vec![true; forest.len()]) {
            let fits = |keep: &[bool]| tokens(&forest, keep) <= budget;
            let found = best_where(&left, |keep| fits(keep) && obeys(keep, &dominance.fix));
            prop_assert!((found - best_where(&forest, fits)).abs() < CLOSE);
        }
    }

    #[test]
    fn all_rounds_keep_a_best_selection(forest in any_forest()) {
        let (mut reduction, mut presolve) = (Reduction::default(), Presolve::default());
        let (tally, clock) = (&mut Tally::default(), &mut Clock::default());
        reduction.run(&forest, &[], &mut presolve, tally, clock);
        let left = reduction.left();
        prop_assert!((best(left) - best(&forest)).abs() < CLOSE);
        let (mut whole, mut scratch) = (Vec::new(), Vec::new());
        for keep in selections(left) {
            reduction.expand(&keep, &mut whole, &mut scratch);
            prop_assert!((1..forest.len()).all(|v| !whole[v] || whole[forest.parent[v] as usize]));
            if worth(left, &keep) >= best(&forest) - CLOSE {
                prop_assert!(worth(&forest, &whole) >= best(&forest) - 2.0 * CLOSE);
            }
        }
    }

    /// With the ranks that dominance finds, and without.
    #[test]
    fn the_bound_by_clusters_holds(forest in settled(any_forest()), ranked in any::<bool>()) {
        let (mut left, mut fix) = (forest.clone(), Vec::new());
        if ranked {
            Dominance::default().find(&mut left, &mut Tally::default());
        }
        let (mut dual, mut clock) = (Dual::default(), Clock::default());
        dual.run(&mut left, f64::NEG_INFINITY, 60, 1e-12, &mut clock);
        let best = best(&left);
        prop_assert!(dual.bound >= best - CLOSE);
        prop_assert!(dual.found && (worth(&left, &dual.incumbent) - dual.floor).abs() < CLOSE);
        prop_assert!(dual.floor <= best + CLOSE);
        // Ranks speak of some best selection, and so does what follows from the bound with them.
        for floor in [best - 0.1, best - 1e-6] {
            dual.fix(&left, floor, 1e-12, &mut fix);
            prop_assert!(best_where(&left, |keep| obeys(keep, &fix)) >= best - CLOSE);
        }
    }

    #[test]
    fn the_bound_by_paths_holds(forest in settled(forest(true))) {
        let (mut dual, mut clock, mut fix) = (PathDual::default(), Clock::default(), Vec::new());
        let best = best(&forest);
        let mut attained = Vec::new();
        dual.run(&forest, 1e-12, 4, 60, &mut clock, |keep, _, _| {
            attained.push(worth(&forest, keep));
            f64::NEG_INFINITY
        });
        prop_assert!(dual.bound >= best - CLOSE);
        prop_assert!(attained.iter().all(|&found| found <= best + CLOSE));
        for floor in [best - 0.1, best - 1e-6] {
            dual.fix(&forest, floor, &mut fix);
            prop_assert!(best_where(&forest, |keep| obeys(keep, &fix)) >= best - CLOSE);
        }
    }

    #[test]
    fn a_search_over_inner_nodes_finds_the_best(forest in forest(false)) {
        let (mut keep, mut clock) = (Vec::new(), Clock::default());
        let outcome = Submodular::<u64>::default().run(&forest, &mut keep, &mut clock);
        prop_assert_eq!(outcome, Outcome::Found);
        prop_assert!((1..forest.len()).all(|v| !keep[v] || keep[forest.parent[v] as usize]));
        prop_assert!((worth(&forest, &keep) - best(&forest)).abs() < CLOSE);
        let mut same = Vec::new();
        let outcome = Submodular::<u128>::default().run(&forest, &mut same, &mut clock);
        prop_assert_eq!((outcome, same), (Outcome::Found, keep));
    }
}
