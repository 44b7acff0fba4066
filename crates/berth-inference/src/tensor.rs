//! Tensors: typed elements in row-major order, and a shape.

use berth_domain::tensor::Datatype;
use half::{bf16, f16};

/// Why elements and shape do not make a tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The shape asks for another number of elements.
    #[error("the shape {shape:?} asks for {wanted} elements, and there are {given}")]
    Count {
        /// The shape.
        shape: Vec<usize>,
        /// How many elements the shape asks for.
        wanted: usize,
        /// How many there are.
        given: usize,
    },
    /// The shape asks for more elements than can be counted.
    #[error("the shape {0:?} is too large")]
    TooLarge(Vec<usize>),
}

macro_rules! elements {
    ($($(#[$doc:meta])* $variant:ident($type:ty) = $zero:expr, $one:expr;)*) => {
        /// The elements of a tensor.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Elements {
            $($(#[$doc])* $variant(Vec<$type>),)*
        }

        impl Elements {
            /// How many elements there are.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(elements) => elements.len(),)* }
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// The type of the elements.
            pub const fn datatype(&self) -> Datatype {
                match self { $(Self::$variant(_) => Datatype::$variant,)* }
            }

            /// So many times the same element.
            pub fn filled(datatype: Datatype, fill: Fill, count: usize) -> Self {
                match (datatype, fill) {
                    $(
                        (Datatype::$variant, Fill::Zero) => Self::$variant(vec![$zero; count]),
                        (Datatype::$variant, Fill::One) => Self::$variant(vec![$one; count]),
                    )*
                }
            }
        }

        $(impl From<Vec<$type>> for Elements {
            fn from(elements: Vec<$type>) -> Self {
                Self::$variant(elements)
            }
        })*
    };
}

elements! {
    /// Truth values.
    Bool(bool) = false, true;
    /// Unsigned, 8 bits.
    Uint8(u8) = 0, 1;
    /// Unsigned, 16 bits.
    Uint16(u16) = 0, 1;
    /// Unsigned, 32 bits.
    Uint32(u32) = 0, 1;
    /// Unsigned, 64 bits.
    Uint64(u64) = 0, 1;
    /// Signed, 8 bits.
    Int8(i8) = 0, 1;
    /// Signed, 16 bits.
    Int16(i16) = 0, 1;
    /// Signed, 32 bits.
    Int32(i32) = 0, 1;
    /// Signed, 64 bits.
    Int64(i64) = 0, 1;
    /// IEEE 754 half precision.
    Fp16(f16) = f16::ZERO, f16::ONE;
    /// bfloat16.
    Bf16(bf16) = bf16::ZERO, bf16::ONE;
    /// IEEE 754 single precision.
    Fp32(f32) = 0.0, 1.0;
    /// IEEE 754 double precision.
    Fp64(f64) = 0.0, 1.0;
    /// Byte strings; ONNX calls them strings and does not insist on UTF-8.
    Bytes(Vec<u8>) = Vec::new(), b"1".to_vec();
}

/// What a made-up tensor is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// 0, false, or an empty string.
    Zero,
    /// 1, true, or the string `1`.
    One,
}

/// A tensor. The number of elements always fits the shape; rank 0 is a single element, and an extent of 0 is no element.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    elements: Elements,
}

impl Tensor {
    /// The tensor of these elements in row-major order. Fails when their number does not fit the shape.
    pub fn new(shape: Vec<usize>, elements: impl Into<Elements>) -> Result<Self, Error> {
        let elements = elements.into();
        match count(&shape) {
            None => Err(Error::TooLarge(shape)),
            Some(wanted) if wanted != elements.len() => Err(Error::Count {
                shape,
                wanted,
                given: elements.len(),
            }),
            Some(_) => Ok(Self { shape, elements }),
        }
    }

    /// A tensor of one repeated element. Fails when the shape is too large to count.
    pub fn filled(datatype: Datatype, fill: Fill, shape: Vec<usize>) -> Result<Self, Error> {
        let Some(count) = count(&shape) else {
            return Err(Error::TooLarge(shape));
        };
        Ok(Self {
            elements: Elements::filled(datatype, fill, count),
            shape,
        })
    }

    /// The extents; empty for rank 0.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in row-major order.
    pub const fn elements(&self) -> &Elements {
        &self.elements
    }

    /// The type of the elements.
    pub const fn datatype(&self) -> Datatype {
        self.elements.datatype()
    }

    /// The shape and the elements.
    pub fn into_parts(self) -> (Vec<usize>, Elements) {
        (self.shape, self.elements)
    }
}

/// How many elements a shape asks for, unless that cannot be counted. Extents beside a 0 must be countable too, because
/// runtimes multiply them in signed 64-bit numbers.
pub fn count(shape: &[usize]) -> Option<usize> {
    let others = shape
        .iter()
        .filter(|&&extent| extent > 0)
        .try_fold(1usize, |count, &extent| count.checked_mul(extent))?;
    i64::try_from(others).ok()?;
    Some(if shape.contains(&0) { 0 } else { others })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_must_fit_the_shape() {
        assert!(Tensor::new(vec![2, 3], vec![0.0f32; 6]).is_ok());
        assert_eq!(
            Tensor::new(vec![2, 3], vec![0.0f32; 5]),
            Err(Error::Count {
                shape: vec![2, 3],
                wanted: 6,
                given: 5
            })
        );
    }

    #[test]
    fn rank_0_is_one_element_and_an_extent_of_0_is_none() {
        assert!(Tensor::new(vec![], vec![7i64]).is_ok());
        assert!(Tensor::new(vec![], Vec::<i64>::new()).is_err());
        assert!(Tensor::new(vec![3, 0, 2], Vec::<u8>::new()).is_ok());
    }

    #[test]
    fn uncountable_shape_is_refused() {
        for shape in [vec![usize::MAX, 2], vec![usize::MAX], vec![usize::MAX, 0]] {
            assert_eq!(Tensor::new(shape.clone(), vec![0u8]), Err(Error::TooLarge(shape)));
        }
    }

    #[test]
    fn filled_tensors_exist_for_every_datatype() {
        for &datatype in Datatype::ALL {
            for fill in [Fill::Zero, Fill::One] {
                let tensor = Tensor::filled(datatype, fill, vec![2]).expect("a small tensor");
                assert_eq!((tensor.datatype(), tensor.elements().len()), (datatype, 2));
            }
        }
    }
}
