//! The rows to cluster, as given, and the distances between their directions.

use pulp::{Arch, Simd, WithSimd};

/// Squared lengths that neither overflowed nor lost digits; no entry was NaN or infinite.
const SAFE: std::ops::Range<f64> = 1e-200..1e200;

/// Rows with a direction each, some of which stand for several that are equal.
///
/// The entries stay where the caller holds them: a copy in f64 would not fit the caches that f32
/// input does, and most rows are looked at only once.
pub(crate) struct Rows<'a, T> {
    /// Row-major, `[n, dim]`.
    entries: &'a [T],
    /// Where in `entries` each row begins, `[k]`.
    starts: Vec<usize>,
    /// What makes each row's length 1, `[k]`.
    scales: Vec<f64>,
    /// How many equal rows each one stands for, `[k]`; they sum to n.
    copies: Vec<u32>,
    /// n.
    total: usize,
    dim: usize,
    /// Whether every square was in range.
    in_range: bool,
    /// What the machine's vector registers hold.
    machine: Arch,
}

impl<'a, T: Copy + Into<f64>> Rows<'a, T> {
    /// Measures every row.
    pub(crate) fn of(entries: &'a [T], dim: usize) -> Self {
        let machine = Arch::new();
        let mut in_range = true;
        let scales = entries.chunks_exact(dim).map(|row| {
            let square = dot(machine, row, row);
            in_range &= SAFE.contains(&square);
            1.0 / square.sqrt()
        });
        let scales: Vec<f64> = scales.collect();
        let starts = (0..entries.len()).step_by(dim).collect();
        let total = scales.len();
        Self { entries, starts, scales, copies: vec![1; total], total, dim, in_range, machine }
    }

    /// Drops all rows but some, which stand for so many each.
    pub(super) fn keep(&mut self, rows: &[usize], copies: Vec<u32>) {
        self.starts = rows.iter().map(|&i| self.starts[i]).collect();
        self.scales = rows.iter().map(|&i| self.scales[i]).collect();
        self.copies = copies;
    }

    /// Says whether every row has a direction that its entries as they are can tell.
    pub(crate) fn are_in_range(&self) -> bool {
        self.in_range
    }

    pub(crate) fn len(&self) -> usize {
        self.scales.len()
    }

    /// Counts the rows that these stand for.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// How many equal rows a row stands for.
    pub(crate) fn copies(&self, i: usize) -> u32 {
        self.copies[i]
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn machine(&self) -> Arch {
        self.machine
    }

    /// Bounds what rounding alone can make of a distance of 0, also between sums of rows.
    pub(crate) fn noise(&self) -> f64 {
        (self.dim + self.total() + 16) as f64 * f64::EPSILON
    }

    /// The entries of a row and what makes its length 1.
    pub(crate) fn row(&self, i: usize) -> (&[T], f64) {
        (&self.entries[self.starts[i]..][..self.dim], self.scales[i])
    }

    /// Computes the cosine distance of two rows; what may be rounding of 0 is 0.
    pub(crate) fn distance(&self, i: usize, j: usize) -> f64 {
        let ((a, to_a), (b, to_b)) = (self.row(i), self.row(j));
        self.without_noise(1.0 - dot(self.machine, a, b) * to_a * to_b)
    }

    /// Returns a distance, or 0 if that is what it may be.
    pub(crate) fn without_noise(&self, distance: f64) -> f64 {
        if distance <= self.noise() { 0.0 } else { distance }
    }

    /// Says whether some rows lie so close to their mean that every pair is within `threshold`.
    ///
    /// For unit rows `|u - v|^2 = 2 d(u, v)`, so by the triangle inequality two rows at a distance
    /// of at most `r` from a third are at most `4 r` apart.
    pub(crate) fn lie_close(&self, members: &[usize], threshold: f64) -> bool {
        let mut mean = vec![0.0; self.dim];
        for &i in members {
            let (row, scale) = self.row(i);
            mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value.into() * scale);
        }
        let square = dot(self.machine, &mean, &mean);
        let length = square.sqrt();
        let nearest = 1.0 - (threshold / 4.0 - self.noise());
        // Rows may cancel: what is left must be long enough to have a direction.
        square > SAFE.start
            && members.iter().all(|&i| {
                let (row, scale) = self.row(i);
                dot(self.machine, &mean, row) * scale >= nearest * length
            })
    }
}

/// Multiplies two rows with what the machine's vector registers hold.
#[inline]
pub(crate) fn dot<A, B>(machine: Arch, a: &[A], b: &[B]) -> f64
where
    A: Copy + Into<f64>,
    B: Copy + Into<f64>,
{
    machine.dispatch(Dot { a, b })
}

/// A dot product, as code that is compiled for several kinds of machine.
struct Dot<'a, A, B> {
    a: &'a [A],
    b: &'a [B],
}

impl<A: Copy + Into<f64>, B: Copy + Into<f64>> WithSimd for Dot<'_, A, B> {
    type Output = f64;

    /// Keeps sixteen running sums, which the compiler holds in vector registers.
    ///
    /// The order of the additions is fixed and nothing is fused, so every machine gets the same
    /// bits.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let product = |(&x, &y): (&A, &B)| -> f64 { x.into() * y.into() };
        let mut sums = [0.0; 16];
        let (a_chunks, b_chunks) = (self.a.chunks_exact(16), self.b.chunks_exact(16));
        let tail: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(product).sum();
        for (a, b) in a_chunks.zip(b_chunks) {
            for (sum, pair) in sums.iter_mut().zip(a.iter().zip(b)) {
                *sum += product(pair);
            }
        }
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                sums[lane] += sums[lane + half];
            }
        }
        sums[0] + tail
    }
}
