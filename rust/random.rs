//! A seeded source of random numbers.

/// Generates by splitmix64: a few lines, and the same numbers on every platform.
pub(crate) struct Random(u64);

impl Random {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Draws 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Draws uniformly from `0..below`, to within 2^-64; 0 where `below` is 0.
    pub fn below(&mut self, below: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(below)) >> 64) as u64
    }
}

#[cfg(feature = "generators")]
impl Random {
    /// Starts the stream of one purpose: streams of one seed do not shift when another is read.
    pub fn stream(seed: u64, purpose: u64) -> Self {
        let purpose = purpose.wrapping_mul(0xd1b5_4a32_d192_ed03);
        Self(Self::new(seed.wrapping_add(purpose)).bits())
    }

    /// Draws uniformly from [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Draws from about the normal distribution of mean 0 and variance 1.
    pub fn normal(&mut self) -> f64 {
        // `ln`, `sin` and `cos` round differently from platform to platform; sums do not.
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}
