//! Beam search: the best few leaves, an equal share each.

use super::{MAX_WIDTH, best_first, check_rewards, check_width};
use crate::error::{Error, check_scalar};

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
pub fn beam_weights(rewards: &[f64], width: u64, keep: Option<u64>) -> Result<Vec<u64>, Error> {
    check_rewards(rewards)?;
    check_width(width)?;
    let keep = keep.unwrap_or_else(|| ceil_sqrt(width));
    check_scalar("keep", keep, "between 1 and 2**32", (1..=MAX_WIDTH).contains(&keep))?;
    let each = width.div_ceil(keep);
    let mut counts = vec![0; rewards.len()];
    let kept = usize::try_from(keep).unwrap_or(usize::MAX);
    for leaf in best_first(rewards).into_iter().take(kept) {
        counts[leaf] = each;
    }
    Ok(counts)
}

/// Computes `ceil(sqrt(width))` exactly.
fn ceil_sqrt(width: u64) -> u64 {
    let mut root = (width as f64).sqrt() as u64;
    while root * root < width {
        root += 1;
    }
    while root > 1 && (root - 1) * (root - 1) >= width {
        root -= 1;
    }
    root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ceil_sqrt_is_exact(width in 1_u64..=MAX_WIDTH) {
            let root = ceil_sqrt(width);
            prop_assert!(root * root >= width && (root - 1) * (root - 1) < width);
        }
    }

    #[test]
    fn beam_keeps_the_root_of_the_width() {
        let rewards: Vec<f64> = (0..20).map(f64::from).collect();
        let counts = beam_weights(&rewards, 16, None).unwrap();
        assert_eq!(counts[16..], [4; 4]);
        assert_eq!(counts.iter().sum::<u64>(), 16);
        assert_eq!(beam_weights(&[1.0], 1 << 31, None).unwrap(), [46341]);
        assert_eq!(beam_weights(&[0.5, 0.9, 0.5, 0.9], 5, Some(3)).unwrap(), [2, 2, 0, 2]);
    }

    #[test]
    fn bad_input_is_named() {
        assert!(beam_weights(&[], 4, None).is_err());
        assert!(beam_weights(&[0.1], 0, None).is_err());
        let message = beam_weights(&[0.1], 4, Some(0)).unwrap_err().to_string();
        assert_eq!(message, "keep is 0: it must be between 1 and 2**32");
    }
}
