//! Rows of embeddings as directions.

use crate::error::{Error, check_scalar};

/// Scales every row to length 1, in `f64`; refuses the rows that have no direction.
///
/// `embeddings` holds rows of `dim` numbers one after the other. Costs O(n dim).
///
/// # Errors
///
/// `dim` 0 or not a divisor of the length, a row with a NaN, an infinity or no nonzero entry.
pub(crate) fn unit_rows<T>(embeddings: &[T], dim: usize) -> Result<Vec<f64>, Error>
where
    T: Copy + Into<f64>,
{
    check_dim(embeddings.len(), dim)?;
    let mut unit: Vec<f64> = embeddings.iter().map(|&value| value.into()).collect();
    for (index, row) in unit.chunks_exact_mut(dim).enumerate() {
        let refuse = |value: f64, expected| {
            Err(Error::Entry { argument: "embeddings", index, value: value.into(), expected })
        };
        if let Some(&bad) = row.iter().find(|value| !value.is_finite()) {
            return refuse(bad, "a row of finite numbers");
        }
        let largest = row.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        if largest == 0.0 {
            return refuse(0.0, "a row with a nonzero entry, for a zero vector has no direction");
        }
        // Scaled by its largest entry first, so that squares neither overflow nor vanish.
        row.iter_mut().for_each(|value| *value /= largest);
        let norm = dot(row, row).sqrt();
        row.iter_mut().for_each(|value| *value /= norm);
    }
    Ok(unit)
}

/// Refuses a length of rows that does not divide the number of entries.
pub(crate) fn check_dim(entries: usize, dim: usize) -> Result<(), Error> {
    check_scalar(
        "the length of an embedding",
        dim,
        "at least 1 and a divisor of the number of entries",
        dim > 0 && entries % dim == 0,
    )
}

/// Multiplies two rows with eight running sums, which the compiler can keep in vector registers.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + tail
}
