//! One error type for the whole crate, with the offending values inside.

use std::fmt;

/// Says why a call was refused or could not be answered.
///
/// Every message is one line and names the argument, the index and the value, and what would be
/// right. All variants but [`Error::Solver`] and [`Error::Memory`] mean that the input was
/// wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument that must hold something is empty.
    #[error("{argument} is empty: it must hold at least one entry")]
    Empty {
        /// Name of the argument.
        argument: &'static str,
    },
    /// Two arguments that go together differ in length.
    #[error("{argument} has length {got}: it must have length {expected}, like {like}")]
    Length {
        /// Name of the argument.
        argument: &'static str,
        /// Its length.
        got: usize,
        /// The length it should have.
        expected: usize,
        /// What it should be as long as.
        like: &'static str,
    },
    /// One entry of an array is not allowed.
    #[error("{argument}[{index}] is {value}: it must be {expected}")]
    Entry {
        /// Name of the argument.
        argument: &'static str,
        /// Index of the entry.
        index: usize,
        /// The entry.
        value: Number,
        /// What would be right.
        expected: &'static str,
    },
    /// One entry of an array points outside another array.
    #[error("{argument}[{index}] is {value}: it must be at least 0 and below {below} ({what})")]
    OutOfRange {
        /// Name of the argument.
        argument: &'static str,
        /// Index of the entry.
        index: usize,
        /// The entry.
        value: Number,
        /// The first value that is too large.
        below: usize,
        /// What that limit counts.
        what: &'static str,
    },
    /// An entry that must be unique occurs twice.
    #[error(
        "{argument}[{index}] is {value}, as {argument}[{first}] already is: entries must be distinct"
    )]
    Duplicate {
        /// Name of the argument.
        argument: &'static str,
        /// Index of the second occurrence.
        index: usize,
        /// Index of the first occurrence.
        first: usize,
        /// The repeated value.
        value: Number,
    },
    /// A single number is not allowed.
    #[error("{argument} is {value}: it must be {expected}")]
    Scalar {
        /// Name of the argument.
        argument: &'static str,
        /// The value.
        value: Number,
        /// What would be right.
        expected: &'static str,
    },
    /// An argument only makes sense together with another one.
    #[error("{argument} needs {missing}: give both or neither")]
    Missing {
        /// Name of the argument that was given.
        argument: &'static str,
        /// Name of the argument that is missing.
        missing: &'static str,
    },
    /// Not even the cheapest candidate leaf fits into the KV budget.
    #[error(
        "kv_budget is {budget}: it must be at least {needs}, the tokens on the path to the \
         cheapest leaf"
    )]
    BudgetTooSmall {
        /// The budget, in tokens.
        budget: u64,
        /// Tokens that the cheapest leaf's path holds.
        needs: u64,
    },
    /// There is not enough memory for the steps that hang together.
    #[error(
        "embeddings: {rows} rows hang together within the threshold, and to part them takes \
         {bytes} bytes of memory, which are not to be had: give fewer rows or a smaller threshold"
    )]
    Memory {
        /// The rows.
        rows: usize,
        /// The memory that was asked for.
        bytes: u128,
    },
    /// An array was written to while it was read, by a caller that is not in Rust.
    #[error("{argument} was written to during the call: pass a copy")]
    Changed {
        /// Name of the argument.
        argument: &'static str,
    },
    /// The numerical solver failed; the input was fine.
    #[error("the {solver} solver failed: {message}")]
    Solver {
        /// Name of the solver.
        solver: &'static str,
        /// What it said.
        message: String,
    },
}

/// A number in a message: an integer or a float, printed as it was given.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Number {
    /// An integer; all of 64 bits fit.
    Int(i128),
    /// A float.
    Float(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            // `{:?}` keeps the point of 1.0 and switches to 1e300 where that is shorter.
            Self::Float(value) => write!(f, "{value:?}"),
        }
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Int(value.into())
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::Int(value as i128)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// Refuses a slice whose length differs from that of what it goes with.
pub(crate) fn check_length(
    argument: &'static str,
    got: usize,
    expected: usize,
    like: &'static str,
) -> Result<(), Error> {
    if got == expected {
        return Ok(());
    }
    Err(Error::Length { argument, got, expected, like })
}

/// Refuses the first entry that fails `ok`.
pub(crate) fn check_entries(
    argument: &'static str,
    values: &[f64],
    expected: &'static str,
    ok: impl Fn(f64) -> bool,
) -> Result<(), Error> {
    match values.iter().position(|&value| !ok(value)) {
        None => Ok(()),
        Some(index) => Err(Error::Entry { argument, index, value: values[index].into(), expected }),
    }
}

/// Refuses a number that fails `ok`.
pub(crate) fn check_scalar(
    argument: &'static str,
    value: impl Into<Number>,
    expected: &'static str,
    ok: bool,
) -> Result<(), Error> {
    if ok { Ok(()) } else { Err(Error::Scalar { argument, value: value.into(), expected }) }
}

/// Reserves a matrix with a row for each of some embeddings.
pub(crate) fn reserved<T>(rows: usize, width: usize) -> Result<Vec<T>, Error> {
    let mut entries = Vec::new();
    // More than a `usize` can count is refused as well.
    if entries.try_reserve_exact(rows.saturating_mul(width)).is_err() {
        let bytes = rows as u128 * width as u128 * size_of::<T>() as u128;
        return Err(Error::Memory { rows, bytes });
    }
    Ok(entries)
}

/// Makes such a matrix of one value.
pub(crate) fn filled<T: Copy>(rows: usize, width: usize, value: T) -> Result<Vec<T>, Error> {
    let mut entries = reserved(rows, width)?;
    entries.resize(rows * width, value);
    Ok(entries)
}
