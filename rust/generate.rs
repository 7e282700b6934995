//! Random selection problems as a search meets them, for benches and tests.

mod embeddings;

pub use embeddings::{embedding_arc, embeddings};

use crate::allocate::rebase_weights;
use crate::error::{Error, check_scalar};
use crate::prune::{Request, select_leaves};
use crate::random::Random;
use crate::tree::NodeId;

/// Largest width and depth of a generated tree; together they bound its size.
const MAX_WIDTH: usize = 1 << 16;
const MAX_DEPTH: usize = 256;

const TEMPERATURE: f64 = 0.2;
const ROOT_TOKENS: u64 = 150;

/// Says how the steps of a layer share meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClusterKind {
    /// About `width / 3` labels, each leaf's drawn without regard to where it hangs.
    Independent,
    /// A child has its parent's label in seven cases of ten, else one of `width / 3` at random:
    /// siblings and cousins tend to share.
    #[default]
    Inherited,
    /// Three labels, drawn at random.
    Few,
    /// As many labels as leaves.
    Distinct,
    /// One label.
    One,
}

/// Generates the state of a simulated search: equal settings give the same instance.
///
/// At each step every kept leaf gets its REBASE count of children (temperature 0.2); a child's
/// reward is its parent's plus normal noise of standard deviation 0.15, clamped to [0, 1]. The
/// width stays full: no trajectory ends. Without pruning, the tree, its rewards and its tokens do
/// not depend on `clusters`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Generator {
    /// Leaves of every layer, 1 to 65,536.
    pub width: usize,
    /// Layers below the root, 1 to 256.
    pub depth: usize,
    /// How the steps of a layer share meanings.
    pub clusters: ClusterKind,
    /// `lambda_b` and `lambda_d` of the selection made at every step before the last; `None` keeps
    /// all leaves, as REBASE does.
    pub pruned: Option<(f64, f64)>,
    /// Seed; each gives another instance.
    pub seed: u64,
}

/// Holds a search tree of `m` nodes whose newest layer of `n` leaves waits for a selection.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Instance {
    /// Parent of each node, `[m]`; the root is its own; the whole tree grown so far.
    pub parents: Vec<NodeId>,
    /// Node of each candidate, `[n]`: the newest layer, in order.
    pub leaves: Vec<NodeId>,
    /// Reward of each candidate, `[n]`, in [0, 1].
    pub rewards: Vec<f64>,
    /// REBASE count of each candidate, `[n]`; they sum to the width.
    pub weights: Vec<f64>,
    /// Cluster label of each candidate, `[n]`.
    pub clusters: Vec<usize>,
    /// Tokens of each node, `[m]`; 150 for the root, 5 to 60 for a step.
    pub tokens: Vec<u64>,
}

impl Instance {
    /// Makes a request of it, without node costs, tokens or budget.
    #[must_use]
    pub fn request(&self, lambda_b: f64, lambda_d: f64) -> Request<'_> {
        Request::new(&self.parents, &self.leaves, &self.weights)
            .clusters(&self.clusters)
            .lambda_b(lambda_b)
            .lambda_d(lambda_d)
    }
}

impl Generator {
    /// Makes a generator of searches that are not pruned, with inherited clusters and seed 0.
    #[must_use]
    pub fn new(width: usize, depth: usize) -> Self {
        Self { width, depth, clusters: ClusterKind::default(), pruned: None, seed: 0 }
    }

    /// Sets how the steps of a layer share meanings.
    #[must_use]
    pub fn clusters(self, clusters: ClusterKind) -> Self {
        Self { clusters, ..self }
    }

    /// Has every step before the last pruned, at `lambda_b` and `lambda_d`.
    #[must_use]
    pub fn pruned(self, lambda_b: f64, lambda_d: f64) -> Self {
        Self { pruned: Some((lambda_b, lambda_d)), ..self }
    }

