//! Particle filtering: leaves resampled in proportion to the odds of their rewards.

use super::{check_rewards, check_temperature, check_width};
use crate::error::{Error, check_entries};
use crate::random::Random;

/// How close to 0 and to 1 a reward may come: beyond, its odds would be none or without bound.
///
/// The value that public implementations of the paper clip at.
const CLIP: f64 = 1e-7;

/// Ticks that all shares together come to, about.
const TICKS: f64 = (1_u64 << 62) as f64;

/// Chooses how [`particle_weights`] draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Resampling {
    /// One independent draw for each continuation, as in the paper.
    #[default]
    Multinomial,
    /// One draw for all: equally spaced points with a random start. Each count is its expectation
    /// rounded down or up, so the variance is lower.
    Systematic,
}

/// Resamples leaves in proportion to `softmax(logit(reward) / temperature)`.
///
/// This is the rule of particle filtering (arXiv 2502.01618, temperature 1 there). Leaf `i` is drawn
/// with probability
///
/// ```text
/// p_i = o_i^(1 / T) / sum_j o_j^(1 / T),    o_i = r_i / (1 - r_i)
/// ```
///
/// with rewards clipped to `[1e-7, 1 - 1e-7]`, as public implementations do: a reward of exactly 0
/// is drawn almost never, one of exactly 1 shares the draws with its equals. The counts sum to
/// `width` exactly.
///
/// Shares are rounded down to ticks of 2^-62, and all draws are integer arithmetic on `splitmix64`
/// from `seed`: no running sum drifts, and no draw falls past the last leaf. Equal arguments give
/// equal counts; at temperature 1 on every platform, at others up to the last bit of the platform's
/// `pow`.
///
/// Costs O(n + width) for multinomial draws and O(n) for systematic ones.
///
/// # Errors
///
/// `rewards` empty or outside `[0, 1]`, `width` outside `1..=MAX_WIDTH`, `temperature` not finite
/// and positive.
pub fn particle_weights(
    rewards: &[f64],
    width: u64,
    temperature: f64,
    seed: u64,
    method: Resampling,
) -> Result<Vec<u64>, Error> {
    check_rewards(rewards)?;
    check_entries("rewards", rewards, "between 0 and 1", |reward| (0.0..=1.0).contains(&reward))?;
    check_width(width)?;
    check_temperature("temperature", temperature)?;
    let reach = Reach::of(&shares(rewards, temperature));
    let mut random = Random::new(seed);
    Ok(match method {
        Resampling::Multinomial => multinomial(&reach, width, &mut random),
        Resampling::Systematic => systematic(&reach, width, &mut random),
    })
}

/// Computes each leaf's share of the best leaf's weight, in `(0, 1]` up to underflow.
#[expect(clippy::float_cmp, reason = "a power of exactly 1 is left out, as `pow` may round it")]
fn shares(rewards: &[f64], temperature: f64) -> Vec<f64> {
    let odds = |reward: f64| {
        let reward = reward.clamp(CLIP, 1.0 - CLIP);
        reward / (1.0 - reward)
    };
    let most = odds(rewards.iter().copied().fold(0.0, f64::max));
    let share = |&reward: &f64| {
        let ratio = odds(reward) / most;
        if temperature == 1.0 { ratio } else { ratio.powf(1.0 / temperature) }
    };
    rewards.iter().map(share).collect()
}

/// Holds the shares as running sums in ticks: leaf `i` owns the ticks `to[i - 1]..to[i]`.
struct Reach {
    /// End of each leaf's ticks, `[n]`; the last is `all`.
    to: Vec<u64>,
    /// Ticks of all leaves together; above 0 and below 2^63.
    all: u64,
}

impl Reach {
    fn of(shares: &[f64]) -> Self {
        // At most 2^62 (1 + n 2^-53) with the rounding of this sum: far from overflow. The best
        // leaf's share is 1, so it owns at least 2^62 / n ticks.
        let scale = TICKS / shares.iter().sum::<f64>();
        let mut all = 0_u64;
        let to = shares
            .iter()
            .map(|share| {
                all += (share * scale) as u64;
                all
            })
            .collect();
        Self { to, all }
    }
}

