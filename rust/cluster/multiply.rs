//! Products of blocks of rows: the loops that the registers are laid out for.

use std::ops::AddAssign;

use super::rows::Rows;

/// Rows that are packed side by side: the rows and the columns of a square.
pub(crate) const BLOCK: usize = 16;
/// Rows of a square that are multiplied together: their sums are what the registers hold.
pub(super) const STRIP: usize = 4;
/// Dimensions of a panel. Of two blocks that much fits the cache nearest to the processor.
pub(super) const DEPTH: usize = 64;

/// Packs some dimensions of unit rows, given by their indices: `[blocks, depth, BLOCK]`.
///
/// `number` rounds an entry; the last block is padded with zeros.
pub(super) fn pack<T: Copy + Into<f64>, E: Copy + Default>(
    rows: &Rows<T>,
    members: &[usize],
    dimensions: std::ops::Range<usize>,
    number: impl Fn(f64) -> E,
) -> Vec<E> {
    let depth = dimensions.len();
    let mut packed = vec![E::default(); members.len().div_ceil(BLOCK) * depth * BLOCK];
    for (of_block, packed) in members.chunks(BLOCK).zip(packed.chunks_exact_mut(depth * BLOCK)) {
        for (lane, &i) in of_block.iter().enumerate() {
            let (row, scale) = rows.row(i);
            let part = &row[dimensions.clone()];
            for (to, &value) in packed.chunks_exact_mut(BLOCK).zip(part) {
                to[lane] = number(value.into() * scale);
            }
        }
    }
    packed
}

/// Adds the dot products of a strip of one packed block with the rows of another to `products`,
/// `COLUMNS` of them at a time.
#[inline(always)]
pub(super) fn multiply<const COLUMNS: usize, E: Copy + Default + AddAssign>(
    rows: &[E],
    columns: &[E],
    strip: usize,
    products: &mut [[E; BLOCK]],
    multiply_add: impl Fn(E, E, E) -> E,
) {
    let at = strip * STRIP;
    for start in (0..BLOCK).step_by(COLUMNS) {
        let mut sums = [[E::default(); COLUMNS]; STRIP];
        for (row, column) in rows.chunks_exact(BLOCK).zip(columns.chunks_exact(BLOCK)) {
            let (row, column) = (&row[at..at + STRIP], &column[start..start + COLUMNS]);
            for (sums, &x) in sums.iter_mut().zip(row) {
                sums.iter_mut().zip(column).for_each(|(sum, &y)| *sum = multiply_add(x, y, *sum));
            }
        }
        for (products, sums) in products.iter_mut().zip(sums) {
            let part = &mut products[start..start + COLUMNS];
            part.iter_mut().zip(sums).for_each(|(product, sum)| *product += sum);
        }
    }
}