    /// Sets the seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Runs the search up to layer `depth`, before the selection there.
    ///
    /// Costs O(width * depth), with pruning a selection for each layer as well.
    ///
    /// # Errors
    ///
    /// `width` or `depth` out of range; with pruning, whatever [`select_leaves`] refuses.
    pub fn generate(&self) -> Result<Instance, Error> {
        let Self { width, depth, clusters, pruned, seed } = *self;
        let right = (1..=MAX_WIDTH).contains(&width);
        check_scalar("width", width, "between 1 and 65536", right)?;
        let right = (1..=MAX_DEPTH).contains(&depth);
        check_scalar("depth", depth, "between 1 and 256", right)?;

        let mut rewarding = Random::stream(seed, 0);
        let mut meaning = Random::stream(seed, 1);
        let mut counting = Random::stream(seed, 2);
        let mut parents = vec![NodeId::ROOT];
        let mut tokens = vec![ROOT_TOKENS];
        // The leaves that go on, and how many children each gets.
        let mut kept = Layer { nodes: vec![NodeId::ROOT], rewards: vec![0.5], labels: vec![0] };
        let mut counts = vec![width as u64];
        for step in 1..=depth {
            let mut layer = Layer::default();
            for (i, &count) in counts.iter().enumerate() {
                for _ in 0..count {
                    layer.nodes.push(NodeId(parents.len() as u32));
                    parents.push(kept.nodes[i]);
                    tokens.push(5 + counting.below(56));
                    let reward = kept.rewards[i] + 0.15 * rewarding.normal();
                    layer.rewards.push(reward.clamp(0.0, 1.0));
                    let at = layer.labels.len();
                    let label = draw_label(clusters, width, kept.labels[i], at, &mut meaning);
                    layer.labels.push(label);
                }
            }
            counts = rebase_weights(&layer.rewards, width as u64, TEMPERATURE)?;
            if let Some((lambda_b, lambda_d)) = pruned.filter(|_| step < depth) {
                let weights = as_weights(&counts);
                let request = Request::new(&parents, &layer.nodes, &weights)
                    .clusters(&layer.labels)
                    .lambda_b(lambda_b)
                    .lambda_d(lambda_d);
                layer.retain(&select_leaves(&request)?.keep);
                counts = rebase_weights(&layer.rewards, width as u64, TEMPERATURE)?;
            }
            kept = layer;
        }
        let weights = as_weights(&counts);
        let Layer { nodes, rewards, labels } = kept;
        Ok(Instance { parents, leaves: nodes, rewards, weights, clusters: labels, tokens })
    }
}

/// The leaves of one step, with what the next one needs of them.
#[derive(Default)]
struct Layer {
    nodes: Vec<NodeId>,
    rewards: Vec<f64>,
    labels: Vec<usize>,
}

impl Layer {
    fn retain(&mut self, keep: &[bool]) {
        fn filter<T>(values: &mut Vec<T>, keep: &[bool]) {
            let mut flags = keep.iter();
            values.retain(|_| flags.next().is_some_and(|&kept| kept));
        }
        filter(&mut self.nodes, keep);
        filter(&mut self.rewards, keep);
        filter(&mut self.labels, keep);
    }
}

fn draw_label(
    kind: ClusterKind,
    width: usize,
    inherited: usize,
    at: usize,
    random: &mut Random,
) -> usize {
    let kinds = (width / 3).max(2);
    match kind {
        ClusterKind::Inherited if random.unit() < 0.7 => inherited,
        ClusterKind::Inherited | ClusterKind::Independent => random.below(kinds as u64) as usize,
        ClusterKind::Few => random.below(3) as usize,
        ClusterKind::Distinct => at,
        ClusterKind::One => 0,
    }
}

