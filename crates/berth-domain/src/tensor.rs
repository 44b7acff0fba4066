//! What a tensor is called, made of and shaped like. Names of datatypes are those of the Open Inference Protocol v2.

use serde::{Deserialize, Serialize};

macro_rules! datatypes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $size:expr;)*) => {
        /// The type of a tensor's elements.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum Datatype {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Datatype {
            /// Every datatype.
            pub const ALL: &'static [Datatype] = &[$(Datatype::$name,)*];

            /// The protocol's name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Datatype::$name => $text,)* }
            }

            /// Bytes of one element, or `None` for `BYTES`, whose elements vary.
            pub const fn size_bytes(self) -> Option<usize> {
                match self { $(Datatype::$name => $size,)* }
            }
        }

        impl std::str::FromStr for Datatype {
            type Err = UnknownDatatype;

            fn from_str(text: &str) -> Result<Self, UnknownDatatype> {
                match text {
                    $($text => Ok(Datatype::$name),)*
                    _ => Err(UnknownDatatype(text.to_owned())),
                }
            }
        }
    };
}

/// A text that names no datatype.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no datatype called `{0}`")]
pub struct UnknownDatatype(pub String);

datatypes! {
    /// One byte, 0 or 1.
    Bool = "BOOL", Some(1);
    /// Unsigned, 8 bits.
    Uint8 = "UINT8", Some(1);
    /// Unsigned, 16 bits.
    Uint16 = "UINT16", Some(2);
    /// Unsigned, 32 bits.
    Uint32 = "UINT32", Some(4);
    /// Unsigned, 64 bits.
    Uint64 = "UINT64", Some(8);
    /// Signed, 8 bits.
    Int8 = "INT8", Some(1);
    /// Signed, 16 bits.
    Int16 = "INT16", Some(2);
    /// Signed, 32 bits.
    Int32 = "INT32", Some(4);
    /// Signed, 64 bits.
    Int64 = "INT64", Some(8);
    /// IEEE 754 half precision; binary form only.
    Fp16 = "FP16", Some(2);
    /// bfloat16; binary form only.
    Bf16 = "BF16", Some(2);
    /// IEEE 754 single precision.
    Fp32 = "FP32", Some(4);
    /// IEEE 754 double precision.
    Fp64 = "FP64", Some(8);
    /// Byte strings, for ONNX `string`.
    Bytes = "BYTES", None;
}

/// One dimension of a shape as a graph declares it. In JSON a number, `-1` when it is open, or its symbolic name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Dimension {
    /// A fixed extent; `-1` in the stored form means open without a name, see [`Dimension::OPEN`].
    Fixed(i64),
    /// Open, with the graph's name for it: equal names have equal extents.
    Symbolic(String),
}

impl Dimension {
    /// Open and unnamed.
    pub const OPEN: Self = Self::Fixed(-1);

    /// The extent, if it is fixed.
    pub fn extent(&self) -> Option<usize> {
        match self {
            Self::Fixed(extent) => usize::try_from(*extent).ok(),
            Self::Symbolic(_) => None,
        }
    }

    /// The extent as protocols show it: `-1` when open.
    pub fn wire(&self) -> i64 {
        match self {
            Self::Fixed(extent) => (*extent).max(-1),
            Self::Symbolic(_) => -1,
        }
    }
}

/// An input or output of a graph: its name, element type and shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TensorSpec {
    /// The graph's name for the tensor; any text, a bare number too.
    pub name: String,
    /// The element type.
    pub datatype: Datatype,
    /// The shape; empty for a scalar.
    pub shape: Vec<Dimension>,
}

impl TensorSpec {
    /// Whether a tensor of this `shape` fits: same rank, and equal extents where they are fixed.
    pub fn fits(&self, shape: &[usize]) -> bool {
        self.shape.len() == shape.len()
            && self
                .shape
                .iter()
                .zip(shape)
                .all(|(declared, &given)| declared.extent().is_none_or(|extent| extent == given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_fits_when_fixed_extents_agree() {
        let spec = TensorSpec {
            name: "x".to_owned(),
            datatype: Datatype::Fp32,
            shape: vec![
                Dimension::Symbolic("batch".to_owned()),
                Dimension::Fixed(3),
                Dimension::OPEN,
            ],
        };
        assert!(spec.fits(&[0, 3, 7]));
        assert!(!spec.fits(&[1, 4, 7]));
        assert!(!spec.fits(&[1, 3]));
    }

    #[test]
    fn dimensions_survive_json() {
        let shape = vec![
            Dimension::Symbolic("batch".to_owned()),
            Dimension::Fixed(3),
            Dimension::OPEN,
        ];
        let json = serde_json::to_string(&shape).expect("serializes");
        assert_eq!(json, r#"["batch",3,-1]"#);
        assert_eq!(
            serde_json::from_str::<Vec<Dimension>>(&json).expect("parses"),
            shape
        );
    }

    #[test]
    fn datatype_names_parse_back() {
        for &datatype in Datatype::ALL {
            assert_eq!(datatype.as_str().parse(), Ok(datatype));
        }
    }
}
