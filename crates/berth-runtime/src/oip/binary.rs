//! The elements of a tensor in binary: little-endian, row-major, without padding. A truth value is one byte; a byte string is
//! its length in four bytes, and its bytes.
//!
//! A tensor owns its elements, so numbers are copied once, as one block; it costs some 50 µs for a megabyte.

use berth_domain::tensor::Datatype;
use berth_inference::Tensor;
use berth_inference::tensor::{Elements, count};
use bytemuck::Pod;

use crate::failure::{Code, Failure};

// Numbers are taken as they lie in memory.
const _: () = assert!(
    cfg!(target_endian = "little"),
    "binary tensors need a little-endian machine"
);

/// The bytes of the length before a byte string.
const LENGTH_BYTES: usize = 4;

/// The tensor of this type and shape whose elements are `bytes`, which `field` brings.
pub(super) fn tensor(
    field: &str,
    bytes: &[u8],
    datatype: Datatype,
    shape: Vec<usize>,
) -> Result<Tensor, Failure> {
    let mismatch = |message: String| Failure::of(Code::DataMismatch, field, message);
    let Some(count) = count(&shape) else {
        return Err(mismatch(format!("The shape {shape:?} is too large.")));
    };
    if let Some(size) = datatype.size_bytes()
        && count.checked_mul(size) != Some(bytes.len())
    {
        return Err(mismatch(format!(
            "A tensor of the shape {shape:?} has {count} elements of {size} bytes each, and there are {} bytes.",
            bytes.len()
        )));
    }
    let elements = match datatype {
        Datatype::Bool => truths(field, bytes)?.into(),
        Datatype::Uint8 => bytes.to_vec().into(),
        Datatype::Uint16 => Elements::Uint16(numbers(bytes)),
        Datatype::Uint32 => Elements::Uint32(numbers(bytes)),
        Datatype::Uint64 => Elements::Uint64(numbers(bytes)),
        Datatype::Int8 => Elements::Int8(numbers(bytes)),
        Datatype::Int16 => Elements::Int16(numbers(bytes)),
        Datatype::Int32 => Elements::Int32(numbers(bytes)),
        Datatype::Int64 => Elements::Int64(numbers(bytes)),
        Datatype::Fp16 => Elements::Fp16(numbers(bytes)),
        Datatype::Bf16 => Elements::Bf16(numbers(bytes)),
        Datatype::Fp32 => Elements::Fp32(numbers(bytes)),
        Datatype::Fp64 => Elements::Fp64(numbers(bytes)),
        Datatype::Bytes => strings(field, bytes, count)?.into(),
    };
    Tensor::new(shape, elements).map_err(|error| mismatch(format!("The tensor is wrong: {error}.")))
}

/// Numbers that lie in `bytes`, wherever those lie.
pub(super) fn numbers<T: Pod>(bytes: &[u8]) -> Vec<T> {
    let mut numbers = vec![T::zeroed(); bytes.len() / size_of::<T>()];
    let whole = numbers.len() * size_of::<T>();
    bytemuck::cast_slice_mut(&mut numbers).copy_from_slice(&bytes[..whole]);
    numbers
}

fn truths(field: &str, bytes: &[u8]) -> Result<Vec<bool>, Failure> {
    let truth = |(index, &byte): (usize, &u8)| match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Failure::of(
            Code::DataOutOfRange,
            field,
            format!("Element {index} is the byte {byte}; a truth value is 0 or 1."),
        )),
    };
    bytes.iter().enumerate().map(truth).collect()
}

fn strings(field: &str, bytes: &[u8], count: usize) -> Result<Vec<Vec<u8>>, Failure> {
    let mismatch = |message: String| Err(Failure::of(Code::DataMismatch, field, message));
    // Each has a length, so a shape that promises more than there is reserves nothing.
    if count > bytes.len() / LENGTH_BYTES {
        return mismatch(format!(
            "{count} byte strings have at least {LENGTH_BYTES} bytes each, and there are {} bytes.",
            bytes.len()
        ));
    }
    let mut strings = Vec::with_capacity(count);
    let mut rest = bytes;
    while strings.len() < count {
        let string = rest.split_first_chunk().and_then(|(length, after)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            after.split_at_checked(length)
        });
        let Some((string, after)) = string else {
            let index = strings.len();
            return mismatch(format!("The bytes end in the middle of the byte string {index}."));
        };
        strings.push(string.to_vec());
        rest = after;
    }
    if !rest.is_empty() {
        return mismatch(format!(
            "{} bytes are left after the {count} byte strings of the shape.",
            rest.len()
        ));
    }
    Ok(strings)
}

