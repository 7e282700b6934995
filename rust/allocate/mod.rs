//! Width allocation: how many continuations each leaf gets.

mod beam;
mod dora;
mod dvts;
mod particle;
mod rebase;

use std::cmp::Ordering;

pub use beam::beam_weights;
pub use dora::dora_weights;
pub use dvts::dvts_weights;
pub use particle::{Resampling, particle_weights};
pub use rebase::rebase_weights;

use crate::error::{Error, check_entries, check_scalar};

/// Largest accepted width: counts stay exact in an `f64` and fit an `i64` with room to spare.
pub const MAX_WIDTH: i64 = 1 << 32;

/// Orders leaves by reward, best first, equal ones in the order given.
fn best_first(rewards: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rewards.len()).collect();
    // Rewards are finite here; `partial_cmp` (not `total_cmp`) so that -0.0 and 0.0 are a tie.
    order.sort_by(|&a, &b| rewards[b].partial_cmp(&rewards[a]).unwrap_or(Ordering::Equal));
    order
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

fn check_temperature(argument: &'static str, temperature: f64) -> Result<(), Error> {
    let right = temperature.is_finite() && temperature > 0.0;
    check_scalar(argument, temperature, "finite and above 0", right)
}
