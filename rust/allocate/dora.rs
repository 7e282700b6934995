//! DORA: REBASE with each weight scaled down by how much a leaf resembles the others.

use super::rebase::hand_out;
use super::{best_first, check_rewards, check_temperature, check_width};
use crate::cluster::{BLOCK, Products, Rows, Screen, squares};
use crate::error::{Error, check_length};
use crate::unit::{check_dim, unit_rows};

/// How far, in temperatures, what `n` leaves add to a sum of at least 1 lies below its last bit:
/// this and `ln n`.
const LOST: f64 = 36.0;

/// How far below another share a share may be and still be equal to it.
const NOISE: f64 = 1e-9;

/// Allocates a width in proportion to reward and uniqueness, rounding up, largest share first.
///
/// The rule of DORA (arXiv 2506.15707): REBASE's weights, each times the share that a leaf has in
/// its own soft cluster. With `S_ij` the cosine of the embeddings of leaves `i` and `j`,
///
/// ```text
/// q_i = exp(r_i / T) / sum_j exp(r_j / T)
/// u_i = exp(S_ii / T_s) / sum_j exp(S_ij / T_s)      between 1 / n and 1
/// w_i = q_i u_i / sum_j q_j u_j
/// ```
///
/// where `T` is `temperature` (0.1 in the paper) and `T_s` is `similarity_temperature` (0.01). The
/// counts follow from `w` as in [`rebase_weights`](crate::rebase_weights): leaves sorted by `w`,
/// largest first, each gets its share of what is left, rounded up, so that the counts sum to
/// `width` exactly. (The authors' code rounds to the nearest, drops the leaves whose `q_i` rounds
/// to none before it takes `u`, and tops up what is then missing.)
///
/// Shares within a billionth of the largest of their kind are equal, and equal shares go in the
/// order given: the last bits of an exponential or a cosine decide nothing.
///
/// `embeddings` holds one row of `dim` numbers for each leaf, one after the other; rows that are
/// equal bit for bit are looked at once. Costs O(n^2 dim) time at worst, and O(n dim) memory: an f32
/// screen rules out the pairs that are so far apart that all of them together would not change a
/// sum; for the others cosines are taken in f64.
///
/// # Errors
///
/// `rewards` empty or not finite, `width` outside `1..=MAX_WIDTH`, a temperature not finite and
/// positive, `dim` 0 or not a divisor of the length, not one row for each reward, a row with a NaN,
/// an infinity or no nonzero entry.
pub fn dora_weights<T>(
    rewards: &[f64],
    embeddings: &[T],
    dim: usize,
    width: u64,
    temperature: f64,
    similarity_temperature: f64,
) -> Result<Vec<u64>, Error>
where
    T: Copy + Into<f64>,
{
    check_rewards(rewards)?;
    check_width(width)?;
    check_temperature("temperature", temperature)?;
    check_temperature("similarity_temperature", similarity_temperature)?;
    if dim > 0 && embeddings.len() % dim == 0 {
        check_length("embeddings", embeddings.len() / dim, rewards.len(), "rewards")?;
    }
    check_dim(embeddings.len(), dim)?;
    let rows = Rows::of(embeddings, dim);
    let unique = if rows.are_in_range() {
        uniqueness(rows, similarity_temperature)
    } else {
        uniqueness(Rows::of(&unit_rows(embeddings, dim)?, dim), similarity_temperature)
    };
    let best = rewards.iter().fold(f64::NEG_INFINITY, |best, &reward| best.max(reward));
    // The best leaf's share is its uniqueness, so at least 1 / n: they never all underflow.
    let share: Vec<f64> = rewards
        .iter()
        .zip(&unique)
        .map(|(reward, unique)| ((reward - best) / temperature).exp() * unique)
        .collect();
    let order = largest_first(&share);
    let shares: Vec<f64> = order.iter().map(|&leaf| share[leaf]).collect();
    Ok(hand_out(&order, &shares, width))
}

/// Computes the diagonal of the row-wise softmax of all cosines, `[n]`.
///
/// Relative to a row's own term, which is its largest: no exponential overflows, and both rows of a
/// pair have the same one. Equal rows have the same sum, to which a row adds as much as all of its
/// copies: up to the rounding of a sum it is that over every row by itself.
fn uniqueness<T: Copy + Into<f64>>(rows: Rows<T>, temperature: f64) -> Vec<f64> {
    let (rows, equal_to) = rows.distinct();
    let unique = uniqueness_once(&rows, temperature);
    equal_to.into_iter().map(|row| unique[row]).collect()
}

