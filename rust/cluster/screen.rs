//! Upper bounds on the cosines of all pairs of rows, in f32, a tile of pairs at a time.

use std::cell::OnceCell;

use pulp::{Simd, WithSimd};

use super::rows::{Rows, dot};

/// Rows that are packed side by side: the columns of a tile.
pub(super) const BLOCK: usize = 16;
/// Rows of a tile.
pub(super) const STRIP: usize = 4;
/// Dimensions of a panel: how many are multiplied between two looks at a tile.
const DEPTH: usize = 64;

/// Numbers for each pair of `STRIP` rows and `BLOCK` columns.
pub(super) type Tile = [[f32; BLOCK]; STRIP];

/// Bounds the cosines of pairs of unit rows from above, as closely as the question needs.
///
/// After the first `k` dimensions of a row `u = (u', u")`, Cauchy and Schwarz give
/// `u.v <= u'.v' + |u"| |v"|`. Pairs that are far apart mostly show it early, so the dimensions come
/// in panels, and a tile is left as soon as it is settled. Everything here only screens: what
/// decides is computed in f64.
pub(super) struct Screen<'a, T> {
    rows: &'a Rows<'a, T>,
    members: &'a [usize],
    /// Packed when first used: most tiles are settled by the first panel.
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
    pub(super) fn new(rows: &'a Rows<'a, T>, members: &'a [usize]) -> Self {
        let panels = rows.dim().div_ceil(DEPTH);
        Self {
            rows,
            members,
            panels: (0..panels).map(|_| OnceCell::new()).collect(),
            margin: margin(panels),
        }
    }

    pub(super) fn dim(&self) -> usize {
        self.rows.dim()
    }

    /// The bound that pairs within `threshold` reach for certain.
    pub(super) fn cut(&self, threshold: f64) -> f32 {
        (1.0 - threshold - self.margin) as f32
    }

    /// The bound on a distance up to which pairs are within `threshold` for certain, in a tile that
    /// was looked at to its end.
    pub(super) fn inner(&self, threshold: f64) -> f32 {
        (threshold - 3.0 * self.margin) as f32
    }

    /// Turns a bound on a cosine into a lower bound on the distance.
    pub(super) fn distance(&self, upper: f32) -> f32 {
        let distance = (1.0 - self.margin) as f32 - upper;
        if distance > 0.0 { distance } else { 0.0 }
    }

    /// Bounds the cosines of `STRIP` rows with the `BLOCK` rows of a block.
    ///
    /// Looks at more dimensions until at most `few` of the bounds reach `cut`; also says how many do.
    pub(super) fn tile(&self, strip: usize, block: usize, cut: f32, few: u32) -> (Tile, u32) {
        let mut tile = Tiles { cosines: [[0.0; BLOCK]; STRIP], upper: [[0.0; BLOCK]; STRIP] };
        let mut reach = 0;
        for at in 0..self.panels.len() {
            let look = Look { panel: self.panel(at), strip, block, cut };
            reach = self.rows.machine().dispatch(LookAt { look, tile: &mut tile });
            if reach <= few {
                break;
            }
        }
        (tile.upper, reach)
    }

    fn panel(&self, at: usize) -> &Panel {
        self.panels[at].get_or_init(|| Panel::pack(self.rows, self.members, at * DEPTH))
    }
}

/// Lists the tiles that cover all pairs `j <= i` of `n` rows, as strips of `i` and blocks of `j`.
///
/// Strips that share a block follow each other, while it is in the cache.
pub(super) fn tiles(n: usize) -> impl Iterator<Item = (usize, usize)> {
    const STRIPS: usize = 16;
    let strips = n.div_ceil(STRIP);
    (0..strips).step_by(STRIPS).flat_map(move |start| {
        let end = strips.min(start + STRIPS);
        (0..(end * STRIP).div_ceil(BLOCK)).flat_map(move |block| {
            (start.max(block * BLOCK / STRIP)..end).map(move |strip| (strip, block))
        })
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
        let mut packed = vec![0.0; members.len().div_ceil(BLOCK) * depth * BLOCK];
        let mut rest = vec![0.0; members.len().div_ceil(BLOCK) * BLOCK];
        for (block, of_block) in members.chunks(BLOCK).enumerate() {
            let packed = &mut packed[block * depth * BLOCK..(block + 1) * depth * BLOCK];
            for (lane, &i) in of_block.iter().enumerate() {
                let (row, scale) = rows.row(i);
                let (row, part) = (&row[..start + depth], &row[start..start + depth]);
                for (to, &value) in packed.chunks_exact_mut(BLOCK).zip(part) {
                    to[lane] = (value.into() * scale) as f32;
                }
                let ahead = dot(rows.machine(), row, row) * scale * scale;
                let behind = (1.0 - ahead).max(0.0) + rows.noise();
                rest[block * BLOCK + lane] = behind.sqrt() as f32 * (1.0 + 2.0 * f32::EPSILON);
            }
        }
        Self { packed, rest, depth }
    }

    fn block(&self, at: usize) -> &[f32] {
        &self.packed[at * self.depth * BLOCK..(at + 1) * self.depth * BLOCK]
    }
}

/// One panel's part in a tile.
struct Look<'a> {
    panel: &'a Panel,
    strip: usize,
    block: usize,
    cut: f32,
}

