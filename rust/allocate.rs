//! Width allocation: how many continuations each leaf gets.

use std::cmp::Ordering;

use crate::error::{Error, check_entries, check_length, check_scalar};

/// Largest accepted width: counts stay exact in an `f64` and fit an `i64` with room to spare.
pub const MAX_WIDTH: i64 = 1 << 32;

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
pub fn rebase_weights(rewards: &[f64], width: i64, temperature: f64) -> Result<Vec<i64>, Error> {
    check_rewards(rewards)?;
    check_width(width)?;
    check_scalar(
        "temperature",
        temperature,
        "finite and above 0",
        temperature.is_finite() && temperature > 0.0,
    )?;
    let order = best_first(rewards);
    let best = rewards[order[0]];
    // `exp` may underflow to 0 for hopeless leaves; by then the width is used up.
    let share: Vec<f64> =
        order.iter().map(|&leaf| ((rewards[leaf] - best) / temperature).exp()).collect();
    let mut suffix = share.clone();
    for i in (1..suffix.len()).rev() {
        suffix[i - 1] += suffix[i];
    }
    let mut counts = vec![0; rewards.len()];
    let mut left = width;
    for (i, &leaf) in order.iter().enumerate() {
        if left == 0 {
            break;
        }
        let count = ceil_but_noise(left as f64 * (share[i] / suffix[i])).min(left);
        counts[leaf] = count;
        left -= count;
    }
    debug_assert_eq!(left, 0, "the last leaf with a share takes what is left");
    Ok(counts)
}

/// Gives each of the `keep` best leaves `ceil(width / keep)` continuations.
///
/// `keep` defaults to `ceil(sqrt(width))`; equal rewards go in the order given. The sum may exceed
/// the width, as beam search has it, and may fall short where there are fewer leaves than `keep`.
///
/// Costs O(n log n).
///
/// # Errors
///
/// `rewards` empty or not finite, `width` or `keep` outside `1..=MAX_WIDTH`.
pub fn beam_weights(rewards: &[f64], width: i64, keep: Option<i64>) -> Result<Vec<i64>, Error> {
    check_rewards(rewards)?;
    check_width(width)?;
    let keep = keep.unwrap_or_else(|| ceil_sqrt(width));
    check_scalar("keep", keep, "between 1 and 2**32", (1..=MAX_WIDTH).contains(&keep))?;
    let each = (width + keep - 1) / keep;
    let mut counts = vec![0; rewards.len()];
    let kept = usize::try_from(keep).unwrap_or(usize::MAX);
    for leaf in best_first(rewards).into_iter().take(kept) {
        counts[leaf] = each;
    }
    Ok(counts)
}

/// Gives the best leaf of each subtree that subtree's share of the width, all others nothing.
///
/// `subtrees[i]` is the subtree of leaf `i` and indexes `shares`; the first of equal leaves wins.
/// A subtree without leaves leaves its share unused.
///
/// Costs O(n).
///
/// # Errors
///
/// `rewards` empty or not finite, `subtrees` of another length or outside `shares`, a negative
/// share.
pub fn dvts_weights(rewards: &[f64], subtrees: &[i64], shares: &[i64]) -> Result<Vec<i64>, Error> {
    check_rewards(rewards)?;
    check_length("subtrees", subtrees.len(), rewards.len(), "rewards")?;
    if let Some(index) = shares.iter().position(|share| !(0..=MAX_WIDTH).contains(share)) {
        let value = shares[index].into();
        let expected = "between 0 and 2**32";
        return Err(Error::Entry { argument: "shares", index, value, expected });
    }
    let mut best: Vec<Option<usize>> = vec![None; shares.len()];
    for (leaf, &subtree) in subtrees.iter().enumerate() {
        let slot = usize::try_from(subtree).ok().and_then(|s| best.get_mut(s)).ok_or(
            Error::OutOfRange {
                argument: "subtrees",
                index: leaf,
                value: subtree,
                below: shares.len(),
                what: "the number of shares",
            },
        )?;
        if slot.is_none_or(|other| rewards[leaf] > rewards[other]) {
            *slot = Some(leaf);
        }
    }
    let mut counts = vec![0; rewards.len()];
    for (leaf, &share) in best.into_iter().zip(shares) {
        if let Some(leaf) = leaf {
            counts[leaf] = share;
        }
    }
    Ok(counts)
}

/// Orders leaves by reward, best first, equal ones in the order given.
fn best_first(rewards: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rewards.len()).collect();
    // Rewards are finite here; `partial_cmp` (not `total_cmp`) so that -0.0 and 0.0 are a tie.
    order.sort_by(|&a, &b| rewards[b].partial_cmp(&rewards[a]).unwrap_or(Ordering::Equal));
    order
}

