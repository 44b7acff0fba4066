//! Whether one row's result can depend on the other rows of its batch.
//!
//! A batch joins rows along axis 0 of every input. That is only right when each operator treats the rows apart. This
//! judges it from the graph alone, without running it, and errs on the side of "they depend":
//!
//! - Values that stem from an input are followed through the graph; what stems from weights, constants or shapes alone
//!   (`Shape`, `Size`) is not judged, since it is the same for every row.
//! - Operators that are known to work row by row pass. Operators with an axis pass unless the axis is 0 or cannot be
//!   told. Everything else mixes: dynamic quantization (one scale for the whole batch), batch normalization in training
//!   mode, reductions over everything, moving axis 0 away, `NonZero`, loops, and any operator that is not known here.
//!
//! What it does not see: a `Reshape` that leaves the first extent open and puts rows together by the others. The rows of what
//! comes out are then not those that went in, which a runner notices.

mod apart;

use std::collections::{BTreeSet, HashMap, HashSet};

use berth_domain::tensor::Dimension;

use crate::graph::Name;
use crate::node::Node;
use crate::operators::STANDARD_DOMAIN;
use crate::ranks::{BROADCASTING, Ranks, place};
use crate::value::{Kind, Port};
use apart::{MICROSOFT_ROW_BY_ROW, ROW_BY_ROW};

/// How many small integer constants are remembered; beyond them an axis counts as unknown.
const MOST_CONSTANTS: usize = 32_768;

/// What is known of the rows while the graph is walked in its (topological) order.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Values with one row per request.
    rowful: HashSet<Name>,
    /// Small integer constants: axes and shapes.
    constants: HashMap<Name, Box<[i64]>>,
    /// Values that are computed from the number of rows.
    counted: HashMap<Name, Counted>,
    /// How many dimensions values have.
    ranks: Ranks,
    /// Operators that mix rows.
    mixing: BTreeSet<String>,
}

/// What a value that is computed from shapes says about the rows. Exporters look values up by row number
/// (`mask[row, position]`), which is no mixing when the numbers run along with the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// The shape of a value that has rows.
    Shape,
    /// How many rows there are.
    Rows,
    /// The number of each row, along axis 0, with so many dimensions.
    Index(usize),
    /// Coordinates whose first part is the number of the row.
    Coordinates,
    /// A shape that begins with the number of rows, or leaves it open.
    RowsFirst,
}

impl Rows {
    /// An input of the graph. One without dimensions has no rows: it is the same for all.
    pub(crate) fn begin(&mut self, name: Name, port: &Port) {
        if let Kind::Tensor {
            shape: Some(shape), ..
        } = &port.kind
        {
            let last = shape.last().and_then(Dimension::extent);
            self.ranks.set(name, shape.len(), last);
        }
        if !matches!(&port.kind, Kind::Tensor { shape: Some(shape), .. } if shape.is_empty()) {
            self.begin_name(name);
        }
    }

    /// A value that has rows.
    pub(crate) fn begin_name(&mut self, name: Name) {
        self.rowful.insert(name);
    }

    /// A weight of so many dimensions, and its values if it is a few integers.
    pub(crate) fn weight(&mut self, name: Name, rank: usize, integers: Option<Vec<i64>>) {
        let last = integers.as_ref().map(Vec::len).filter(|_| rank == 1);
        self.ranks.set(name, rank, last);
        if let Some(integers) = integers {
            self.constant(name, integers);
        }
    }

    /// A constant of a few integers.
    fn constant(&mut self, name: Name, integers: Vec<i64>) {
        if self.constants.len() < MOST_CONSTANTS {
            self.constants.insert(name, integers.into());
        }
    }

    /// Takes over what mixes rows in a function.
    pub(crate) fn absorb(&mut self, function: Self) {
        self.mixing.extend(function.mixing);
    }

    /// The operators that mix rows.
    pub(crate) fn into_mixing(self) -> Vec<String> {
        self.mixing.into_iter().collect()
    }

