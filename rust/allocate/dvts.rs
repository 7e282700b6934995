//! DVTS: independent subtrees, each of which continues from its best leaf.

use super::{MAX_WIDTH, check_rewards};
use crate::error::{Error, check_length};

/// Gives the best leaf of each subtree that subtree's share of the width, all others nothing.
///
/// `subtrees[i]` is the subtree of leaf `i` and indexes `shares`; the first of equal leaves wins.
/// A subtree without leaves leaves its share unused.
///
/// Costs O(n).
///
/// # Errors
///
/// `rewards` empty or not finite, `subtrees` of another length or outside `shares`, a share above
/// [`MAX_WIDTH`].
pub fn dvts_weights(
    rewards: &[f64],
    subtrees: &[usize],
    shares: &[u64],
) -> Result<Vec<u64>, Error> {
    check_rewards(rewards)?;
    check_length("subtrees", subtrees.len(), rewards.len(), "rewards")?;
    if let Some(index) = shares.iter().position(|&share| share > MAX_WIDTH) {
        let value = shares[index].into();
        let expected = "between 0 and 2**32";
        return Err(Error::Entry { argument: "shares", index, value, expected });
    }
    let mut best: Vec<Option<usize>> = vec![None; shares.len()];
    for (leaf, &subtree) in subtrees.iter().enumerate() {
        let slot = best.get_mut(subtree).ok_or(Error::OutOfRange {
            argument: "subtrees",
            index: leaf,
            value: subtree.into(),
            below: shares.len(),
            what: "the number of shares",
        })?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subtree_goes_to_its_best_leaf_first_seen_first() {
        assert_eq!(
            dvts_weights(&[0.1, 0.7, 0.7, 0.2], &[0, 1, 1, 0], &[3, 4, 5]).unwrap(),
            [0, 4, 0, 3]
        );
    }

    #[test]
    fn bad_input_is_named() {
        let message = dvts_weights(&[0.1], &[1], &[1]).unwrap_err().to_string();
        assert_eq!(
            message,
            "subtrees[0] is 1: it must be at least 0 and below 1 (the number of shares)"
        );
        assert!(dvts_weights(&[0.1], &[0], &[MAX_WIDTH + 1]).is_err());
        assert!(dvts_weights(&[0.1], &[], &[1]).is_err());
    }
}
