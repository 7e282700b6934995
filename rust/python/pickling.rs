//! Pickles: numbered, and checked when they are read. Each class has its own fields beside it.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::InputError;
use super::args::int;

/// Of every class's fields; another one is not read.
pub(super) const VERSION: i64 = 1;

/// What `__reduce__` returns: a function of `ets._core`, and what it is to be called with.
pub(super) fn reduced<'py>(
    py: Python<'py>,
    restore: &str,
    state: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>,
) -> PyResult<Bound<'py, PyTuple>> {
    let restore = py.import("ets._core")?.getattr(restore)?;
    (restore, state.into_pyobject(py)?).into_pyobject(py)
}

/// Makes an object of the fields behind the version; whatever is wrong is an InputError.
pub(super) fn read<'py, const N: usize, R>(
    what: &str,
    state: &Bound<'py, PyTuple>,
    make: impl FnOnce([Bound<'py, PyAny>; N]) -> PyResult<R>,
) -> PyResult<R> {
    let result =
        state.get_item(0).and_then(|version| int("version", &version)).and_then(|version| {
            if version != VERSION {
                let message = format!("version is {version}: it must be {VERSION}");
                return Err(InputError::new_err(message));
            }
            let fields: Vec<_> = state.iter().skip(1).collect();
            let wrong = |fields: Vec<_>| {
                InputError::new_err(format!("it has {} fields: it must have {N}", fields.len()))
            };
            make(fields.try_into().map_err(wrong)?)
        });
    result.map_err(|error| {
        let why = error.value(state.py());
        InputError::new_err(format!("not a pickled {what} of this version of ets: {why}"))
    })
}
