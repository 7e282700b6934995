//! The Python extension `ets._core`: borrows arguments, releases the GIL, converts, maps errors.
//!
//! Every computation runs detached from the interpreter, for as long as it takes. Arrays are borrowed,
//! and what is read of one more than once is copied first: a caller that writes to one meanwhile gets
//! an answer to some mixture of the two, or an error, and never a panic.

#![allow(clippy::doc_markdown, reason = "these comments are Python docstrings, in numpydoc form")]

mod allocate;
mod args;
mod convert;
mod fork;
mod generate;
mod held;
mod interrupt;
mod pickling;
mod selection;
mod tree;

use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
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
            Error::Memory { .. } => PyMemoryError::new_err(error.to_string()),
            _ => InputError::new_err(error.to_string()),
        }
    }
}

/// The Rust core of ets.
#[pymodule]
mod _core {
    use numpy::{IntoPyArray, PyArray1};
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::allocate::{
        beam_weights, dora_weights, dvts_weights, particle_weights, rebase_weights,
    };
    use super::args::{Matrix, float, matrix};
    use super::convert::signed;
    #[pymodule_export]
    use super::generate::generate_instance;
    #[pymodule_export]
    use super::held::{Held, restore_held};
    #[pymodule_export]
    use super::interrupt::Interrupt;
    use super::interrupt::Watch;
    #[pymodule_export]
    use super::selection::{Selection, restore_selection, select_leaves};
    #[pymodule_export]
    use super::tree::{Tree, restore_contracted, restore_tree};
    #[pymodule_export]
    use super::{InputError, SolverError};
    use crate::cluster;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        super::fork::register(module)
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
    /// interrupt : Interrupt or None
    ///     Ends the call early, from any thread. The labels are those of the merges by then: every
    ///     group is one of the whole answer or a part of one. Ctrl-C in the main thread ends the call
    ///     without one.
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
    /// MemoryError
    ///     Too many rows hang together within the threshold.
    #[pyfunction]
    #[pyo3(
        signature = (embeddings, threshold = None, *, interrupt = None),
        text_signature = "(embeddings, threshold=0.05, *, interrupt=None)"
    )]
    fn cluster_steps<'py>(
        py: Python<'py>,
        embeddings: &Bound<'py, PyAny>,
        threshold: Option<&Bound<'py, PyAny>>,
        interrupt: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let threshold = threshold.map_or(Ok(0.05), |object| float("threshold", object))?;
        let watch = Watch::new(interrupt)?;
        let until = Some(&watch.interrupt);
        let labels = match matrix("embeddings", embeddings)? {
            Matrix::Single(array) => {
                let (entries, dim) = (array.copied(py)?, array.width());
                py.detach(|| cluster::cluster_steps_until(&entries, dim, threshold, until))
            }
            Matrix::Double(array) => {
                let (entries, dim) = (array.copied(py)?, array.width());
                py.detach(|| cluster::cluster_steps_until(&entries, dim, threshold, until))
            }
        }?;
        watch.check()?;
        Ok(signed(labels).into_pyarray(py))
    }
}