    /// The next node, of an operator set with version `opset`.
    pub(crate) fn visit(&mut self, node: &Node, opset: i64) {
        let first_output = node.outputs.first().copied().flatten();
        let constants = &self.constants;
        let constant = |index: usize| {
            let name = node.inputs.get(index).copied().flatten()?;
            constants.get(&name).map(AsRef::as_ref)
        };
        self.ranks.visit(node, constant);
        if let (Some(output), Some(values)) = (first_output, node.constant()) {
            self.constant(output, values);
            return;
        }
        let standard = node.domain == STANDARD_DOMAIN;
        let loops = standard && matches!(node.operator.as_str(), "Loop" | "Scan" | "SequenceMap");
        // Branches read outer values without naming them as inputs; loops too, and those mix in any case.
        let branches = standard && node.operator == "If";
        let rowful = node
            .inputs
            .iter()
            .flatten()
            .any(|name| self.rowful.contains(name));
        if let (true, Some(output), Some(counted)) = (standard, first_output, self.counting(node))
            && self.counted.len() < MOST_CONSTANTS
        {
            self.counted.insert(output, counted);
        }
        if !(rowful || loops || branches) {
            // Exporters share weights by `Identity`.
            if standard
                && node.operator == "Identity"
                && let (Some(values), Some(output)) = (self.constant_input(node, 0), first_output)
            {
                self.constant(output, values.to_vec());
            }
            return;
        }
        if standard && matches!(node.operator.as_str(), "Shape" | "Size") {
            return;
        }
        if loops || self.mixes(node, opset) {
            self.mixing.insert(node.full_name());
        }
        self.rowful.extend(node.outputs.iter().flatten());
    }

    fn mixes(&self, node: &Node, opset: i64) -> bool {
        match node.domain.as_str() {
            STANDARD_DOMAIN => self.standard_mixes(node, opset),
            "com.microsoft" => match node.operator.as_str() {
                "FusedGemm" => self.has_rows(node, 1) || transposes_rows(node),
                "FusedMatMul" | "TransposeMatMul" => self.matmul_mixes(node) || transposes_rows(node),
                "BiasSoftmax" | "QLinearSoftmax" => node.integer("axis") == Some(0),
                "QuantizeLinear" | "DequantizeLinear" => self.has_rows(node, 1),
                "GatherBlockQuantized" => self.has_rows(node, 0),
                operator => !MICROSOFT_ROW_BY_ROW.contains(&operator),
            },
            // `ai.onnx.ml`, the classical models: each row is an example of its own. `com.microsoft.nchwc`: convolutions.
            // Any other domain is a function of the model, whose body is judged apart.
            _ => false,
        }
    }

    fn standard_mixes(&self, node: &Node, opset: i64) -> bool {
        let axis = |default| self.is_first(node, node.integer("axis").unwrap_or(default));
        match node.operator.as_str() {
            operator if BROADCASTING.contains(&operator) => self.misaligned(node),
            "ArgMax" | "ArgMin" | "Concat" | "Split" | "ScatterElements" | "GatherElements" => axis(0),
            "Flatten" => axis(1),
            "Softmax"
            | "LogSoftmax"
            | "Hardmax"
            | "LayerNormalization"
            | "LpNormalization"
            | "TopK"
            | "OneHot"
            | "RMSNormalization"
            | "SimplifiedLayerNormalization" => axis(-1),
            "Gather" if self.has_rows(node, 0) => axis(0) || self.has_rows(node, 1),
            "Gather" => !axis(0),
            "Expand" => {
                let rank = self.ranks.of(node, 0);
                rank.is_none() || self.ranks.length(node, 1).is_none_or(|shape| Some(shape) > rank)
            }
            "GatherND" => {
                self.has_rows(node, 0)
                    && node.integer("batch_dims").unwrap_or(0) == 0
                    && self.counted_input(node, 1) != Some(Counted::Coordinates)
            }
            "CumSum" | "CumProd" | "Squeeze" => self.axes(node, 1).any(self.ranks.of(node, 0)),
            "Unsqueeze" => match self.axes(node, 1) {
                Axes::Known(axes) => {
                    let rank = self.ranks.of(node, 0).map(|rank| rank + axes.len());
                    Axes::Known(axes).any(rank)
                }
                Axes::Unknown | Axes::Missing => true,
            },
            "DFT" => {
                node.integer("axis").is_some_and(|axis| self.is_first(node, axis))
                    || self.axes(node, 2).any_but_missing(self.ranks.of(node, 0))
            }
            "Slice" => self.slice_mixes(node, opset),
            "Pad" => self.pads_rows(node, opset),
            "Tile" => self
                .constant_input(node, 1)
                .is_none_or(|repeats| repeats.first() != Some(&1)),
            "Transpose" => match node.integers("perm") {
                Some(Ok(order)) => order.first() != Some(&0),
                _ => true,
            },
            "Reshape" => self.reshape_mixes(node),
            "MeanVarianceNormalization" => match node.integers("axes") {
                Some(Ok(axes)) => Axes::Known(axes).any(self.ranks.of(node, 0)),
                _ => true,
            },
            "MatMul" | "MatMulInteger" => self.matmul_mixes(node),
            "QLinearMatMul" => self.product_mixes(node, 3),
            "Gemm" => self.has_rows(node, 1) || node.integer("transA").unwrap_or(0) != 0,
            "QuantizeLinear" | "DequantizeLinear" => self.has_rows(node, 1),
            "Einsum" => node.text("equation").is_none_or(einsum_mixes),
            "RNN" | "LSTM" | "GRU" => node.integer("layout").unwrap_or(0) != 1,
            "BatchNormalization" => match opset {
                14.. => node.integer("training_mode").unwrap_or(0) != 0,
                7.. => node.outputs.iter().flatten().count() > 1,
                _ => node.integer("is_test").unwrap_or(0) == 0,
            },
            "ReverseSequence" => node.integer("batch_axis").unwrap_or(1) != 0,
            "If" => self.has_rows(node, 0),
            operator if operator.starts_with("Reduce") => {
                let keeps_all = node.integer("noop_with_empty_axes").unwrap_or(0) != 0;
                match self.axes(node, 1) {
                    Axes::Missing => !keeps_all,
                    axes => axes.any(self.ranks.of(node, 0)),
                }
            }
            operator => !ROW_BY_ROW.contains(&operator),
        }
    }