fn as_weights(counts: &[u64]) -> Vec<f64> {
    counts.iter().map(|&count| count as f64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds() -> impl Strategy<Value = ClusterKind> {
        use ClusterKind::{Distinct, Few, Independent, Inherited, One};
        prop::sample::select(vec![Independent, Inherited, Few, Distinct, One])
    }

    /// A checksum of every integer in an instance, and of its rewards' bits.
    fn checksum(instance: &Instance) -> u64 {
        let Instance { parents, leaves, rewards, weights, clusters, tokens } = instance;
        // The root's parent counts as -1: the sum is older than the ids.
        let ids = parents[1..].iter().chain(leaves).map(|id| u64::from(id.0));
        let labels = clusters.iter().map(|&label| label as u64);
        let integers =
            std::iter::once(u64::MAX).chain(ids).chain(labels).chain(tokens.iter().copied());
        let floats = rewards.iter().chain(weights).map(|v| v.to_bits());
        integers
            .chain(floats)
            .fold(0, |sum: u64, v| (sum ^ v).wrapping_mul(0x0100_0000_01b3).rotate_left(23))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn instances_are_valid_and_repeat(
            width in 1_usize..40,
            depth in 1_usize..8,
            clusters in kinds(),
            pruned in prop::option::of((0.0..3.0, 0.0..3.0)),
            seed in any::<u64>(),
        ) {
            let generator = Generator { width, depth, clusters, pruned, seed };
            let instance = generator.generate().unwrap();
            prop_assert_eq!(&instance, &generator.generate().unwrap());
            prop_assert_eq!(instance.parents.len(), 1 + width * depth);
            prop_assert_eq!(instance.tokens.len(), 1 + width * depth);
            prop_assert_eq!(instance.leaves.len(), width);
            prop_assert!(instance.rewards.iter().all(|r| (0.0..=1.0).contains(r)));
            prop_assert_eq!(instance.weights.iter().sum::<f64>() as usize, width);
            prop_assert!(instance.tokens[1..].iter().all(|t| (5..=60).contains(t)));
            let selection = select_leaves(&instance.request(1.0, 1.4)).unwrap();
            prop_assert_eq!(selection.keep.len(), width);
            // No node of the tree is younger than the layer that waits.
            prop_assert_eq!(instance.leaves[width - 1].index(), width * depth);
        }
    }

    #[test]
    fn cluster_kinds_have_their_counts() {
        let count = |clusters| {
            let generator = Generator { width: 60, depth: 4, clusters, pruned: None, seed: 5 };
            let mut labels = generator.generate().unwrap().clusters;
            labels.sort_unstable();
            labels.dedup();
            labels.len()
        };
        assert_eq!(count(ClusterKind::One), 1);
        assert_eq!(count(ClusterKind::Few), 3);
        assert_eq!(count(ClusterKind::Distinct), 60);
        assert!((15..=20).contains(&count(ClusterKind::Independent)));
        assert!((5..=20).contains(&count(ClusterKind::Inherited)));
    }

    #[test]
    fn an_instance_is_the_same_everywhere() {
        let clusters = ClusterKind::Inherited;
        let generator = Generator { width: 64, depth: 6, clusters, pruned: None, seed: 1 };
        assert_eq!(checksum(&generator.generate().unwrap()), 600_133_973_134_339_766);
    }

    #[test]
    fn bad_settings_are_refused() {
        let good = Generator {
            width: 8,
            depth: 2,
            clusters: ClusterKind::Few,
            pruned: Some((1.0, 1.0)),
            seed: 0,
        };
        let message = |generator: Generator| generator.generate().unwrap_err().to_string();
        assert_eq!(
            message(Generator { width: 0, ..good }),
            "width is 0: it must be between 1 and 65536"
        );
        assert_eq!(
            message(Generator { depth: 257, ..good }),
            "depth is 257: it must be between 1 and 256"
        );
        assert!(
            message(Generator { pruned: Some((-1.0, 0.0)), ..good })
                .starts_with("lambda_b is -1.0")
        );
    }
}
