//! `Interrupt`, and Ctrl-C in the midst of a call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use super::InputError;
use super::args::shown;
use crate::interrupt;

/// Ends running calls of select_leaves, Tree.select and cluster_steps, from any thread.
///
/// Each returns what it has by then, as at a time limit: select_leaves the best selection so far, not
/// proven, within milliseconds. A set interrupt stays set, and also ends the calls to come.
///
/// In the main thread Ctrl-C ends such a call without one, with what the signal's handler raises.
#[pyclass(frozen, module = "ets._core")]
#[derive(Default)]
pub(super) struct Interrupt {
    inner: interrupt::Interrupt,
}

#[pymethods]
impl Interrupt {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// End the calls that were given this interrupt, at their next look.
    fn set(&self) {
        self.inner.set();
    }

    /// Whether it was set.
    fn is_set(&self) -> bool {
        self.inner.is_set()
    }

    fn __repr__(&self) -> &'static str {
        if self.is_set() { "<Interrupt: set>" } else { "<Interrupt: not set>" }
    }
}

/// What ends one call early: its `interrupt` argument, and signals where it runs in the main thread.
pub(super) struct Watch {
    pub interrupt: interrupt::Interrupt,
    raised: Arc<Mutex<Option<PyErr>>>,
}

impl Watch {
    /// Reads the `interrupt` argument.
    pub fn new(argument: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let given = match argument.map(|object| (object, object.cast::<Interrupt>())) {
            None => interrupt::Interrupt::new(),
            Some((_, Ok(given))) => given.get().inner.clone(),
            Some((object, Err(_))) => {
                let shown = shown(object);
                let message =
                    format!("interrupt is {shown}: it must be an ets.tree_search.Interrupt");
                return Err(InputError::new_err(message));
            }
        };
        let raised = Arc::new(Mutex::new(None));
        let (heard, elsewhere) = (Arc::clone(&raised), AtomicBool::new(false));
        let interrupt = given.asking(move || {
            if elsewhere.load(Ordering::Relaxed) {
                return false;
            }
            // At the interpreter's end there is nobody to compute for any more.
            Python::try_attach(|py| match check_signals(py, &elsewhere) {
                Ok(()) => false,
                Err(error) => {
                    *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    true
                }
            })
            .unwrap_or(true)
        });
        Ok(Self { interrupt, raised })
    }

    /// Raises what a signal's handler raised during the call.
    pub fn check(&self) -> PyResult<()> {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        raised.take().map_or(Ok(()), Err)
    }
}

/// Runs the handlers of signals that have come; notes where this is a thread that never runs any.
fn check_signals(py: Python<'_>, elsewhere: &AtomicBool) -> PyResult<()> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    if threading.call_method0("get_ident")?.eq(main)? {
        return py.check_signals();
    }
    elsewhere.store(true, Ordering::Relaxed);
    Ok(())
}
