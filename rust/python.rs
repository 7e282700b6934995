//! The Python extension `ets._core`: borrows arguments, releases the GIL, converts, maps errors.
//!
//! Every computation runs detached from the interpreter, for as long as it takes; arrays are
//! borrowed, not copied, so the caller must not write to them from another thread meanwhile.

#![allow(clippy::doc_markdown, reason = "these comments are Python docstrings, in numpydoc form")]

mod args;
mod generate;
mod selection;
mod tree;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::error::Error;

pyo3::create_exception!(
    ets._core,
    InputError,
    PyValueError,
    "An argument is wrong; the message names it, the index, the value and what would be right."
);
pyo3::create_exception!(
    ets._core,
    SolverError,
    PyRuntimeError,
    "A solver failed on input that was fine."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Solver { .. } => SolverError::new_err(error.to_string()),
            _ => InputError::new_err(error.to_string()),
        }
    }
}

/// The Rust core of ets.
#[pymodule]
mod _core {
    use numpy::{IntoPyArray, PyArray1};
    use pyo3::prelude::*;

    use super::args::{Matrix, float, int, matrix, vector};
    #[pymodule_export]
    use super::generate::generate_instance;
    #[pymodule_export]
    use super::selection::{Selection, select_leaves};
    #[pymodule_export]
    use super::tree::Tree;
    #[pymodule_export]
    use super::{InputError, SolverError};
    use crate::{allocate, cluster};

    type Counts<'py> = PyResult<Bound<'py, PyArray1<i64>>>;

