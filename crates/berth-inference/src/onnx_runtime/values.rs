//! Tensors into the runtime's values and back.

use std::ffi::{c_char, c_void};
use std::{ptr, slice};

use half::{bf16, f16};
use ort::AsPointer as _;
use ort::memory::Allocator;
use ort::ortsys;
use ort::session::SessionInputValue;
use ort::value::{DynTensor, DynValue, PrimitiveTensorElementType, TensorElementType, TensorRef};

use crate::error::Error;
use crate::tensor::{Elements, Tensor};

/// A value that borrows the elements; only strings are copied, since the runtime keeps them in a form of its own.
pub(crate) fn to_runtime(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    let shape = tensor.shape();
    match tensor.elements() {
        Elements::Bool(elements) => view(shape, elements),
        Elements::Uint8(elements) => view(shape, elements),
        Elements::Uint16(elements) => view(shape, elements),
        Elements::Uint32(elements) => view(shape, elements),
        Elements::Uint64(elements) => view(shape, elements),
        Elements::Int8(elements) => view(shape, elements),
        Elements::Int16(elements) => view(shape, elements),
        Elements::Int32(elements) => view(shape, elements),
        Elements::Int64(elements) => view(shape, elements),
        Elements::Fp16(elements) => view(shape, elements),
        Elements::Bf16(elements) => view(shape, elements),
        Elements::Fp32(elements) => view(shape, elements),
        Elements::Fp64(elements) => view(shape, elements),
        Elements::Bytes(elements) => strings(shape, elements),
    }
}

fn view<'a, T>(shape: &'a [usize], elements: &'a [T]) -> ort::Result<SessionInputValue<'a>>
where
    T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    Ok(TensorRef::from_array_view((shape, elements))?.into())
}

/// A string tensor. The binding's own constructor refuses null bytes; the runtime does not.
#[expect(unsafe_code, reason = "the binding cannot make strings that hold null bytes")]
fn strings(shape: &[usize], elements: &[Vec<u8>]) -> ort::Result<SessionInputValue<'static>> {
    let value = DynTensor::new(&Allocator::default(), TensorElementType::String, shape)?;
    for (index, element) in elements.iter().enumerate() {
        let mut buffer: *mut c_char = ptr::null_mut();
        // SAFETY: the value is a string tensor of this shape, made above and shared with nobody, and `index` is in it.
        ortsys![unsafe GetResizedStringTensorElementBuffer(value.ptr().cast_mut(), index, element.len(), &raw mut buffer)?];
        if !element.is_empty() {
            // SAFETY: the call above gave a buffer of `element.len()` bytes, and nothing else points into it.
            unsafe { ptr::copy_nonoverlapping(element.as_ptr(), buffer.cast(), element.len()) };
        }
    }
    Ok(value.into())
}

/// A copy of a value that the runtime gave.
pub(crate) fn from_runtime(name: &str, value: &DynValue) -> Result<Tensor, Error> {
    let failed = |source: ort::Error| Error::Failed {
        message: format!("the output `{name}` cannot be read: {}", source.message()),
        source: Some(Box::new(source)),
    };
    let Some(element) = value.dtype().tensor_type() else {
        return Err(Error::failed(format!("the output `{name}` is not a tensor")));
    };
    let shape = value
        .shape()
        .iter()
        .map(|&extent| usize::try_from(extent).unwrap_or(0))
        .collect();
    let elements = match element {
        TensorElementType::Bool => bools(value).map(Elements::from),
        TensorElementType::Uint8 => copy::<u8>(value),
        TensorElementType::Uint16 => copy::<u16>(value),
        TensorElementType::Uint32 => copy::<u32>(value),
        TensorElementType::Uint64 => copy::<u64>(value),
        TensorElementType::Int8 => copy::<i8>(value),
        TensorElementType::Int16 => copy::<i16>(value),
        TensorElementType::Int32 => copy::<i32>(value),
        TensorElementType::Int64 => copy::<i64>(value),
        TensorElementType::Float16 => copy::<f16>(value),
        TensorElementType::Bfloat16 => copy::<bf16>(value),
        TensorElementType::Float32 => copy::<f32>(value),
        TensorElementType::Float64 => copy::<f64>(value),
        TensorElementType::String => bytes(value).map(Elements::from),
        other => {
            return Err(Error::failed(format!(
                "the output `{name}` has elements of type {other}, which cannot be served"
            )));
        }
    };
    Tensor::new(shape, elements.map_err(failed)?).map_err(|source| Error::Failed {
        message: format!("the output `{name}` does not fit its shape"),
        source: Some(Box::new(source)),
    })
}

fn copy<T>(value: &DynValue) -> ort::Result<Elements>
where
    T: PrimitiveTensorElementType + Clone,
    Elements: From<Vec<T>>,
{
    Ok(value.try_extract_tensor::<T>()?.1.to_vec().into())
}

/// Truth values, read as bytes: a graph may hold any byte in them, and a `bool` may not.
#[expect(
    unsafe_code,
    reason = "the binding reads truth values as `bool`, which some graphs would make unsound"
)]
fn bools(value: &DynValue) -> ort::Result<Vec<bool>> {
    let count = value.shape().num_elements();
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut data: *mut c_void = ptr::null_mut();
    // SAFETY: the value is a tensor on the CPU (a run without bindings gives no others), and the out-pointer is valid.
    ortsys![unsafe GetTensorMutableData(value.ptr().cast_mut(), &raw mut data)?];
    // SAFETY: a tensor of truth values has one byte for each element, and it lives as long as `value`.
    let bytes = unsafe { slice::from_raw_parts(data.cast_const().cast::<u8>(), count) };
    Ok(bytes.iter().map(|&byte| byte != 0).collect())
}

/// Strings as bytes; the binding insists on UTF-8.
fn bytes(value: &DynValue) -> ort::Result<Vec<Vec<u8>>> {
    let count = value.shape().num_elements();
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut length = 0;
    // SAFETY: the value is a string tensor, and the out-pointer is valid.
    ortsys![unsafe GetStringTensorDataLength(value.ptr(), &raw mut length)?];
    let mut content = vec![0u8; length];
    let mut offsets = vec![0usize; count];
    // SAFETY: both buffers have the sizes that are stated, and the tensor has `count` elements of `length` bytes.
    ortsys![unsafe GetStringTensorContent(value.ptr(), content.as_mut_ptr().cast(), length, offsets.as_mut_ptr(), count)?];
    let ends = offsets.iter().skip(1).copied().chain([length]);
    Ok(offsets
        .iter()
        .zip(ends)
        .map(|(&start, end)| content.get(start..end).unwrap_or_default().to_vec())
        .collect())
}