/// Computes the uniqueness of every row that stands for its copies, `[k]`.
fn uniqueness_once<T: Copy + Into<f64>>(rows: &Rows<T>, temperature: f64) -> Vec<f64> {
    // Multiplying a strip to its end costs about as much as this many distances in f64.
    const FEW: u32 = 8;
    // And a square in f64 as much as these.
    const MANY: u32 = 64;
    let n = rows.len();
    let all: Vec<usize> = (0..n).collect();
    let (screen, products) = (Screen::new(rows, &all), Products::new(rows, &all));
    let cut = screen.cut(temperature * ((rows.total() as f64).ln() + LOST));
    let copies: Vec<f64> = all.iter().map(|&i| f64::from(rows.copies(i))).collect();
    // Copies are at a distance of 0 and add 1 each.
    let mut sums = copies.clone();
    for (of_rows, of_columns) in squares(n) {
        let (upper, reach) = screen.square(of_rows, of_columns, cut, FEW);
        if reach == 0 {
            continue;
        }
        let cosines = (reach > MANY).then(|| products.square(of_rows, of_columns));
        for (i, row) in (of_rows * BLOCK..n).zip(0..BLOCK) {
            for (j, lane) in (of_columns * BLOCK..i).zip(0..BLOCK) {
                if upper[row][lane] < cut {
                    continue;
                }
                let distance = match &cosines {
                    Some(cosines) => rows.without_noise(1.0 - cosines[row][lane]),
                    None => rows.distance(i, j),
                };
                let part = (-distance / temperature).exp();
                sums[i] += part * copies[j];
                sums[j] += part * copies[i];
            }
        }
    }
    sums.into_iter().map(|sum| 1.0 / sum).collect()
}