    /// Allocate a width in proportion to exp(reward / temperature), rounding up, best leaf first.
    ///
    /// The rule of REBASE. Leaves are sorted by reward, best first, equal rewards in the order
    /// given; with e_i = exp((r_i - r_max) / T) and S_i the sum of e from i to the worst leaf, the
    /// walk down gives leaf i
    ///
    ///     n_i = ceil(W_i * e_i / S_i),    W_{i+1} = W_i - n_i
    ///
    /// A quotient within 1e-9 of an integer (rounding noise) is that integer.
    ///
    /// Parameters
    /// ----------
    /// rewards : float64[n]
    ///     Reward of each leaf; finite.
    /// width : int
    ///     Continuations to hand out, 1 to 2**32.
    /// temperature : float
    ///     T, finite and above 0.
    ///
    /// Returns
    /// -------
    /// int64[n]
    ///     Continuations of each leaf; they sum to width exactly. The worst leaves may get 0.
    ///
    /// Raises
    /// ------
    /// InputError
    ///     An argument is out of range, or rewards is empty or not a C-contiguous float64 vector.
    #[pyfunction]
    #[pyo3(signature = (rewards, width, temperature = None), text_signature = "(rewards, width, temperature=0.2)")]
    fn rebase_weights<'py>(
        py: Python<'py>,
        rewards: &Bound<'py, PyAny>,
        width: &Bound<'py, PyAny>,
        temperature: Option<&Bound<'py, PyAny>>,
    ) -> Counts<'py> {
        let rewards = vector("rewards", rewards)?;
        let rewards = rewards.entries()?;
        let width = int("width", width)?;
        let temperature = temperature.map_or(Ok(0.2), |object| float("temperature", object))?;
        let counts = py.detach(|| allocate::rebase_weights(rewards, width, temperature))?;
        Ok(counts.into_pyarray(py))
    }

    /// Give each of the keep best leaves ceil(width / keep) continuations, all others none.
    ///
    /// Equal rewards go in the order given. The sum may exceed the width, as beam search has it,
    /// and may fall short where there are fewer leaves than keep.
    ///
    /// Parameters
    /// ----------
    /// rewards : float64[n]
    ///     Reward of each leaf; finite.
    /// width : int
    ///     Continuations to hand out, 1 to 2**32.
    /// keep : int or None
    ///     Leaves to keep, 1 to 2**32; None for ceil(sqrt(width)).
    ///
    /// Returns
    /// -------
    /// int64[n]
    ///     Continuations of each leaf.
    ///
    /// Raises
    /// ------
    /// InputError
    ///     An argument is out of range, or rewards is empty or not a C-contiguous float64 vector.
    #[pyfunction]
    #[pyo3(signature = (rewards, width, keep = None))]
    fn beam_weights<'py>(
        py: Python<'py>,
        rewards: &Bound<'py, PyAny>,
        width: &Bound<'py, PyAny>,
        keep: Option<&Bound<'py, PyAny>>,
    ) -> Counts<'py> {
        let rewards = vector("rewards", rewards)?;
        let rewards = rewards.entries()?;
        let width = int("width", width)?;
        let keep = keep.map(|object| int("keep", object)).transpose()?;
        let counts = py.detach(|| allocate::beam_weights(rewards, width, keep))?;
        Ok(counts.into_pyarray(py))
    }

    /// Give the best leaf of each subtree that subtree's share of the width, all others none.
    ///
    /// The first of equal leaves wins. A subtree without leaves leaves its share unused.
    ///
    /// Parameters
    /// ----------
    /// rewards : float64[n]
    ///     Reward of each leaf; finite.
    /// subtrees : int64[n]
    ///     Subtree of each leaf, 0 to s - 1.
    /// shares : int64[s]
    ///     Continuations of each subtree, 0 to 2**32.
    ///
    /// Returns
    /// -------
    /// int64[n]
    ///     Continuations of each leaf.
    ///
    /// Raises
    /// ------
    /// InputError
    ///     An entry is out of range, lengths differ, or an array is not a C-contiguous vector of
    ///     the right dtype.
    #[pyfunction]
    fn dvts_weights<'py>(
        py: Python<'py>,
        rewards: &Bound<'py, PyAny>,
        subtrees: &Bound<'py, PyAny>,
        shares: &Bound<'py, PyAny>,
    ) -> Counts<'py> {
        let (rewards, subtrees, shares) =
            (vector("rewards", rewards)?, vector("subtrees", subtrees)?, vector("shares", shares)?);
        let (rewards, subtrees, shares) =
            (rewards.entries()?, subtrees.entries()?, shares.entries()?);
        let counts = py.detach(|| allocate::dvts_weights(rewards, subtrees, shares))?;
        Ok(counts.into_pyarray(py))
    }

    /// Group rows whose directions are close.
    ///
    /// Agglomerative clustering with average linkage on the cosine distance
    /// d(u, v) = 1 - u.v / (|u| |v|), cut at a threshold: the same partition as scipy's
    /// fcluster(linkage(x, "average", "cosine"), threshold, "distance").
    ///
    /// Parameters
    /// ----------
    /// embeddings : float32[n, d] or float64[n, d]
    ///     One row for each step; finite, no zero row.
    /// threshold : float
    ///     Cosine distance of the cut, finite and at least 0.
    ///
    /// Returns
    /// -------
    /// int64[n]
    ///     Labels 0 to K - 1, numbered in order of first appearance.
    ///
    /// Raises
    /// ------
    /// InputError
    ///     A row is zero or not finite (the message has its index), threshold is out of range, or
    ///     embeddings is not a C-contiguous matrix of floats.
    #[pyfunction]
    #[pyo3(signature = (embeddings, threshold = None), text_signature = "(embeddings, threshold=0.05)")]
    fn cluster_steps<'py>(
        py: Python<'py>,
        embeddings: &Bound<'py, PyAny>,
        threshold: Option<&Bound<'py, PyAny>>,
    ) -> Counts<'py> {
        let threshold = threshold.map_or(Ok(0.05), |object| float("threshold", object))?;
        let labels = match matrix("embeddings", embeddings)? {
            Matrix::Single(array) => {
                let (entries, dim) = (array.entries()?, array.width());
                py.detach(|| cluster::cluster_steps(entries, dim, threshold))
            }
            Matrix::Double(array) => {
                let (entries, dim) = (array.entries()?, array.width());
                py.detach(|| cluster::cluster_steps(entries, dim, threshold))
            }
        }?;
        Ok(labels.into_pyarray(py))
    }
}
