//! Upper bounds on the cosines of all pairs of rows, in f32, a square of pairs at a time.

use std::cell::OnceCell;

use pulp::{Simd, WithSimd};

use super::multiply::{BLOCK, DEPTH, STRIP, multiply, pack};
use super::rows::{Rows, dot};

const STRIPS: usize = BLOCK / STRIP;

/// Numbers for each pair of two blocks.
pub(crate) type Square = [[f32; BLOCK]; BLOCK];

/// Bounds the cosines of pairs of unit rows from above, as closely as the question needs.
///
/// After the first `k` dimensions of a row `u = (u', u")`, Cauchy and Schwarz give
/// `u.v <= u'.v' + |u"| |v"|`. Pairs that are far apart mostly show it early, so the dimensions come
/// in panels, and a strip of a square is left as soon as it is settled. Everything here only screens: what
/// decides is computed in f64.
pub(crate) struct Screen<'a, T> {
    rows: &'a Rows<'a, T>,
    members: &'a [usize],
    /// Packed when first used: most squares are settled by the first panel.
    panels: Vec<OnceCell<Panel>>,
    /// What rounding can take from a bound.
    margin: f64,
}

/// The same few dimensions of all rows.
struct Panel {
    /// f32, `[blocks, depth, BLOCK]`; the last block is padded with zeros.
    packed: Vec<f32>,
    /// The length of what lies behind this panel, rounded up, `[blocks * BLOCK]`.
    rest: Vec<f32>,
    depth: usize,
}

impl<'a, T: Copy + Into<f64>> Screen<'a, T> {
    /// Prepares for the pairs of some rows, given by their indices; pairs go by place in `members`.
    pub(crate) fn new(rows: &'a Rows<'a, T>, members: &'a [usize]) -> Self {
        let panels = rows.dim().div_ceil(DEPTH);
        Self {
            rows,
            members,
            panels: (0..panels).map(|_| OnceCell::new()).collect(),
            margin: margin(panels),
        }
    }

    /// What looking at a square counts for on a clock.
    pub(crate) fn work(&self) -> usize {
        STRIPS * self.rows.dim()
    }

    /// The bound that pairs within `threshold` reach for certain.
    pub(crate) fn cut(&self, threshold: f64) -> f32 {
        (1.0 - threshold - self.margin) as f32
    }

    /// The bound on a distance up to which pairs are within `threshold` for certain.
    ///
    /// Where a strip was left before its end no bound is as low: all were above the threshold.
    pub(crate) fn inner(&self, threshold: f64) -> f32 {
        (threshold - 3.0 * self.margin) as f32
    }

    /// Turns a bound on a cosine into a lower bound on the distance.
    pub(crate) fn distance(&self, upper: f32) -> f32 {
        let distance = (1.0 - self.margin) as f32 - upper;
        if distance > 0.0 { distance } else { 0.0 }
    }

    /// Bounds the cosines of the rows of one block with those of another.
    ///
    /// Looks at more dimensions of a strip until at most `few` of its bounds reach `cut`; also says
    /// how many of the square do.
    pub(crate) fn square(&self, rows: usize, columns: usize, cut: f32, few: u32) -> (Square, u32) {
        let mut seen = Seen {
            cosines: [[0.0; BLOCK]; BLOCK],
            upper: [[0.0; BLOCK]; BLOCK],
            reach: [u32::MAX; STRIPS],
        };
        for at in 0..self.panels.len() {
            let look = Look { panel: self.panel(at), rows, columns, cut };
            self.rows.machine().dispatch(LookAt { look, few, seen: &mut seen });
            if seen.reach.iter().all(|&reach| reach <= few) {
                break;
            }
        }
        (seen.upper, seen.reach.iter().sum())
    }

    fn panel(&self, at: usize) -> &Panel {
        self.panels[at].get_or_init(|| Panel::pack(self.rows, self.members, at * DEPTH))
    }
}

/// Lists the squares that cover all pairs `j <= i` of `n` rows, as blocks of `i` and of `j`.
///
/// Blocks of `i` that share one of `j` follow each other, while it is in the cache.
pub(crate) fn squares(n: usize) -> impl Iterator<Item = (usize, usize)> {
    const TOGETHER: usize = 4;
    let blocks = n.div_ceil(BLOCK);
    (0..blocks).step_by(TOGETHER).flat_map(move |start| {
        let end = blocks.min(start + TOGETHER);
        (0..end).flat_map(move |columns| (start.max(columns)..end).map(move |rows| (rows, columns)))
    })
}

/// Bounds the rounding errors of an f32 bound on the cosine of unit rows.
///
/// With `e = 2^-24`: an entry is rounded by at most a factor `1 + e`, so a product of two by
/// `(1 + e)^2`; its way through the sums of a panel and over the panels has at most
/// `DEPTH + panels + 1` roundings; and the products' magnitudes sum to at most 1. That is
/// `n e / (1 - n e)` with `n = DEPTH + panels + 3`. What is done with the bound afterwards has a few
/// more roundings of numbers below 4, for which 13 more are counted; `1 / (1 - n e)` is below 1.1.
fn margin(panels: usize) -> f64 {
    let roundings = DEPTH + panels + 16;
    if roundings > 1 << 20 {
        return f64::INFINITY; // 67 million dimensions: nothing is certain in f32
    }
    1.1 * roundings as f64 * f64::from(f32::EPSILON) / 2.0
}

