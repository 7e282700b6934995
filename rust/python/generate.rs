//! `generate_instance`: the crate's random selection problems, for benches and tests in Python.

use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::InputError;
use super::args::{choice, int};
use super::convert::{signed, signed_ids, signed_parents};
use crate::generate::{ClusterKind, Generator};

/// Generate the state of a simulated search at its newest layer.
///
/// At each step every kept leaf gets its REBASE count of children; rewards walk at random from the
/// parent's. Equal arguments give the same instance on every platform.
///
/// Parameters
/// ----------
/// width : int
///     Leaves of every layer, 1 to 65,536.
/// depth : int
///     Layers below the root, 1 to 256.
/// clusters : {"inherited", "independent", "few", "distinct", "one"}
///     How leaves share clusters: most with their parent's children, or drawn from width / 3 labels
///     or from 3; or none, or all.
/// pruned : (float, float) or None
///     lambda_b and lambda_d of the selection made at every step before the last.
/// seed : int
///     Seed, at least 0.
///
/// Returns
/// -------
/// dict
///     parents int64[m], leaves int64[n], rewards float64[n], weights float64[n], clusters int64[n],
///     tokens int64[m].
///
/// Raises
/// ------
/// InputError
///     An argument is out of range.
#[pyfunction]
#[pyo3(
    signature = (width, depth, clusters = None, pruned = None, seed = None),
    text_signature = "(width, depth, clusters='inherited', pruned=None, seed=0)"
)]
pub(super) fn generate_instance<'py>(
    py: Python<'py>,
    width: &Bound<'py, PyAny>,
    depth: &Bound<'py, PyAny>,
    clusters: Option<&Bound<'py, PyAny>>,
    pruned: Option<&Bound<'py, PyAny>>,
    seed: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let kinds = [
        ("inherited", ClusterKind::Inherited),
        ("independent", ClusterKind::Independent),
        ("few", ClusterKind::Few),
        ("distinct", ClusterKind::Distinct),
        ("one", ClusterKind::One),
    ];
    let size = |name, object| {
        let given = int(name, object)?;
        usize::try_from(given).map_err(|_| negative(name, given))
    };
    let seed = seed.map_or(Ok(0), |object| int("seed", object))?;
    let generator = Generator {
        width: size("width", width)?,
        depth: size("depth", depth)?,
        clusters: clusters
            .map_or(Ok(ClusterKind::default()), |object| choice("clusters", object, &kinds))?,
        pruned: pruned.map(pair).transpose()?,
        seed: u64::try_from(seed).map_err(|_| negative("seed", seed))?,
    };
    let instance = py.detach(|| generator.generate())?;
    let arrays = PyDict::new(py);
    arrays.set_item("parents", signed_parents(&instance.parents).into_pyarray(py))?;
    arrays.set_item("leaves", signed_ids(&instance.leaves).into_pyarray(py))?;
    arrays.set_item("rewards", instance.rewards.into_pyarray(py))?;
    arrays.set_item("weights", instance.weights.into_pyarray(py))?;
    arrays.set_item("clusters", signed(instance.clusters).into_pyarray(py))?;
    arrays.set_item("tokens", signed(instance.tokens).into_pyarray(py))?;
    Ok(arrays)
}

fn negative(name: &str, given: i64) -> PyErr {
    InputError::new_err(format!("{name} is {given}: it must be at least 0"))
}

fn pair(object: &Bound<'_, PyAny>) -> PyResult<(f64, f64)> {
    object.extract().map_err(|_| {
        InputError::new_err("pruned: it must be None or two floats, lambda_b and lambda_d")
    })
}
