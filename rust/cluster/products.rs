//! Cosines in f64, a square of pairs at a time.

use std::cell::OnceCell;

use pulp::{Simd, WithSimd};

use super::multiply::{BLOCK, DEPTH, STRIP, multiply, pack};
use super::rows::Rows;

/// Multiplies whole blocks of unit rows, each entry read and widened once for many pairs.
pub(crate) struct Products<'a, T> {
    rows: &'a Rows<'a, T>,
    members: &'a [usize],
    /// Each f64, `[blocks, depth, BLOCK]`; packed when first used.
    panels: Vec<OnceCell<Vec<f64>>>,
}

impl<'a, T: Copy + Into<f64>> Products<'a, T> {
    /// Prepares for the pairs of some rows, given by their indices.
    pub(crate) fn new(rows: &'a Rows<'a, T>, members: &'a [usize]) -> Self {
        let panels = (0..rows.dim().div_ceil(DEPTH)).map(|_| OnceCell::new()).collect();
        Self { rows, members, panels }
    }

    /// Computes the cosines of the rows of one block with those of another.
    ///
    /// The order of the additions is fixed and nothing is fused, so every machine gets the same
    /// bits.
    pub(crate) fn square(&self, rows: usize, columns: usize) -> [[f64; BLOCK]; BLOCK] {
        let mut cosines = [[0.0; BLOCK]; BLOCK];
        for at in 0..self.panels.len() {
            let panel = self.panel(at);
            let size = panel.len() / self.members.len().div_ceil(BLOCK);
            let [rows, columns] = [rows, columns].map(|block| &panel[block * size..][..size]);
            self.rows.machine().dispatch(Square { rows, columns, cosines: &mut cosines });
        }
        cosines
    }

    fn panel(&self, at: usize) -> &[f64] {
        let dimensions = at * DEPTH..self.rows.dim().min((at + 1) * DEPTH);
        self.panels[at].get_or_init(|| pack(self.rows, self.members, dimensions, |value| value))
    }
}

/// One panel's part in a square, as code that is compiled for several kinds of machine.
struct Square<'a> {
    rows: &'a [f64],
    columns: &'a [f64],
    cosines: &'a mut [[f64; BLOCK]; BLOCK],
}

impl WithSimd for Square<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let add = |x: f64, y: f64, sum: f64| x * y + sum;
        for (strip, cosines) in self.cosines.chunks_exact_mut(STRIP).enumerate() {
            if S::F64_LANES < 4 {
                multiply::<4, f64>(self.rows, self.columns, strip, cosines, add);
            } else {
                multiply::<8, f64>(self.rows, self.columns, strip, cosines, add);
            }
        }
    }
}
