//! Tensors as rows: put together for a run, and taken apart after it.

use berth_inference::Tensor;
use berth_inference::tensor::Elements;

/// How many rows all of these have; `None` when they differ or have none.
pub(super) fn rows_of(inputs: &[(String, Tensor)]) -> Option<usize> {
    let mut extents = inputs.iter().map(|(_, tensor)| tensor.shape().first().copied());
    let rows = extents.next()??;
    (rows > 0 && extents.all(|extent| extent == Some(rows))).then_some(rows)
}

macro_rules! by_type {
    ($($variant:ident)*) => {
        /// The rows of these tensors, one after the other; `None` when they are of different types.
        pub(super) fn join(parts: &[&Tensor]) -> Option<Tensor> {
            let first = parts.first()?;
            let rows: usize = parts.iter().map(|part| part.shape()[0]).sum();
            let elements: Elements = match first.elements() {
                $(Elements::$variant(_) => {
                    let count = parts.iter().map(|part| part.elements().len()).sum();
                    let mut all = Vec::with_capacity(count);
                    for part in parts {
                        let Elements::$variant(own) = part.elements() else {
                            return None;
                        };
                        all.extend_from_slice(own);
                    }
                    all.into()
                })*
            };
            let mut shape = first.shape().to_vec();
            shape[0] = rows;
            Tensor::new(shape, elements).ok()
        }

        /// A tensor cut along its rows; `None` when it does not have as many rows as all parts together.
        pub(super) fn split(tensor: &Tensor, rows: &[usize]) -> Option<Vec<Tensor>> {
            let (&extent, rest) = tensor.shape().split_first()?;
            if extent != rows.iter().sum::<usize>() {
                return None;
            }
            let stride: usize = rest.iter().product();
            let mut begin = 0;
            rows.iter().map(|&count| {
                let end = begin + count * stride;
                let elements: Elements = match tensor.elements() {
                    $(Elements::$variant(all) => all.get(begin..end)?.to_vec().into(),)*
                };
                begin = end;
                let shape = std::iter::once(count).chain(rest.iter().copied()).collect();
                Tensor::new(shape, elements).ok()
            })
            .collect()
        }
    };
}

by_type! { Bool Uint8 Uint16 Uint32 Uint64 Int8 Int16 Int32 Int64 Fp16 Bf16 Fp32 Fp64 Bytes }

/// Whether two results of the same rows are about the same. Rounding may differ between runs of different sizes, and the
/// owner of a model may have said that what is more is fine; rows that were mixed are something else altogether.
pub(super) fn alike(one: &Tensor, other: &Tensor) -> bool {
    const PART: f64 = 0.05;
    let (Some(ones), Some(others)) = (numbers(one.elements()), numbers(other.elements())) else {
        return one == other;
    };
    let largest = others
        .iter()
        .filter(|value| value.is_finite())
        .fold(0f64, |most, value| most.max(value.abs()));
    // Whole numbers may be rounded to their neighbors.
    let least: f64 = if is_float(one.elements()) { 1e-6 } else { 1.0 };
    let tolerance = least.max(PART * largest);
    let near = |(one, other): (&f64, &f64)| {
        (one - other).abs() <= tolerance || one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan()
    };
    one.shape() == other.shape() && ones.iter().zip(&others).all(near)
}

const fn is_float(elements: &Elements) -> bool {
    matches!(
        elements,
        Elements::Fp16(_) | Elements::Bf16(_) | Elements::Fp32(_) | Elements::Fp64(_)
    )
}

#[expect(clippy::cast_precision_loss, reason = "numbers are only compared roughly")]
fn numbers(elements: &Elements) -> Option<Vec<f64>> {
    Some(match elements {
        Elements::Uint8(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Uint16(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Uint32(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Uint64(all) => all.iter().map(|&value| value as f64).collect(),
        Elements::Int8(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Int16(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Int32(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Int64(all) => all.iter().map(|&value| value as f64).collect(),
        Elements::Fp16(all) => all.iter().map(|value| value.to_f64()).collect(),
        Elements::Bf16(all) => all.iter().map(|value| value.to_f64()).collect(),
        Elements::Fp32(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Fp64(all) => all.clone(),
        Elements::Bool(_) | Elements::Bytes(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(rows: usize, values: Vec<f32>) -> Tensor {
        let width = values.len() / rows;
        Tensor::new(vec![rows, width], values).expect("fits")
    }

    #[test]
    fn joined_rows_come_apart_again() {
        let (one, two) = (tensor(1, vec![1.0, 2.0]), tensor(2, vec![3.0, 4.0, 5.0, 6.0]));
        let joined = join(&[&one, &two]).expect("same type");
        assert_eq!(joined.shape(), [3, 2]);
        assert_eq!(split(&joined, &[1, 2]), Some(vec![one, two]));
        assert_eq!(split(&joined, &[1, 1]), None);
        let texts = Tensor::new(vec![1], vec![b"a".to_vec()]).expect("fits");
        assert_eq!(join(&[&joined, &texts]), None);
        let scalar = Tensor::new(vec![], vec![1f32]).expect("fits");
        assert_eq!(split(&scalar, &[1]), None);
    }

    #[test]
    fn rounding_is_alike_and_mixing_is_not() {
        let result = tensor(1, vec![0.1, -2.0, f32::NAN]);
        assert!(alike(&result, &tensor(1, vec![0.100_001, -2.01, f32::NAN])));
        assert!(!alike(&result, &tensor(1, vec![0.3, -2.0, f32::NAN])));
        assert!(!alike(&result, &tensor(1, vec![0.1, -2.0, 0.0])));
        let classes = |values: Vec<i64>| Tensor::new(vec![1, 2], values).expect("fits");
        assert!(alike(&classes(vec![7, 8]), &classes(vec![7, 9])));
        assert!(!alike(&classes(vec![7, 8]), &classes(vec![7, 90])));
    }
}