/// Orders leaves by share, largest first; shares that are equal up to noise in the order given.
fn largest_first(shares: &[f64]) -> Vec<usize> {
    let mut order = best_first(shares);
    let mut rest = order.as_mut_slice();
    while let Some(&first) = rest.first() {
        // Against the largest of them, not the one before: a slope of small steps is no tie.
        let equals = rest.partition_point(|&leaf| shares[leaf] >= shares[first] * (1.0 - NOISE));
        let (equal, below) = rest.split_at_mut(equals);
        equal.sort_unstable();
        rest = below;
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rebase_weights;
    use super::*;

    /// The uniqueness as its definition reads: whole matrix, softmax of every row, diagonal.
    fn uniqueness_naive(rows: &[Vec<f64>], temperature: f64) -> Vec<f64> {
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let cosine = |a: &[f64], b: &[f64]| product(a, b) / (product(a, a) * product(b, b)).sqrt();
        (0..rows.len())
            .map(|i| {
                let line: Vec<f64> = rows.iter().map(|row| cosine(&rows[i], row)).collect();
                let most = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let shares: Vec<f64> =
                    line.iter().map(|cosine| ((cosine - most) / temperature).exp()).collect();
                shares[i] / shares.iter().sum::<f64>()
            })
            .collect()
    }

    fn cases() -> impl Strategy<Value = (Vec<f64>, Vec<Vec<f64>>, f64)> {
        let dim = prop_oneof![1_usize..20, 60_usize..140];
        (1_usize..80, dim, prop_oneof![Just(0.01), Just(1.0), 0.02..3.0]).prop_flat_map(
            |(n, dim, temperature)| {
                let entry = prop_oneof![Just(0.0), Just(1.0), -1.0..1.0];
                let row = proptest::collection::vec(entry, dim)
                    .prop_filter("a direction", |row: &Vec<f64>| {
                        row.iter().any(|x| x.abs() > 1e-3)
                    });
                let kinds = proptest::collection::vec(row, 1..=n);
                // Of few kinds most rows are copies.
                let drawn = proptest::collection::vec(any::<usize>(), n);
                let rows = (kinds, drawn).prop_map(|(kinds, drawn)| {
                    drawn.iter().map(|kind| kinds[kind % kinds.len()].clone()).collect()
                });
                (
                    proptest::collection::vec((0_u8..=10).prop_map(|t| f64::from(t) / 10.0), n),
                    rows,
                    Just(temperature),
                )
            },
        )
    }

    proptest! {
        #[test]
        fn dora_is_its_definition((rewards, rows, t_s) in cases(), width in 1_u64..300) {
            let (dim, flat) = (rows[0].len(), rows.concat());
            let naive = uniqueness_naive(&rows, t_s);
            let measured = Rows::of(&flat, dim);
            for (unique, naive) in uniqueness(measured, t_s).into_iter().zip(&naive) {
                prop_assert!((unique - naive).abs() <= 1e-9 * naive);
            }
            let counts = dora_weights(&rewards, &flat, dim, width, 0.1, t_s).unwrap();
            prop_assert_eq!(counts.iter().sum::<u64>(), width);

            let share: Vec<f64> = rewards
                .iter()
                .zip(&naive)
                .map(|(reward, unique)| (reward / 0.1).exp() * unique)
                .collect();
            // Gaps that the rounding of either side could move over the tolerance prove nothing.
            prop_assume!(share.iter().all(|a| share
                .iter()
                .all(|b| !(0.9e-9..1.1e-9).contains(&((a - b) / a).abs()))));
            let mut order: Vec<usize> = Vec::new();
            while order.len() < share.len() {
                let most = (0..share.len())
                    .filter(|i| !order.contains(i))
                    .map(|i| share[i])
                    .fold(0.0, f64::max);
                order.extend((0..share.len()).filter(|&i| {
                    share[i] >= most * (1.0 - 1e-9) && share[i] <= most
                }));
            }
            let mut left = width;
            for (at, &leaf) in order.iter().enumerate() {
                let below: f64 = order[at..].iter().rev().map(|&i| share[i]).sum();
                let exact = left as f64 * share[leaf] / below;
                if (exact - exact.round()).abs() < 1e-6 {
                    prop_assert!((counts[leaf] as f64 - exact).abs() < 1.0 + 1e-6);
                } else {
                    prop_assert_eq!(counts[leaf], (exact.ceil() as u64).min(left));
                }
                left -= counts[leaf];
            }
        }

        #[test]
        fn copies_change_no_uniqueness((_, rows, t_s) in cases()) {
            let (dim, flat) = (rows[0].len(), rows.concat());
            let one_by_one = uniqueness_once(&Rows::of(&flat, dim), t_s);
            let once = uniqueness(Rows::of(&flat, dim), t_s);
            for (once, one_by_one) in once.iter().zip(one_by_one) {
                prop_assert!((once - one_by_one).abs() <= 1e-13 * one_by_one);
            }
            for (i, j) in (0..rows.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
                prop_assert!(rows[i] != rows[j] || once[i].to_bits() == once[j].to_bits());
            }
        }

        #[test]
        fn dora_hands_out_any_width_in_full(
            (rewards, rows, _) in cases(),
            width in 1_u64..=1 << 32,
            t in prop_oneof![Just(1e-300), Just(0.1), Just(1e300)],
            t_s in prop_oneof![Just(5e-324), Just(1e-16), Just(0.01), Just(f64::MAX)],
        ) {
            let counts = dora_weights(&rewards, &rows.concat(), rows[0].len(), width, t, t_s).unwrap();
            prop_assert_eq!(counts.iter().sum::<u64>(), width);
        }
    }

    #[test]
    fn a_crowd_shares_one_voice() {
        // Four that say the same, in other lengths, and one that does not.
        let rows = [1.0_f32, 2.0, 3.0, 6.0, 1e30, 2e30, 0.1, 0.2, -2.0, 1.0];
        let counts = dora_weights(&[0.5; 5], &rows, 2, 8, 0.1, 0.01).unwrap();
        assert_eq!(counts, [1, 1, 1, 1, 4]);
        let orthogonal = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        assert_eq!(
            dora_weights(&[0.9, 0.1, 0.8], &orthogonal, 3, 16, 0.1, 0.01).unwrap(),
            rebase_weights(&[0.9, 0.1, 0.8], 16, 0.1).unwrap()
        );
    }

    #[test]
    fn bad_input_is_named() {
        let dora = |rewards: &[f64], rows: &[f64], dim, t_s| {
            dora_weights(rewards, rows, dim, 4, 0.1, t_s).map_err(|error| error.to_string())
        };
        assert_eq!(
            dora(&[0.1, 0.2], &[1.0, 0.0, 0.0, 0.0], 2, 0.01).unwrap_err(),
            "embeddings[1] is 0.0: it must be a row with a nonzero entry, for a zero vector has no \
             direction"
        );
        assert_eq!(
            dora(&[0.1, 0.2], &[1.0, 0.0], 2, 0.01).unwrap_err(),
            "embeddings has length 1: it must have length 2, like rewards"
        );
        assert_eq!(
            dora(&[0.1], &[1.0], 1, -1.0).unwrap_err(),
            "similarity_temperature is -1.0: it must be finite and above 0"
        );
        assert!(dora(&[0.1], &[f64::NAN], 1, 0.01).is_err());
        assert!(dora(&[0.1], &[1.0], 0, 0.01).is_err());
        assert!(dora(&[0.1], &[1.0; 3], 2, 0.01).is_err());
        assert!(dora(&[], &[], 2, 0.01).is_err());
    }
}
