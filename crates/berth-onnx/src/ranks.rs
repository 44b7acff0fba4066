//! How many dimensions values have, as far as that follows from the graph without running it.
//!
//! A negative axis counts from the end, a value of fewer dimensions is laid along the last ones of another, and a shape is
//! as long as a value has dimensions: whether an operator touches axis 0 depends on all of these.

use std::collections::HashMap;

use crate::graph::Name;
use crate::node::Node;
use crate::operators::STANDARD_DOMAIN;

/// What is known of a value.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    rank: Option<usize>,
    /// The extent of the last dimension; the length of a list.
    last: Option<usize>,
}

/// The values whose dimensions are known.
#[derive(Debug, Default)]
pub(crate) struct Ranks(HashMap<Name, Known>);

/// Operators on several values that are laid along each other from the last dimension on.
pub(crate) const BROADCASTING: &[&str] = &[
    "Add",
    "And",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "StringConcat",
    "Sub",
    "Sum",
    "Where",
    "Xor",
];

/// Operators whose result has other dimensions than their first input, in ways that are not followed.
const UNKNOWN: &[&str] = &[
    "Col2Im",
    "Compress",
    "ConcatFromSequence",
    "If",
    "Loop",
    "Multinomial",
    "Optional",
    "OptionalGetElement",
    "RNN",
    "GRU",
    "LSTM",
    "STFT",
    "Scan",
    "SequenceAt",
    "SplitToSequence",
    "StringSplit",
    "TfIdfVectorizer",
    "Unique",
];

impl Ranks {
    /// A value of so many dimensions.
    pub(crate) fn set(&mut self, name: Name, rank: usize, last: Option<usize>) {
        let known = Known {
            rank: Some(rank),
            last,
        };
        self.0.insert(name, known);
    }

    /// How many dimensions an input of this node has.
    pub(crate) fn of(&self, node: &Node, index: usize) -> Option<usize> {
        self.known(node, index).rank
    }

    /// The length of an input of this node that is a list.
    pub(crate) fn length(&self, node: &Node, index: usize) -> Option<usize> {
        let known = self.known(node, index);
        known.last.filter(|_| known.rank == Some(1))
    }

    /// The most dimensions that any input of this node has; `None` when one is not known.
    pub(crate) fn most(&self, node: &Node) -> Option<usize> {
        let given = (0..node.inputs.len()).filter(|&index| node.inputs[index].is_some());
        given
            .map(|index| self.of(node, index))
            .try_fold(0, |most, rank| Some(most.max(rank?)))
    }