impl Panel {
    fn pack<T: Copy + Into<f64>>(rows: &Rows<T>, members: &[usize], start: usize) -> Self {
        let depth = DEPTH.min(rows.dim() - start);
        let packed = pack(rows, members, start..start + depth, |value| value as f32);
        let mut rest = vec![0.0; members.len().next_multiple_of(BLOCK)];
        for (rest, &i) in rest.iter_mut().zip(members) {
            let (row, scale) = rows.row(i);
            let row = &row[..start + depth];
            let ahead = dot(rows.machine(), row, row) * scale * scale;
            let behind = (1.0 - ahead).max(0.0) + rows.noise();
            *rest = behind.sqrt() as f32 * (1.0 + 2.0 * f32::EPSILON);
        }
        Self { packed, rest, depth }
    }

    fn block(&self, at: usize) -> &[f32] {
        &self.packed[at * self.depth * BLOCK..(at + 1) * self.depth * BLOCK]
    }

    fn rest(&self, block: usize) -> &[f32] {
        &self.rest[block * BLOCK..(block + 1) * BLOCK]
    }
}

/// One panel's part in a square.
struct Look<'a> {
    panel: &'a Panel,
    rows: usize,
    columns: usize,
    cut: f32,
}

/// What was seen of a square.
struct Seen {
    /// The dot products so far.
    cosines: Square,
    /// The bounds that follow.
    upper: Square,
    /// How many bounds of each strip reach the cut.
    reach: [u32; STRIPS],
}

/// A look at a square, as code that is compiled for several kinds of machine.
struct LookAt<'a> {
    look: Look<'a>,
    few: u32,
    seen: &'a mut Seen,
}

impl WithSimd for LookAt<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { look, few, seen } = self;
        let [rows, columns] = [look.rows, look.columns].map(|block| look.panel.block(block));
        for strip in 0..STRIPS {
            if seen.reach[strip] <= few {
                continue;
            }
            let cosines = &mut seen.cosines[strip * STRIP..(strip + 1) * STRIP];
            if S::F32_LANES < 8 {
                // Eight columns at a time: with `STRIP` rows, what 16 registers of 128 bits hold.
                multiply::<8, f32>(rows, columns, strip, cosines, |x, y, sum| x * y + sum);
            } else {
                // Registers of 256 bits come with fused instructions.
                multiply::<16, f32>(rows, columns, strip, cosines, f32::mul_add);
            }
            seen.reach[strip] = look.bound(strip, seen);
        }
    }
}

impl Look<'_> {
    /// Adds to each dot product of a strip the most that the dimensions behind this panel can add;
    /// counts the bounds that reach the cut.
    #[inline(always)]
    fn bound(&self, strip: usize, seen: &mut Seen) -> u32 {
        let mut columns = [0.0; BLOCK];
        columns.copy_from_slice(self.panel.rest(self.columns));
        let mut reach = [0_u32; BLOCK];
        for row in strip * STRIP..(strip + 1) * STRIP {
            let x = self.panel.rest(self.rows)[row];
            let bounds = &mut seen.upper[row];
            let cosines = seen.cosines[row];
            for lane in 0..BLOCK {
                bounds[lane] = cosines[lane] + x * columns[lane];
                reach[lane] += u32::from(bounds[lane] >= self.cut);
            }
        }
        reach.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine runs one of the two ways to multiply: the other is held to the same margin here.
    #[test]
    fn both_ways_to_multiply_agree() {
        let (n, dim) = (40, 150);
        let rows: Vec<f32> = (0..n * dim).map(|k| ((k * k + 7 * k) % 211) as f32 - 90.5).collect();
        let rows = Rows::of(&rows, dim);
        let all: Vec<usize> = (0..n).collect();
        let screen = Screen::new(&rows, &all);
        for (block, other) in squares(n) {
            let mut cosines = [[[0.0; BLOCK]; BLOCK]; 2];
            for at in 0..screen.panels.len() {
                let [a, b] = [block, other].map(|block| screen.panel(at).block(block));
                let [two, fused] = &mut cosines;
                for (strip, rows) in two.chunks_exact_mut(STRIP).enumerate() {
                    multiply::<8, f32>(a, b, strip, rows, |x, y, sum| x * y + sum);
                }
                for (strip, rows) in fused.chunks_exact_mut(STRIP).enumerate() {
                    multiply::<16, f32>(a, b, strip, rows, f32::mul_add);
                }
            }
            for (a, row) in (block * BLOCK..n).zip(0..BLOCK) {
                for (b, lane) in (other * BLOCK..n).zip(0..BLOCK) {
                    let exact = 1.0 - rows.distance(a, b);
                    for cosine in [cosines[0][row][lane], cosines[1][row][lane]] {
                        assert!((f64::from(cosine) - exact).abs() <= screen.margin);
                    }
                }
            }
        }
    }
}