/// Rounds a positive quotient up, unless it is an integer up to rounding noise.
fn ceil_but_noise(quotient: f64) -> i64 {
    // At large widths a few units in the last place exceed 1e-9.
    let noise = ROUNDING_NOISE.max(quotient * 1e-14);
    let nearest = quotient.round();
    let whole = if (quotient - nearest).abs() <= noise { nearest } else { quotient.ceil() };
    (whole as i64).max(1)
}

/// Computes `ceil(sqrt(width))` exactly.
fn ceil_sqrt(width: i64) -> i64 {
    let mut root = (width as f64).sqrt() as i64;
    while root * root < width {
        root += 1;
    }
    while root > 1 && (root - 1) * (root - 1) >= width {
        root -= 1;
    }
    root
}

fn check_rewards(rewards: &[f64]) -> Result<(), Error> {
    if rewards.is_empty() {
        return Err(Error::Empty { argument: "rewards" });
    }
    check_entries("rewards", rewards, "finite", f64::is_finite)
}

fn check_width(width: i64) -> Result<(), Error> {
    check_scalar("width", width, "between 1 and 2**32", (1..=MAX_WIDTH).contains(&width))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// REBASE as its definition reads: every sum taken afresh, in quadratic time.
    fn rebase_naive(rewards: &[f64], width: i64, temperature: f64) -> Vec<i64> {
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
            let count = if (exact - near).abs() < 1e-8 { near } else { exact.ceil() } as i64;
            counts[leaf] = count.min(left);
            left -= counts[leaf];
        }
        counts
    }

    proptest! {
        #[test]
        fn rebase_is_its_definition(
            tenths in proptest::collection::vec(0_u8..=10, 1..40),
            width in 1_i64..300,
            temperature in prop_oneof![Just(0.2), Just(0.1), Just(1.0), 0.05..2.0],
        ) {
            let rewards: Vec<f64> = tenths.iter().map(|&t| f64::from(t) / 10.0).collect();
            let counts = rebase_weights(&rewards, width, temperature).unwrap();
            prop_assert_eq!(&counts, &rebase_naive(&rewards, width, temperature));
            prop_assert_eq!(counts.iter().sum::<i64>(), width);
        }

        #[test]
        fn rebase_sums_to_the_width_for_any_finite_reward(
            rewards in proptest::collection::vec(
                prop_oneof![-1.0..1.0, -1e300..1e300, Just(0.0), Just(-0.0)], 1..30),
            width in 1_i64..=MAX_WIDTH,
            temperature in prop_oneof![Just(0.2), Just(1e-300), Just(1e300)],
        ) {
            let counts = rebase_weights(&rewards, width, temperature).unwrap();
            prop_assert_eq!(counts.iter().sum::<i64>(), width);
            prop_assert!(counts.iter().all(|&count| count >= 0));
        }

        #[test]
        fn ceil_sqrt_is_exact(width in 1_i64..=MAX_WIDTH) {
            let root = ceil_sqrt(width);
            prop_assert!(root * root >= width && (root - 1) * (root - 1) < width);
        }
    }

    #[test]
    fn equal_rewards_split_evenly_first_seen_first() {
        assert_eq!(rebase_weights(&[0.5; 4], 6, 0.2).unwrap(), [2, 2, 1, 1]);
        assert_eq!(rebase_weights(&[0.3; 49], 49, 0.2).unwrap(), [1; 49]);
        assert_eq!(beam_weights(&[0.5, 0.9, 0.5, 0.9], 5, Some(3)).unwrap(), [2, 2, 0, 2]);
        assert_eq!(
            dvts_weights(&[0.1, 0.7, 0.7, 0.2], &[0, 1, 1, 0], &[3, 4]).unwrap(),
            [0, 4, 0, 3]
        );
    }

    #[test]
    fn beam_keeps_the_root_of_the_width() {
        let rewards: Vec<f64> = (0..20).map(f64::from).collect();
        let counts = beam_weights(&rewards, 16, None).unwrap();
        assert_eq!(counts[16..], [4; 4]);
        assert_eq!(counts.iter().sum::<i64>(), 16);
        assert_eq!(beam_weights(&[1.0], 1 << 31, None).unwrap(), [46341]);
    }

    #[test]
    fn bad_input_is_named() {
        let message = rebase_weights(&[0.1, f64::NAN], 4, 0.2).unwrap_err().to_string();
        assert_eq!(message, "rewards[1] is NaN: it must be finite");
        let message = rebase_weights(&[0.1], 0, 0.2).unwrap_err().to_string();
        assert_eq!(message, "width is 0: it must be between 1 and 2**32");
        assert!(rebase_weights(&[], 1, 0.2).is_err());
        assert!(dvts_weights(&[0.1], &[1], &[1]).is_err());
        assert!(dvts_weights(&[0.1], &[-1], &[1]).is_err());
        assert!(dvts_weights(&[0.1], &[0], &[-1]).is_err());
    }
}
