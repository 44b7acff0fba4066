//! Whether what a request brings and asks for fits the model, in every form of the protocol.

use berth_domain::tensor::{Datatype, Dimension, TensorSpec};
use berth_inference::Tensor;

use crate::failure::{Code, Failure};

/// Most dimensions of a tensor; no runtime goes beyond.
pub(super) const RANK_LIMIT: usize = 32;

/// Parameters that would change what the answer means, if they were honored. Ignoring them would mislead.
pub(super) const UNSUPPORTED: [&str; 5] = [
    "classification",
    "sequence_id",
    "shared_memory_byte_size",
    "shared_memory_offset",
    "shared_memory_region",
];

/// A parameter that cannot be honored.
pub(super) fn unsupported(field: String) -> Failure {
    let message = format!("`{field}` is not supported here.");
    Failure::of(Code::UnsupportedParameter, field, message)
}

/// The model's input called `name`.
pub(super) fn input<'s>(
    field: String,
    name: &str,
    specs: &'s [TensorSpec],
) -> Result<&'s TensorSpec, Failure> {
    let spec = specs.iter().find(|spec| spec.name == name);
    spec.ok_or_else(|| {
        let known: Vec<_> = specs.iter().map(|spec| format!("`{}`", spec.name)).collect();
        let message = format!("The model has no input `{name}`; it has {}.", known.join(", "));
        Failure::of(Code::UnknownTensor, field, message)
    })
}

/// Checks that `text` is the datatype of `spec`.
pub(super) fn datatype(field: &str, text: &str, spec: &TensorSpec) -> Result<(), Failure> {
    let datatype: Datatype = text.parse().map_err(|_| {
        let message = format!("There is no datatype `{text}`.");
        Failure::of(Code::InvalidValue, field, message)
    })?;
    if datatype == spec.datatype {
        return Ok(());
    }
    let message = format!(
        "The input `{}` is {}, and {text} was given.",
        spec.name,
        spec.datatype.as_str()
    );
    Err(Failure::of(Code::DatatypeMismatch, field, message))
}

/// A shape with more dimensions than any tensor.
pub(super) fn too_many_dimensions(field: &str) -> Failure {
    let message = format!("A tensor has {RANK_LIMIT} dimensions at most.");
    Failure::of(Code::InvalidValue, field, message)
}

/// An extent below 0.
pub(super) fn negative(place: &str) -> Failure {
    Failure::of(Code::InvalidValue, place, format!("`{place}` is negative."))
}

/// Checks that `shape` fits `spec`.
pub(super) fn shape(field: &str, shape: &[usize], spec: &TensorSpec) -> Result<(), Failure> {
    if spec.fits(shape) {
        return Ok(());
    }
    let declared: Vec<_> = spec
        .shape
        .iter()
        .map(|dimension| dimension.wire().to_string())
        .collect();
    let message = format!(
        "The input `{}` is of shape [{}], where -1 is open, and {shape:?} was given.",
        spec.name,
        declared.join(", ")
    );
    Err(Failure::of(Code::ShapeMismatch, field, message))
}

/// The shape of a lone tensor of so many bytes: the extents that are open follow from the size. The first of several is 1.
pub(super) fn implied_shape(spec: &TensorSpec, bytes: usize) -> Result<Vec<usize>, Failure> {
    let open = spec.shape.iter().filter(|dimension| dimension.extent().is_none());
    let mut open = open.count();
    let fixed: usize = spec
        .shape
        .iter()
        .filter_map(Dimension::extent)
        .fold(1, usize::saturating_mul);
    let step = spec
        .datatype
        .size_bytes()
        .map(|size| size.saturating_mul(fixed).max(1));
    let shape = spec.shape.iter().map(|dimension| {
        dimension.extent().unwrap_or_else(|| {
            open -= 1;
            match step {
                Some(step) if open == 0 => bytes / step,
                _ => 1,
            }
        })
    });
    let shape: Vec<usize> = shape.collect();
    if shape.len() > RANK_LIMIT {
        return Err(too_many_dimensions("inputs[0].shape"));
    }
    Ok(shape)
}

/// The inputs that were given so far, by name.
#[derive(Debug, Default)]
pub(super) struct Inputs(Vec<(String, Tensor)>);

impl Inputs {
    /// One more. Fails when it is there already; `field` names it.
    pub(super) fn add(&mut self, field: String, name: &str, tensor: Tensor) -> Result<(), Failure> {
        if self.0.iter().any(|(earlier, _)| earlier == name) {
            let message = format!("The input `{name}` is given twice.");
            return Err(Failure::of(Code::DuplicateTensor, field, message));
        }
        self.0.push((name.to_owned(), tensor));
        Ok(())
    }

    /// All of them. Fails when one is missing.
    pub(super) fn complete(self, specs: &[TensorSpec]) -> Result<Vec<(String, Tensor)>, Failure> {
        let missing = specs
            .iter()
            .find(|spec| !self.0.iter().any(|(name, _)| spec.name == *name));
        match missing {
            None => Ok(self.0),
            Some(spec) => Err(Failure::of(
                Code::MissingTensor,
                "inputs",
                format!("The input `{}` is missing.", spec.name),
            )),
        }
    }
}

/// The model's output called `name`, which is not among those that are wanted already.
pub(super) fn output<'s>(
    field: String,
    name: &str,
    earlier: impl IntoIterator<Item = &'s TensorSpec>,
    specs: &'s [TensorSpec],
) -> Result<&'s TensorSpec, Failure> {
    let Some(spec) = specs.iter().find(|spec| spec.name == name) else {
        let message = format!("The model has no output `{name}`.");
        return Err(Failure::of(Code::UnknownTensor, field, message));
    };
    if earlier.into_iter().any(|earlier| earlier.name == name) {
        let message = format!("The output `{name}` is asked for twice.");
        return Err(Failure::of(Code::DuplicateTensor, field, message));
    }
    Ok(spec)
}