    /// What the output of a node says about the rows, when it is computed from shapes.
    fn counting(&self, node: &Node) -> Option<Counted> {
        let whole = |name, expected| node.integer(name).is_none_or(|value| value == expected);
        let constant = |index, expected: &[i64]| self.constant_input(node, index) == Some(expected);
        let first = self.counted_input(node, 0);
        match (node.operator.as_str(), first) {
            ("Shape", _) if self.has_rows(node, 0) && whole("start", 0) => Some(match node.integer("end") {
                Some(1) => Counted::Rows,
                _ => Counted::Shape,
            }),
            ("Gather", Some(Counted::Shape)) if constant(1, &[0]) => Some(Counted::Rows),
            ("Slice", Some(Counted::Shape)) if constant(1, &[0]) && constant(2, &[1]) => Some(Counted::Rows),
            // The beginning of a shape.
            ("Slice", Some(Counted::Shape | Counted::RowsFirst))
                if self.constant_input(node, 1).is_some_and(|begin| matches!(begin, [0 | i64::MIN..=-1_000])) =>
            {
                Some(Counted::RowsFirst)
            }
            ("Cast" | "Identity", _)
            | ("Squeeze" | "Unsqueeze" | "Reshape", Some(Counted::Rows))
            // A list that has not been given dimensions behind it would get new ones in front.
            | ("Expand", Some(Counted::Index(2..))) => first,
            ("Range", _) if constant(0, &[0]) && constant(2, &[1]) => {
                (self.counted_input(node, 1) == Some(Counted::Rows)).then_some(Counted::Index(1))
            }
            ("Unsqueeze", Some(Counted::Index(rank))) => match self.axes(node, 1) {
                Axes::Known(axes) if !axes.contains(&0) => Some(Counted::Index(rank + axes.len())),
                _ => None,
            },
            ("Concat", Some(Counted::Index(2..))) if node.integer("axis") != Some(0) => {
                Some(Counted::Coordinates)
            }
            ("Concat", _) if node.integer("axis") == Some(0) => {
                let open = self.constant_input(node, 0).and_then(|values| values.first().copied());
                (first == Some(Counted::Rows) || first == Some(Counted::RowsFirst) || matches!(open, Some(0 | -1)))
                    .then_some(Counted::RowsFirst)
            }
            _ => None,
        }
    }

    fn counted_input(&self, node: &Node, index: usize) -> Option<Counted> {
        let name = node.inputs.get(index).copied().flatten()?;
        self.counted.get(&name).copied()
    }

    /// Whether the input at `index` has rows.
    fn has_rows(&self, node: &Node, index: usize) -> bool {
        node.inputs
            .get(index)
            .copied()
            .flatten()
            .is_some_and(|name| self.rowful.contains(&name))
    }

    fn constant_input(&self, node: &Node, index: usize) -> Option<&[i64]> {
        let name = node.inputs.get(index).copied().flatten()?;
        self.constants.get(&name).map(AsRef::as_ref)
    }

    /// The axes of a node: an attribute in older operator sets, an input in newer ones.
    fn axes<'a>(&'a self, node: &'a Node, index: usize) -> Axes<'a> {
        match (node.integers("axes"), node.inputs.get(index).copied().flatten()) {
            (Some(Ok(axes)), _) => Axes::Known(axes),
            (Some(Err(())), _) => Axes::Unknown,
            (None, Some(_)) => self
                .constant_input(node, index)
                .map_or(Axes::Unknown, Axes::Known),
            (None, None) => Axes::Missing,
        }
    }

    fn matmul_mixes(&self, node: &Node) -> bool {
        self.product_mixes(node, 1)
    }

