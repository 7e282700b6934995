//! Trees as mass-preserving tree search grows them, each cluster worth what its candidates weigh.

use std::time::Duration;

use ets_core::{NodeId, Request, rebase_weights, select_leaves};

const LAMBDA_B: f64 = 2.0;
const TEMPERATURE: f64 = 0.2;

/// Time that one selection may take, in a search and in the benches.
pub const TIME_LIMIT: Duration = Duration::from_secs(1);

/// A tree whose newest layer waits for a selection.
pub struct Tree {
    parents: Vec<NodeId>,
    leaves: Vec<NodeId>,
    weights: Vec<f64>,
    clusters: Vec<usize>,
    masses: Vec<f64>,
    rho: f64,
}

/// Makes 24 trees of 2 to 8 steps, of 4 or of 12 texts for a step.
pub fn pool(width: usize, rho: f64) -> Vec<Tree> {
    let tree = |i: usize| grow(width, 2 + i % 7, [4, 12][i / 7 % 2], rho, i as u64);
    (0..24).map(tree).collect()
}

impl Tree {
    pub fn request(&self) -> Request<'_> {
        Request::new(&self.parents, &self.leaves, &self.weights)
            .clusters(&self.clusters)
            .cluster_worth(&self.masses)
            .lambda_r(0.001)
            .lambda_b(LAMBDA_B)
            .lambda_d(1.0)
            .rho(self.rho)
            .time_limit(TIME_LIMIT)
    }
}

/// Grows layers of `width` candidates and selects by mass after each but the last.
///
/// A step is one of `texts` texts, each half as frequent as the one before; equal texts below equal
/// states are the same state and one cluster, so that siblings often share theirs. A state's reward
/// is that of the state above it plus noise.
fn grow(width: usize, depth: usize, texts: usize, rho: f64, seed: u64) -> Tree {
    let mut random = Random(seed);
    let mut tree = Tree {
        parents: vec![NodeId::ROOT],
        leaves: vec![NodeId::ROOT],
        weights: vec![1.0],
        clusters: vec![0],
        masses: vec![1.0],
        rho,
    };
    // Of the candidates that go on: node, state and continuations; and the reward of each state.
    let mut kept = vec![(NodeId::ROOT, 0, width)];
    let mut rewards = vec![0.5];
    for step in 1..=depth {
        let mut spelled = Vec::with_capacity(width);
        tree.leaves.clear();
        for &(node, state, count) in &kept {
            for _ in 0..count {
                tree.leaves.push(NodeId(tree.parents.len() as u32));
                tree.parents.push(node);
                let text = random.next().trailing_zeros() as usize;
                spelled.push((state, text.min(texts - 1)));
            }
        }
        let mut states = spelled.clone();
        states.sort_unstable();
        states.dedup();
        let noise = |random: &mut Random| 0.15 * random.normal();
        let of_state: Vec<f64> = states
            .iter()
            .map(|&(above, _): &(usize, usize)| rewards[above] + noise(&mut random))
            .map(|reward: f64| reward.clamp(0.0, 1.0))
            .collect();
        let label = |at: &(usize, usize)| states.binary_search(at).expect("listed above");
        let labels: Vec<usize> = spelled.iter().map(label).collect();
        let of_leaf: Vec<f64> = labels.iter().map(|&k| of_state[k]).collect();
        let counts = rebase_weights(&of_leaf, width as u64, TEMPERATURE).expect("rewards are fine");
        tree.weights = counts.iter().map(|&count| count as f64).collect();
        tree.masses = vec![0.0; states.len()];
        labels.iter().zip(&tree.weights).for_each(|(&k, weight)| tree.masses[k] += weight);
        tree.clusters.clone_from(&labels);
        if step < depth {
            let keep = select_leaves(&tree.request()).expect("the request is valid").keep;
            let of_kept = (0..width).filter(|&i| keep[i]);
            kept = of_kept.map(|i| (tree.leaves[i], labels[i], 0)).collect();
            hand_out(width, &tree.masses, &mut kept);
        }
        rewards = of_state;
    }
    tree
}

/// Spreads the width over the clusters kept by mass, and evenly within each.
fn hand_out(width: usize, masses: &[f64], kept: &mut [(NodeId, usize, usize)]) {
    let mut members = vec![0.0; masses.len()];
    kept.iter().for_each(|&(_, k, _)| members[k] += 1.0);
    let total: f64 = (0..masses.len()).filter(|&k| members[k] > 0.0).map(|k| masses[k]).sum();
    // The rounded sum of all parts so far says how many are out by now.
    let (mut so_far, mut out) = (0.0, 0);
    let last = kept.len() - 1;
    for (at, (_, k, count)) in kept.iter_mut().enumerate() {
        so_far += masses[*k] / members[*k] / total * width as f64;
        let until = if at == last { width } else { (so_far.round() as usize).min(width) };
        *count = until - out;
        out = until;
    }
}

/// The generator `splitmix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Nearly normal, of deviation 1: the sum of twelve uniform numbers.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| (self.next() >> 11) as f64 / (1_u64 << 53) as f64).sum::<f64>() - 6.0
    }
}
