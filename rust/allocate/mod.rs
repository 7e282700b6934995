//! Width allocation: how many continuations each leaf gets.

mod beam;
mod dora;
mod dvts;
mod particle;
mod rebase;

pub use beam::beam_weights;
pub use dora::dora_weights;
pub use dvts::dvts_weights;
pub use particle::{Resampling, particle_weights};
pub use rebase::rebase_weights;

use crate::error::{Error, check_entries, check_scalar};

/// Largest accepted width: counts stay exact in an `f64`, and sums of them far from overflow.
pub const MAX_WIDTH: u64 = 1 << 32;

/// Orders leaves by reward, best first, equal ones in the order given.
fn best_first(rewards: &[f64]) -> Vec<usize> {
    // Bits that ascend as finite rewards descend, above the leaf's index: one sort of integers.
    let key = |(leaf, &reward): (usize, &f64)| {
        // Adding 0.0 makes a tie of -0.0 and 0.0.
        let bits = (reward + 0.0).to_bits();
        let descending = if bits >> 63 == 0 { bits ^ (u64::MAX >> 1) } else { bits };
        u128::from(descending) << 64 | leaf as u128
    };
    let mut keys: Vec<u128> = rewards.iter().enumerate().map(key).collect();
    keys.sort_unstable();
    keys.into_iter().map(|key| key as usize).collect()
}

fn check_rewards(rewards: &[f64]) -> Result<(), Error> {
    if rewards.is_empty() {
        return Err(Error::Empty { argument: "rewards" });
    }
    check_entries("rewards", rewards, "finite", f64::is_finite)
}

fn check_width(width: u64) -> Result<(), Error> {
    check_scalar("width", width, "between 1 and 2**32", (1..=MAX_WIDTH).contains(&width))
}

fn check_temperature(argument: &'static str, temperature: f64) -> Result<(), Error> {
    let right = temperature.is_finite() && temperature > 0.0;
    check_scalar(argument, temperature, "finite and above 0", right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn best_first_is_a_stable_sort(
            rewards in proptest::collection::vec(
                prop_oneof![
                    -1.0_f64..1.0, -1e300..1e300, -1e-300..1e-300,
                    Just(0.0), Just(-0.0), Just(f64::MAX), Just(f64::MIN), Just(5e-324),
                ],
                0..60,
            ),
        ) {
            let mut order: Vec<usize> = (0..rewards.len()).collect();
            order.sort_by(|&a, &b| f64::partial_cmp(&rewards[b], &rewards[a]).unwrap());
            prop_assert_eq!(best_first(&rewards), order);
        }
    }
}