/// Draws `width` leaves one by one.
fn multinomial(reach: &Reach, width: u64, random: &mut Random) -> Vec<u64> {
    // A guide to the first leaf that reaches into each of about n equal stretches of ticks: the
    // walk from there takes less than two steps on average, whatever the shares.
    let stretch = (reach.all / reach.to.len() as u64).ilog2();
    let mut leaf = 0;
    let guide: Vec<usize> = (0..=(reach.all - 1) >> stretch)
        .map(|at| {
            while reach.to[leaf] <= at << stretch {
                leaf += 1;
            }
            leaf
        })
        .collect();
    let mut counts = vec![0; reach.to.len()];
    for _ in 0..width {
        let tick = random.below(reach.all);
        let mut leaf = guide[(tick >> stretch) as usize];
        while reach.to[leaf] <= tick {
            leaf += 1;
        }
        counts[leaf] += 1;
    }
    counts
}

/// Lays `width` equally spaced points over the shares, the first one at random.
fn systematic(reach: &Reach, width: u64, random: &mut Random) -> Vec<u64> {
    // In units of 1 / width of a tick the points are whole numbers: `first + k all`.
    let (all, first) = (u128::from(reach.all), u128::from(random.below(reach.all)));
    let mut before = 0;
    let count = |&to: &u64| {
        let points = (u128::from(to) * u128::from(width) + (all - 1 - first)) / all;
        let own = points - before;
        before = points;
        own as u64
    };
    reach.to.iter().map(count).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Resampling::{Multinomial, Systematic};
    use super::*;

    /// Probabilities as the definition reads: logit, softmax.
    fn softmax_of_logits(rewards: &[f64], temperature: f64) -> Vec<f64> {
        let logit = |r: f64| {
            let r = r.clamp(1e-7, 1.0 - 1e-7);
            (r / (1.0 - r)).ln() / temperature
        };
        let most = rewards.iter().map(|&r| logit(r)).fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = rewards.iter().map(|&r| (logit(r) - most).exp()).collect();
        let sum: f64 = shares.iter().sum();
        shares.into_iter().map(|share| share / sum).collect()
    }

    fn any_rewards() -> impl Strategy<Value = Vec<f64>> {
        let reward = prop_oneof![Just(0.0), Just(1.0), Just(0.5), 0.0..1.0, 0.999..1.0];
        proptest::collection::vec(reward, 1..60)
    }

    fn any_temperature() -> impl Strategy<Value = f64> {
        prop_oneof![Just(1.0), Just(0.5), Just(5e-324), Just(f64::MAX), 0.1..4.0]
    }

    proptest! {
        #[test]
        fn multinomial_draws_are_a_search_of_the_running_sums(
            rewards in any_rewards(), temperature in any_temperature(),
            width in 1_u64..200, seed: u64,
        ) {
            let reach = Reach::of(&shares(&rewards, temperature));
            let mut random = Random::new(seed);
            let mut naive = vec![0; rewards.len()];
            for _ in 0..width {
                let tick = random.below(reach.all);
                naive[reach.to.iter().position(|&to| tick < to).unwrap()] += 1;
            }
            let counts = particle_weights(&rewards, width, temperature, seed, Multinomial).unwrap();
            prop_assert_eq!(counts.iter().sum::<u64>(), width);
            prop_assert_eq!(counts, naive);
        }

        #[test]
        fn systematic_counts_are_expectations_rounded_down_or_up(
            rewards in any_rewards(), temperature in prop_oneof![Just(1.0), 0.1..4.0],
            width in prop_oneof![1_u64..200, Just(1_u64 << 32)], seed: u64,
        ) {
            let counts = particle_weights(&rewards, width, temperature, seed, Systematic).unwrap();
            prop_assert_eq!(counts.iter().sum::<u64>(), width);
            let reach = Reach::of(&shares(&rewards, temperature));
            let mut from = 0;
            for ((&count, &to), p) in
                counts.iter().zip(&reach.to).zip(softmax_of_logits(&rewards, temperature))
            {
                // Exactly so in the ticks of the leaf ...
                let (all, scaled) = (u128::from(reach.all), u128::from(to - from) * u128::from(width));
                prop_assert!(u128::from(count) == scaled / all || u128::from(count) == scaled.div_ceil(all));
                // ... which are its probability.
                let ticks = (to - from) as f64 / reach.all as f64;
                prop_assert!((ticks - p).abs() < 1e-12);
                from = to;
            }
        }

        #[test]
        fn every_width_is_handed_out_in_full(
            rewards in any_rewards(), temperature in any_temperature(),
            width in 1_u64..=1 << 32, seed: u64,
        ) {
            let counts = particle_weights(&rewards, width, temperature, seed, Systematic).unwrap();
            prop_assert_eq!(counts.iter().sum::<u64>(), width);
        }
    }

    #[test]
    fn draws_fall_as_the_probabilities_say() {
        let rewards = [0.0, 0.1, 0.3, 0.5, 0.5, 0.8, 0.9, 0.95];
        for (seed, temperature) in [(1, 1.0), (2, 1.0), (3, 2.0), (4, 0.7)] {
            let p = softmax_of_logits(&rewards, temperature);
            let counts =
                particle_weights(&rewards, 65_536, temperature, seed, Multinomial).unwrap();
            let chi_square: f64 = counts
                .iter()
                .zip(&p)
                .map(|(&count, p)| (count as f64 - p * 65_536.0).powi(2) / (p * 65_536.0))
                .sum();
            // 7 degrees of freedom: above 36 once in 140,000 seeds.
            assert!(chi_square < 36.0, "{chi_square}");
        }
        // Systematic counts over many seeds: their mean is the expectation.
        let p = softmax_of_logits(&rewards, 1.0);
        let mut sums = [0; 8];
        for seed in 0..4096 {
            let counts = particle_weights(&rewards, 5, 1.0, seed, Systematic).unwrap();
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        for (sum, p) in sums.into_iter().zip(p) {
            // Five standard deviations of a sum of 4096 coins, at most.
            assert!((sum as f64 - 4096.0 * 5.0 * p).abs() < 5.0 * 32.0);
        }
    }

    #[test]
    fn certain_rewards_count_as_clipped_ones() {
        for method in [Multinomial, Systematic] {
            let all_wrong = particle_weights(&[0.0; 4], 4096, 1.0, 7, method).unwrap();
            assert!(all_wrong.iter().all(|count| (900..1150).contains(count)));
            let one_right = particle_weights(&[0.0, 1.0, 0.5], 65_536, 1.0, 7, method).unwrap();
            assert_eq!(one_right, [0, 65_536, 0]);
            let even = particle_weights(&vec![1.0; 65_536], 65_536, 1.0, 7, method).unwrap();
            assert_eq!(even.iter().sum::<u64>(), 65_536);
        }
        assert_eq!(particle_weights(&[0.3; 7], 21, 1.0, 9, Systematic).unwrap(), [3; 7]);
    }

    #[test]
    fn a_seed_means_the_same_everywhere() {
        let rewards = [0.2, 0.4, 0.6, 0.8];
        let counts = |seed, method| particle_weights(&rewards, 16, 1.0, seed, method).unwrap();
        assert_eq!(counts(0, Multinomial), [1, 1, 3, 11]);
        assert_eq!(counts(1, Multinomial), [0, 0, 2, 14]);
        assert_eq!(counts(u64::MAX, Systematic), [0, 2, 4, 10]);
    }

    #[test]
    fn bad_input_is_named() {
        let particle = |rewards: &[f64], width, temperature| {
            particle_weights(rewards, width, temperature, 0, Multinomial)
                .map_err(|error| error.to_string())
        };
        let message = particle(&[0.1, 1.5], 4, 1.0).unwrap_err();
        assert_eq!(message, "rewards[1] is 1.5: it must be between 0 and 1");
        assert!(particle(&[-0.1], 4, 1.0).is_err());
        assert!(particle(&[f64::NAN], 4, 1.0).is_err());
        assert!(particle(&[], 4, 1.0).is_err());
        assert!(particle(&[0.1], 0, 1.0).is_err());
        assert!(particle(&[0.1], 4, f64::INFINITY).is_err());
    }
}