    /// The rows of a matrix product are those of its left side. With rows on the right, too, there must be a matrix for each.
    fn product_mixes(&self, node: &Node, right: usize) -> bool {
        let (one, other) = (self.ranks.of(node, 0), self.ranks.of(node, right));
        match (self.has_rows(node, 0), self.has_rows(node, right)) {
            (true, false) => one.zip(other).is_none_or(|(one, other)| one < other.max(2)),
            (true, true) => one != other || one.is_none_or(|rank| rank < 3),
            (false, true) => other.zip(one).is_none_or(|(other, one)| other < one.max(3)),
            (false, false) => false,
        }
    }

    /// Whether an axis of the first input is axis 0, or may be.
    fn is_first(&self, node: &Node, axis: i64) -> bool {
        axis == 0 || axis < 0 && self.ranks.of(node, 0).is_none_or(|rank| place(axis, rank) == 0)
    }

    /// Values are laid along each other from the last dimension on: rows stay where they are only in those that have the most
    /// dimensions.
    fn misaligned(&self, node: &Node) -> bool {
        let first = node.inputs.first().copied().flatten();
        if node.inputs.iter().all(|input| *input == first) {
            return false;
        }
        let Some(most) = self.ranks.most(node) else {
            return true;
        };
        (0..node.inputs.len())
            .any(|index| self.has_rows(node, index) && self.ranks.of(node, index) != Some(most))
    }

    /// A slice of rows leaves some out, unless it spans them all.
    fn slice_mixes(&self, node: &Node, opset: i64) -> bool {
        let list = |name: &str, index| {
            if opset < 10 {
                node.integers(name).and_then(Result::ok)
            } else {
                self.constant_input(node, index)
            }
        };
        let named = if opset < 10 {
            node.integers("axes").is_some()
        } else {
            node.inputs.get(3).copied().flatten().is_some()
        };
        let place = match (named, list("axes", 3)) {
            (true, Some(axes)) => match axes.iter().position(|&axis| self.is_first(node, axis)) {
                Some(place) => place,
                None => return false,
            },
            (true, None) => return true,
            // Without axes they are counted from 0.
            (false, _) => 0,
        };
        let at = |name, index| list(name, index).and_then(|values| values.get(place).copied());
        let whole = at("starts", 1) == Some(0)
            && at("ends", 2).is_some_and(|end| end >= i64::from(i32::MAX))
            && (node.inputs.get(4).copied().flatten().is_none() || at("steps", 4) == Some(1));
        !whole
    }

    fn pads_rows(&self, node: &Node, opset: i64) -> bool {
        let pads = if opset < 11 {
            node.integers("pads").and_then(Result::ok)
        } else {
            self.constant_input(node, 1)
        };
        let axes = self.constant_input(node, 3);
        match (pads, node.inputs.get(3).copied().flatten(), axes) {
            (_, Some(_), Some(axes)) => axes.contains(&0),
            (Some(pads), None, _) => pads.first() != Some(&0) || pads.get(pads.len() / 2) != Some(&0),
            _ => true,
        }
    }

    /// The shape must begin with the rows: by their number, by what stands for it, or open. A list of all values has lost
    /// them.
    fn reshape_mixes(&self, node: &Node) -> bool {
        let shape = match node.integers("shape") {
            Some(shape) => shape.ok(),
            None => self.constant_input(node, 1),
        };
        match shape {
            Some(&[-1]) => self.ranks.of(node, 0) != Some(1),
            Some(shape) => !matches!(shape.first(), Some(0 | -1)),
            None => !matches!(
                self.counted_input(node, 1),
                Some(Counted::Shape | Counted::Rows | Counted::RowsFirst)
            ),
        }
    }
}

/// Axes as far as they can be told.
enum Axes<'a> {
    Known(&'a [i64]),
    Unknown,
    Missing,
}

impl Axes<'_> {
    /// Whether axis 0 of a value of this rank is or may be among them.
    fn any(&self, rank: Option<usize>) -> bool {
        let first = |&axis: &i64| axis == 0 || axis < 0 && rank.is_none_or(|rank| place(axis, rank) == 0);
        match self {
            Self::Known(axes) => axes.iter().any(first),
            Self::Unknown | Self::Missing => true,
        }
    }

    fn any_but_missing(&self, rank: Option<usize>) -> bool {
        !matches!(self, Self::Missing) && self.any(rank)
    }
}

/// Whether a fused multiplication moves rows away from axis 0 first.
fn transposes_rows(node: &Node) -> bool {
    let set = |name| node.integer(name).unwrap_or(0) != 0;
    set("transA") || set("transBatchA") || set("transBatchB")
}

/// Whether an Einstein sum keeps the first letter of all its operands as the first of the result.
fn einsum_mixes(equation: &str) -> bool {
    let equation: String = equation
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    let Some((operands, result)) = equation.split_once("->") else {
        return true;
    };
    match result.chars().next() {
        Some(first) => !operands.split(',').all(|operand| operand.starts_with(first)),
        None => true,
    }
}
