//! Random instances for the benches, made from a seed by a generator of a few lines.

#![allow(dead_code, reason = "each bench uses its part")]

/// Widths that every bench measures.
pub const WIDTHS: [usize; 4] = [16, 64, 256, 1024];

/// A splitmix64 generator: small, seeded, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in 0..below.
    pub fn below(&mut self, below: usize) -> usize {
        (self.unit() * below as f64) as usize
    }

    /// Roughly normal: the sum of twelve uniforms.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// One step of a search: a tree and its newest layer as candidates.
pub struct Instance {
    pub parents: Vec<i64>,
    pub leaves: Vec<i64>,
    pub rewards: Vec<f64>,
    pub weights: Vec<f64>,
    pub clusters: Vec<i64>,
}

/// Grows a tree of `depth` layers as REBASE would: each layer's `width` children fall to parents in
/// proportion to their counts; siblings tend to share a cluster.
pub fn instance(width: usize, depth: usize, seed: u64) -> Instance {
    let mut random = Random(seed);
    let mut parents = vec![-1_i64];
    let (mut layer, mut counts) = (vec![0_i64], vec![width as i64]);
    let mut rewards = vec![0.5];
    for _ in 0..depth {
        let (mut next, mut next_rewards) = (Vec::new(), Vec::new());
        for ((&parent, &count), &reward) in layer.iter().zip(&counts).zip(&rewards) {
            for _ in 0..count {
                next.push(parents.len() as i64);
                parents.push(parent);
                next_rewards.push((reward + 0.15 * random.normal()).clamp(0.0, 1.0));
            }
        }
        (layer, rewards) = (next, next_rewards);
        counts = ets_core::rebase_weights(&rewards, width as i64, 0.2).expect("finite rewards");
    }
    let kinds = (width / 3).max(2);
    let clusters = layer
        .iter()
        .map(|&leaf| {
            let own = random.below(kinds) as i64;
            if random.unit() < 0.5 { parents[leaf as usize] % kinds as i64 } else { own }
        })
        .collect();
    let weights = counts.iter().map(|&count| count as f64).collect();
    Instance { parents, leaves: layer, rewards, weights, clusters }
}

/// Embeds `width` steps in `dim` dimensions: about `width / 4` meanings, wordings close to them.
pub fn embeddings(width: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    let centres: Vec<f64> = (0..dim * (width / 4).max(1)).map(|_| random.normal()).collect();
    let mut rows = Vec::with_capacity(width * dim);
    for _ in 0..width {
        let centre = random.below((width / 4).max(1)) * dim;
        rows.extend((0..dim).map(|at| (centres[centre + at] + 0.15 * random.normal()) as f32));
    }
    rows
}
