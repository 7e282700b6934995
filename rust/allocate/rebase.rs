//! REBASE: in proportion to the exponential of the reward, rounding up.

use super::{best_first, check_rewards, check_temperature, check_width};
use crate::error::Error;

/// How far from an integer a quotient may be and still be that integer, not the next one.
const ROUNDING_NOISE: f64 = 1e-9;

/// Allocates a width in proportion to `exp(reward / temperature)`, rounding up, best leaf first.
///
/// This is the rule of REBASE. Leaves are sorted by reward, best first, equal rewards in the order
/// given. With `e_i = exp((r_i - r_max) / T)` and `S_i` the sum of `e` from `i` to the worst leaf,
/// the walk down gives leaf `i`
///
/// ```text
/// n_i = ceil(W_i * e_i / S_i),    W_{i+1} = W_i - n_i
/// ```
///
/// The counts sum to `width` exactly; the worst leaves may get none. Each `S_i` is a suffix sum
/// built from the small end, so it neither drifts nor turns negative, and a quotient within 1e-9 of
/// an integer (rounding noise) is that integer.
///
/// Costs O(n log n).
///
/// # Errors
///
/// `rewards` empty or not finite, `width` outside `1..=MAX_WIDTH`, `temperature` not finite and
/// positive.
pub fn rebase_weights(rewards: &[f64], width: u64, temperature: f64) -> Result<Vec<u64>, Error> {
    check_rewards(rewards)?;
    check_width(width)?;
    check_temperature("temperature", temperature)?;
    let order = best_first(rewards);
    let best = rewards[order[0]];
    // `exp` may underflow to 0 for hopeless leaves; by then the width is used up.
    let share: Vec<f64> =
        order.iter().map(|&leaf| ((rewards[leaf] - best) / temperature).exp()).collect();
    Ok(hand_out(&order, &share, width))
}

/// Walks down the leaves in `order` and gives each its share of what is left, rounded up.
///
/// `shares[at]` belongs to leaf `order[at]`; they are at least 0, the first is above 0, and larger
/// ones come first. The counts, one for each leaf, sum to `width` exactly.
pub(super) fn hand_out(order: &[usize], shares: &[f64], width: u64) -> Vec<u64> {
    let mut suffix = shares.to_vec();
    for i in (1..suffix.len()).rev() {
        suffix[i - 1] += suffix[i];
    }
    let mut counts = vec![0; order.len()];
    // Signed while it is computed with: floats become such, and such floats, in one instruction.
    let mut left = width as i64;
    for (i, &leaf) in order.iter().enumerate() {
        if left == 0 {
            break;
        }
        let count = ceil_but_noise(left as f64 * (shares[i] / suffix[i])).min(left);
        counts[leaf] = count as u64;
        left -= count;
    }
    debug_assert_eq!(left, 0, "the last leaf with a share takes what is left");
    counts
}

/// Rounds a positive quotient up, unless it is an integer up to rounding noise.
fn ceil_but_noise(quotient: f64) -> i64 {
    // At large widths a few units in the last place exceed 1e-9.
    let noise = ROUNDING_NOISE.max(quotient * 1e-14);
    // Not `ceil` and `round`: without SSE 4.1 these are calls.
    let whole = quotient as i64;
    let over = quotient - whole as f64 > noise;
    (whole + i64::from(over)).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::MAX_WIDTH;
    use super::*;

    /// REBASE as its definition reads: every sum taken afresh, in quadratic time.
    fn rebase_naive(rewards: &[f64], width: u64, temperature: f64) -> Vec<u64> {
        let order = best_first(rewards);
        let mut counts = vec![0; rewards.len()];
        let mut left = width;
        for (i, &leaf) in order.iter().enumerate() {
            // Relative to this leaf's own reward: another rounding, the same quotient.
            let sum: f64 = order[i..]
                .iter()
                .rev()
                .map(|&j| ((rewards[j] - rewards[leaf]) / temperature).exp())
                .sum();
            let exact = left as f64 / sum;
            let near = exact.round();
            let count = if (exact - near).abs() < 1e-8 { near } else { exact.ceil() } as u64;
            counts[leaf] = count.min(left);
            left -= counts[leaf];
        }
        counts
    }

    proptest! {
        #[test]
        fn rebase_is_its_definition(
            tenths in proptest::collection::vec(0_u8..=10, 1..40),
            width in 1_u64..300,
            temperature in prop_oneof![Just(0.2), Just(0.1), Just(1.0), 0.05..2.0],
        ) {
            let rewards: Vec<f64> = tenths.iter().map(|&t| f64::from(t) / 10.0).collect();
            let counts = rebase_weights(&rewards, width, temperature).unwrap();
            prop_assert_eq!(&counts, &rebase_naive(&rewards, width, temperature));
            prop_assert_eq!(counts.iter().sum::<u64>(), width);
        }

        #[test]
        fn rebase_sums_to_the_width_for_any_finite_reward(
            rewards in proptest::collection::vec(
                prop_oneof![-1.0..1.0, -1e300..1e300, Just(0.0), Just(-0.0)], 1..30),
            width in 1_u64..=MAX_WIDTH,
            temperature in prop_oneof![Just(0.2), Just(1e-300), Just(1e300)],
        ) {
            let counts = rebase_weights(&rewards, width, temperature).unwrap();
            prop_assert_eq!(counts.iter().sum::<u64>(), width);
        }
    }

    #[test]
    fn equal_rewards_split_evenly_first_seen_first() {
        assert_eq!(rebase_weights(&[0.5; 4], 6, 0.2).unwrap(), [2, 2, 1, 1]);
        assert_eq!(rebase_weights(&[0.3; 49], 49, 0.2).unwrap(), [1; 49]);
        assert_eq!(rebase_weights(&vec![0.3; 65_536], 65_536, 0.2).unwrap(), vec![1; 65_536]);
    }

    #[test]
    fn bad_input_is_named() {
        let message = rebase_weights(&[0.1, f64::NAN], 4, 0.2).unwrap_err().to_string();
        assert_eq!(message, "rewards[1] is NaN: it must be finite");
        let message = rebase_weights(&[0.1], 0, 0.2).unwrap_err().to_string();
        assert_eq!(message, "width is 0: it must be between 1 and 2**32");
        let message = rebase_weights(&[0.1], 1, 0.0).unwrap_err().to_string();
        assert_eq!(message, "temperature is 0.0: it must be finite and above 0");
        assert!(rebase_weights(&[], 1, 0.2).is_err());
    }
}
