//! Arguments in: arrays borrowed as they are, everything else refused with its name.

use numpy::{
    Element, Ix1, Ix2, PyArray, PyArrayMethods, PyReadonlyArray, PyUntypedArray,
    PyUntypedArrayMethods, ndarray::Dimension,
};
use pyo3::{
    PyTypeInfo,
    exceptions::{PyMemoryError, PyTypeError},
    prelude::*,
};

use super::InputError;

/// An element type that an array argument may have.
pub(super) trait Dtype: Element + Copy {
    const NAME: &'static str;
}

impl Dtype for f64 {
    const NAME: &'static str = "float64";
}

impl Dtype for f32 {
    const NAME: &'static str = "float32";
}

impl Dtype for i64 {
    const NAME: &'static str = "int64";
}

/// A borrowed, C-contiguous array.
pub(super) struct Array<'py, T: Dtype, D: Dimension>(PyReadonlyArray<'py, T, D>);

impl<'py, T: Dtype, D: Dimension> Array<'py, T, D> {
    /// Borrows an argument, or `None` where its dtype or number of dimensions is another.
    fn try_borrow(name: &str, object: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let Ok(array) = object.cast::<PyArray<T, D>>() else { return Ok(None) };
        refuse_masked(name, object)?;
        if !array.is_c_contiguous() {
            return Err(InputError::new_err(format!(
                "{name} is not C-contiguous: pass numpy.ascontiguousarray({name})"
            )));
        }
        let borrowed = array
            .try_readonly()
            .map_err(|_| InputError::new_err(format!("{name} is being written to elsewhere")))?;
        Ok(Some(Self(borrowed)))
    }

    /// The entries, row by row.
    pub fn entries(&self) -> PyResult<&[T]> {
        // Only a misaligned array gets here; it is as refused as a strided one.
        self.0.as_slice().map_err(|_| InputError::new_err("an array is misaligned: pass a copy"))
    }

    /// A copy of the entries, which others may write to meanwhile.
    pub fn copied(&self, py: Python<'_>) -> PyResult<Vec<T>> {
        let entries = self.entries()?;
        let copy = py.detach(|| {
            let mut copy = Vec::new();
            copy.try_reserve_exact(entries.len()).ok()?;
            copy.extend_from_slice(entries);
            Some(copy)
        });
        copy.ok_or_else(|| PyMemoryError::new_err("no memory is left for a copy of an array"))
    }

    /// The number of columns of a matrix, or of entries of a vector.
    pub fn width(&self) -> usize {
        self.0.shape().last().copied().unwrap_or(0)
    }
}

/// Borrows a vector.
pub(super) fn vector<'py, T: Dtype>(
    name: &str,
    object: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, T, Ix1>> {
    Array::try_borrow(name, object)?.ok_or_else(|| refused(name, T::NAME, "(n,)", object))
}

/// Borrows a vector that may be `None`.
pub(super) fn maybe_vector<'py, T: Dtype>(
    name: &str,
    object: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Array<'py, T, Ix1>>> {
    object.map(|object| vector(name, object)).transpose()
}

/// A borrowed matrix of either float type.
pub(super) enum Matrix<'py> {
    Single(Array<'py, f32, Ix2>),
    Double(Array<'py, f64, Ix2>),
}

/// Borrows a matrix of floats.
pub(super) fn matrix<'py>(name: &str, object: &Bound<'py, PyAny>) -> PyResult<Matrix<'py>> {
    if let Some(single) = Array::try_borrow(name, object)? {
        return Ok(Matrix::Single(single));
    }
    match Array::try_borrow(name, object)? {
        Some(double) => Ok(Matrix::Double(double)),
        None => Err(refused(name, "float32 or float64", "(n, d)", object)),
    }
}

/// Reads an integer; also numpy's, but no float, no bool and no string.
pub(super) fn int(name: &str, object: &Bound<'_, PyAny>) -> PyResult<i64> {
    number(object).map_err(|_| {
        InputError::new_err(format!("{name} is {}: it must be an int of 64 bits", shown(object)))
    })
}

/// Reads an integer that is at least 0, up to the largest of 64 bits.
pub(super) fn unsigned(name: &str, object: &Bound<'_, PyAny>) -> PyResult<u64> {
    number(object).map_err(|_| {
        let shown = shown(object);
        InputError::new_err(format!("{name} is {shown}: it must be an int from 0 to 2**64 - 1"))
    })
}

/// Reads a float, or an integer as one.
pub(super) fn float(name: &str, object: &Bound<'_, PyAny>) -> PyResult<f64> {
    number(object).map_err(|_| {
        InputError::new_err(format!("{name} is {}: it must be a float", shown(object)))
    })
}

/// Reads a number, which no bool and no array is.
fn number<'py, T: FromPyObjectOwned<'py, Error = PyErr>>(
    object: &Bound<'py, PyAny>,
) -> PyResult<T> {
    let kind = object.get_type().name()?.to_string();
    if kind.starts_with("bool") || object.cast::<PyUntypedArray>().is_ok() {
        return Err(PyTypeError::new_err(kind));
    }
    object.extract()
}

/// Reads one of a few strings.
pub(super) fn choice<T: Copy>(
    name: &str,
    object: &Bound<'_, PyAny>,
    options: &[(&str, T)],
) -> PyResult<T> {
    let given: Option<String> = object.extract().ok();
    let found = options.iter().find(|(option, _)| given.as_deref() == Some(*option));
    found.map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<String> = options.iter().map(|(option, _)| format!("{option:?}")).collect();
        let (names, shown) = (names.join(" or "), shown(object));
        InputError::new_err(format!("{name} is {shown}: it must be {names}"))
    })
}

/// Refuses an array some of whose entries are said to be missing.
fn refuse_masked(name: &str, object: &Bound<'_, PyAny>) -> PyResult<()> {
    // An array as such, as nearly all are, has no mask.
    if object.get_type().is(PyUntypedArray::type_object(object.py())) {
        return Ok(());
    }
    let masked = object.py().import("numpy.ma")?.getattr("MaskedArray")?;
    if object.is_instance(&masked)? {
        return Err(InputError::new_err(format!(
            "{name} is a masked array: it must be one without a mask, {name}.filled(value)"
        )));
    }
    Ok(())
}

fn refused(name: &str, dtype: &str, shape: &str, object: &Bound<'_, PyAny>) -> PyErr {
    let got = match object.cast::<PyUntypedArray>() {
        Ok(array) => format!("a {} array of {} dimensions", array.dtype(), array.ndim()),
        Err(_) => match object.get_type().name() {
            Ok(kind) => format!("of type {kind}"),
            Err(_) => "no array".to_owned(),
        },
    };
    InputError::new_err(format!(
        "{name} is {got}: it must be a {dtype} numpy array of shape {shape}"
    ))
}

/// Shows a value in a message, on one line and shortened.
pub(super) fn shown(object: &Bound<'_, PyAny>) -> String {
    let text = object.repr().map_or_else(|_| "not printable".to_owned(), |text| text.to_string());
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= 60 {
        text
    } else {
        text.chars().take(57).collect::<String>() + "..."
    }
}