/// How many bytes the elements take.
pub(super) fn size(elements: &Elements) -> usize {
    match elements {
        Elements::Bytes(strings) => strings.iter().map(|string| LENGTH_BYTES + string.len()).sum(),
        numbers => numbers.len() * numbers.datatype().size_bytes().unwrap_or_default(),
    }
}

/// Writes the elements.
pub(super) fn write(out: &mut Vec<u8>, elements: &Elements) {
    match elements {
        Elements::Bool(truths) => out.extend(truths.iter().map(|&truth| u8::from(truth))),
        Elements::Uint8(numbers) => out.extend_from_slice(numbers),
        Elements::Uint16(numbers) => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        Elements::Uint32(numbers) => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        Elements::Uint64(numbers) => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        Elements::Int8(numbers) => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        Elements::Int16(numbers) => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        Elements::Int32(numbers) => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        Elements::Int64(numbers) => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        Elements::Fp16(numbers) => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        Elements::Bf16(numbers) => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        Elements::Fp32(numbers) => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        Elements::Fp64(numbers) => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        Elements::Bytes(strings) => {
            for string in strings {
                // No string of a model has 4 GiB: an answer has a limit far below.
                let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(string);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_inference::tensor::Fill;
    use proptest::prelude::*;

    use super::*;

    fn written(elements: &Elements) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, elements);
        out
    }

    fn code(bytes: &[u8], datatype: Datatype, shape: &[usize]) -> Code {
        let failure = tensor("x", bytes, datatype, shape.to_vec()).expect_err("it is refused");
        assert_eq!(failure.param.as_deref(), Some("x"));
        failure.code
    }

    #[test]
    fn every_datatype_is_read_as_it_was_written() {
        for &datatype in Datatype::ALL {
            for (fill, shape) in [
                (Fill::Zero, vec![2, 3]),
                (Fill::One, vec![]),
                (Fill::One, vec![0, 4]),
            ] {
                let made = Tensor::filled(datatype, fill, shape.clone()).expect("fits");
                let bytes = written(made.elements());
                assert_eq!(bytes.len(), size(made.elements()), "{datatype:?}");
                assert_eq!(tensor("x", &bytes, datatype, shape), Ok(made), "{datatype:?}");
            }
        }
    }

    #[test]
    fn numbers_are_little_endian_and_strings_have_lengths() {
        assert_eq!(written(&vec![0x0102u16, 3].into()), [2, 1, 3, 0]);
        assert_eq!(written(&vec![1f32].into()), [0, 0, 0x80, 0x3f]);
        assert_eq!(written(&vec![true, false].into()), [1, 0]);
        assert_eq!(
            written(&vec![b"ab".to_vec(), vec![]].into()),
            [2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0]
        );
        // Wherever they lie in memory.
        let bytes = [9, 1, 0, 0, 0, 0, 0, 0, 0];
        let read = tensor("x", &bytes[1..], Datatype::Int64, vec![1]).expect("fits");
        assert_eq!(read.elements(), &Elements::Int64(vec![1]));
    }

    #[test]
    fn bytes_that_do_not_fit_are_refused() {
        for (bytes, datatype, shape, expected) in [
            (&[0u8; 7][..], Datatype::Fp32, &[2][..], Code::DataMismatch),
            (&[0; 12], Datatype::Fp32, &[2], Code::DataMismatch),
            (&[], Datatype::Fp32, &[usize::MAX, usize::MAX], Code::DataMismatch),
            (&[0; 8], Datatype::Fp64, &[1 << 62], Code::DataMismatch),
            (&[2], Datatype::Bool, &[1], Code::DataOutOfRange),
            (&[5, 0, 0, 0, 1], Datatype::Bytes, &[1], Code::DataMismatch),
            (&[0xff; 4], Datatype::Bytes, &[1], Code::DataMismatch),
            (&[0; 8], Datatype::Bytes, &[1], Code::DataMismatch),
            (&[0; 4], Datatype::Bytes, &[1 << 40], Code::DataMismatch),
        ] {
            assert_eq!(code(bytes, datatype, shape), expected, "{datatype:?} {shape:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_what_they_are_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            datatype in proptest::sample::select(Datatype::ALL),
            extent in 0usize..20,
        ) {
            if let Ok(tensor) = tensor("x", &bytes, datatype, vec![extent]) {
                prop_assert_eq!(written(tensor.elements()), bytes);
            }
        }

        #[test]
        fn any_strings_come_back(strings in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9)) {
            let shape = vec![strings.len()];
            let bytes = written(&strings.clone().into());
            let read = tensor("x", &bytes, Datatype::Bytes, shape).expect("is read");
            prop_assert_eq!(read.into_parts().1, Elements::Bytes(strings));
        }
    }
}