    /// The next node, whose inputs may be `constant`.
    pub(crate) fn visit<'c>(&mut self, node: &Node, constant: impl Fn(usize) -> Option<&'c [i64]>) {
        let known = if node.domain == STANDARD_DOMAIN {
            self.standard(node, &constant)
        } else {
            self.foreign(node)
        };
        let alike = matches!(node.operator.as_str(), "Split" | "TopK" | "Dropout");
        for (index, output) in node.outputs.iter().enumerate() {
            if let (Some(name), true) = (output, index == 0 || alike) {
                self.0.insert(*name, known);
            }
        }
    }

    fn known(&self, node: &Node, index: usize) -> Known {
        let name = node.inputs.get(index).copied().flatten();
        name.and_then(|name| self.0.get(&name).copied())
            .unwrap_or_default()
    }

    fn standard<'c>(&self, node: &Node, constant: &impl Fn(usize) -> Option<&'c [i64]>) -> Known {
        let first = self.known(node, 0);
        let rank = |rank: Option<usize>| Known { rank, last: None };
        let keeps = node.integer("keepdims").unwrap_or(1) != 0;
        // How many axes are named: in an attribute once, in an input today.
        let axes = |index| match node.integers("axes") {
            Some(axes) => axes.ok().map(<[i64]>::len),
            None => constant(index)
                .map(<[i64]>::len)
                .or_else(|| self.length(node, index)),
        };
        match node.operator.as_str() {
            "Constant" => Known {
                rank: node.constant_rank(),
                last: node
                    .constant()
                    .filter(|_| node.constant_rank() == Some(1))
                    .map(|list| list.len()),
            },
            "Shape" => Known {
                rank: Some(1),
                last: first.rank.map(|rank| {
                    let end = place(node.integer("end").unwrap_or(i64::MAX), rank);
                    end.saturating_sub(place(node.integer("start").unwrap_or(0), rank))
                }),
            },
            "Size" => rank(Some(0)),
            "Range" => rank(Some(1)),
            "NonZero" | "Gemm" | "Flatten" => rank(Some(2)),
            "ConstantOfShape" => {
                let length = self.length(node, 0);
                let list = constant(0).filter(|shape| shape.len() == 1);
                Known {
                    rank: length,
                    last: list.and_then(|shape| usize::try_from(shape[0]).ok()),
                }
            }
            "Reshape" => {
                let shape = match node.integers("shape") {
                    Some(shape) => shape.ok(),
                    None => constant(1),
                };
                Known {
                    rank: shape.map(<[i64]>::len).or_else(|| self.length(node, 1)),
                    last: first
                        .last
                        .filter(|_| first.rank == Some(1) && shape == Some(&[-1])),
                }
            }
            "Expand" => rank(
                first
                    .rank
                    .zip(self.length(node, 1))
                    .map(|(own, shape)| own.max(shape)),
            ),
            "Squeeze" => rank(
                first
                    .rank
                    .zip(axes(1))
                    .and_then(|(rank, axes)| rank.checked_sub(axes)),
            ),
            "Unsqueeze" => {
                let ends = |axes: &[i64]| axes.contains(&-1);
                let list = node.integers("axes").and_then(Result::ok).or_else(|| constant(1));
                let known = first.rank.zip(axes(1)).map(|(rank, axes)| rank + axes);
                let one = known == Some(1) || list.is_some_and(ends);
                Known {
                    rank: known,
                    last: one.then_some(1),
                }
            }
            "Gather" => {
                let index = self.known(node, 1);
                let known = first.rank.zip(index.rank);
                Known {
                    rank: known.and_then(|(data, index)| (data + index).checked_sub(1)),
                    last: index.last.filter(|_| known == Some((1, 1))),
                }
            }
            "GatherND" => {
                let index = self.known(node, 1);
                let taken = index.last.and_then(|last| {
                    last.checked_add(usize::from(node.integer("batch_dims").unwrap_or(0) != 0))
                });
                let sum = first.rank.zip(index.rank).map(|(data, index)| data + index);
                rank(sum.zip(taken).and_then(|(sum, taken)| sum.checked_sub(1 + taken)))
            }
            "Concat" => {
                let all = (0..node.inputs.len()).map(|index| self.known(node, index).last);
                let axis = node.integer("axis").unwrap_or(1);
                let ends = axis == -1
                    || first
                        .rank
                        .is_some_and(|rank| rank > 0 && place(axis, rank) + 1 == rank);
                Known {
                    rank: first.rank,
                    last: if ends { all.sum() } else { first.last },
                }
            }
            "Slice" => Known {
                rank: first.rank,
                last: first.last.filter(|_| first.rank == Some(1)).and_then(|length| {
                    let [begin] = constant(1)? else { return None };
                    let [end] = constant(2)? else { return None };
                    let step = node.inputs.get(4).copied().flatten().is_none() || constant(4) == Some(&[1]);
                    step.then(|| place(*end, length).saturating_sub(place(*begin, length)))
                }),
            },
            "MatMul" | "MatMulInteger" => rank(product(first.rank, self.of(node, 1))),
            "QLinearMatMul" => rank(product(first.rank, self.of(node, 3))),
            "ArgMax" | "ArgMin" if !keeps => rank(first.rank.and_then(|rank| rank.checked_sub(1))),
            "OneHot" => rank(first.rank.map(|rank| rank + 1)),
            "Einsum" => rank(node.text("equation").and_then(|equation| {
                let (_, result) = equation.split_once("->")?;
                (!result.contains('.'))
                    .then(|| result.chars().filter(|letter| letter.is_alphabetic()).count())
            })),
            operator if operator.starts_with("Reduce") && !keeps => match axes(1) {
                Some(axes) => rank(first.rank.and_then(|rank| rank.checked_sub(axes))),
                None if node.inputs.get(1).copied().flatten().is_none() => rank(Some(0)),
                None => rank(None),
            },
            operator if BROADCASTING.contains(&operator) => {
                let all = (0..node.inputs.len()).map(|index| self.known(node, index).last);
                Known {
                    rank: self.most(node),
                    last: all
                        .collect::<Option<Vec<_>>>()
                        .and_then(|all| all.into_iter().max()),
                }
            }
            operator if UNKNOWN.contains(&operator) => Known::default(),
            "Cast" | "Identity" => first,
            _ => rank(first.rank),
        }
    }

    fn foreign(&self, node: &Node) -> Known {
        let rank = match node.operator.as_str() {
            "FusedMatMul" | "TransposeMatMul" => product(self.of(node, 0), self.of(node, 1)),
            "FusedGemm" | "QGemm" => Some(2),
            "MatMulNBits" | "MatMulBnb4" | "MatMulFpQ4" => self.of(node, 0),
            "EmbedLayerNormalization" | "QEmbedLayerNormalization" => Some(3),
            // The normalizations, activations and attentions of the runtime leave the dimensions as they are.
            operator if node.domain == "com.microsoft" && !operator.starts_with("QLinear") => {
                self.of(node, 0)
            }
            _ => None,
        };
        Known { rank, last: None }
    }
}

/// Where an axis or a bound that may count from the end is.
pub(crate) fn place(index: i64, length: usize) -> usize {
    if index < 0 {
        let back = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        length.saturating_sub(back)
    } else {
        usize::try_from(index).unwrap_or(usize::MAX).min(length)
    }
}

/// How many dimensions a matrix product has.
fn product(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    let (one, other) = (one?, other?);
    let vectors = usize::from(one == 1) + usize::from(other == 1);
    one.max(other).max(2).checked_sub(vectors)
}