/// The dot products so far and the bounds that follow.
struct Tiles {
    cosines: Tile,
    upper: Tile,
}

/// A look at a tile, as code that is compiled for several kinds of machine.
struct LookAt<'a> {
    look: Look<'a>,
    tile: &'a mut Tiles,
}

impl WithSimd for LookAt<'_> {
    /// How many of the bounds reach the cut.
    type Output = u32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let Self { look, tile } = self;
        if S::F32_LANES < 8 {
            // Eight columns at a time: with `STRIP` rows, what 16 registers of 128 bits hold.
            look.multiply::<8>(&mut tile.cosines, |x, y, sum| x * y + sum);
        } else {
            // Registers of 256 bits come with fused instructions.
            look.multiply::<16>(&mut tile.cosines, f32::mul_add);
        }
        look.bound(tile)
    }
}

impl Look<'_> {
    /// Adds this panel's part of the dot products, `COLUMNS` columns at a time.
    #[inline(always)]
    fn multiply<const COLUMNS: usize>(
        &self,
        cosines: &mut Tile,
        multiply_add: impl Fn(f32, f32, f32) -> f32,
    ) {
        let rows = self.panel.block(self.strip * STRIP / BLOCK);
        let columns = self.panel.block(self.block);
        let at = self.strip * STRIP % BLOCK;
        for start in (0..BLOCK).step_by(COLUMNS) {
            let mut sums = [[0.0_f32; COLUMNS]; STRIP];
            for (row, column) in rows.chunks_exact(BLOCK).zip(columns.chunks_exact(BLOCK)) {
                let (row, column) = (&row[at..at + STRIP], &column[start..start + COLUMNS]);
                for (sums, &x) in sums.iter_mut().zip(row) {
                    sums.iter_mut()
                        .zip(column)
                        .for_each(|(sum, &y)| *sum = multiply_add(x, y, *sum));
                }
            }
            for (cosines, sums) in cosines.iter_mut().zip(sums) {
                let part = &mut cosines[start..start + COLUMNS];
                part.iter_mut().zip(sums).for_each(|(cosine, sum)| *cosine += sum);
            }
        }
    }

    /// Adds to each dot product the most that the dimensions behind this panel can add.
    #[inline(always)]
    fn bound(&self, tile: &mut Tiles) -> u32 {
        let mut columns = [0.0; BLOCK];
        columns.copy_from_slice(&self.panel.rest[self.block * BLOCK..(self.block + 1) * BLOCK]);
        let rows = &self.panel.rest[self.strip * STRIP..];
        let mut reach = [0_u32; BLOCK];
        let mut upper = tile.cosines;
        for (bounds, &x) in upper.iter_mut().zip(rows) {
            for ((bound, &y), reach) in bounds.iter_mut().zip(&columns).zip(&mut reach) {
                *bound += x * y;
                *reach += u32::from(*bound >= self.cut);
            }
        }
        tile.upper = upper;
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
        for (strip, block) in tiles(n) {
            let mut cosines = [[[0.0; BLOCK]; STRIP]; 2];
            for at in 0..screen.panels.len() {
                let look = Look { panel: screen.panel(at), strip, block, cut: 0.0 };
                look.multiply::<8>(&mut cosines[0], |x, y, sum| x * y + sum);
                look.multiply::<16>(&mut cosines[1], f32::mul_add);
            }
            for (a, row) in (strip * STRIP..n).zip(0..STRIP) {
                for (b, lane) in (block * BLOCK..n).zip(0..BLOCK) {
                    let exact = 1.0 - rows.distance(a, b);
                    for cosine in [cosines[0][row][lane], cosines[1][row][lane]] {
                        assert!((f64::from(cosine) - exact).abs() <= screen.margin);
                    }
                }
            }
        }
    }
}
