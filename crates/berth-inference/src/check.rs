//! Whether inputs fit what a model declares. ONNX Runtime runs a graph with an input missing, and its operators then read
//! nothing at all, so this is checked before.

use std::collections::HashMap;

use berth_domain::tensor::{Dimension, TensorSpec};

use crate::error::Error;
use crate::tensor::Tensor;

/// Every declared input is given once and fits; nothing else is given. Fails with [`Error::InvalidInput`].
pub(crate) fn fit(specs: &[TensorSpec], inputs: &[(&str, &Tensor)]) -> Result<(), Error> {
    for (index, (name, tensor)) in inputs.iter().enumerate() {
        let Some(spec) = specs.iter().find(|spec| spec.name == *name) else {
            return Err(Error::invalid_input(format!("the model has no input `{name}`")));
        };
        if inputs[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(Error::invalid_input(format!("the input `{name}` is given twice")));
        }
        if spec.datatype != tensor.datatype() {
            return Err(Error::invalid_input(format!(
                "the input `{name}` has to be {}, and {} was given",
                spec.datatype.as_str(),
                tensor.datatype().as_str()
            )));
        }
        if !spec.fits(tensor.shape()) {
            return Err(Error::invalid_input(format!(
                "the input `{name}` has to be of shape {}, and {:?} was given",
                shape_text(&spec.shape),
                tensor.shape()
            )));
        }
    }
    match specs
        .iter()
        .find(|spec| !inputs.iter().any(|(name, _)| spec.name == *name))
    {
        Some(spec) => Err(Error::invalid_input(format!(
            "the input `{}` is missing",
            spec.name
        ))),
        None => Ok(()),
    }
}

/// Inputs that give one named extent different values, in words. Some exporters name extents carelessly, so this
/// explains a failed run and does not prevent one.
pub(crate) fn disagreement(specs: &[TensorSpec], inputs: &[(&str, &Tensor)]) -> Option<String> {
    let mut known: HashMap<&str, (usize, &str)> = HashMap::new();
    for (name, tensor) in inputs {
        let spec = specs.iter().find(|spec| spec.name == *name)?;
        for (dimension, &extent) in spec.shape.iter().zip(tensor.shape()) {
            let Dimension::Symbolic(symbol) = dimension else {
                continue;
            };
            let (first, owner) = *known.entry(symbol).or_insert((extent, name));
            if first != extent {
                return Some(format!(
                    "the inputs disagree about `{symbol}`: it is {first} in `{owner}` and {extent} in `{name}`"
                ));
            }
        }
    }
    None
}

/// A declared shape as people read it: `[batch, 3, ?]`.
fn shape_text(shape: &[Dimension]) -> String {
    let extents: Vec<String> = shape
        .iter()
        .map(|dimension| match dimension {
            Dimension::Symbolic(name) => name.clone(),
            Dimension::Fixed(extent) if *extent >= 0 => extent.to_string(),
            Dimension::Fixed(_) => "?".to_owned(),
        })
        .collect();
    format!("[{}]", extents.join(", "))
}

#[cfg(test)]
mod tests {
    use berth_domain::tensor::Datatype;

    use super::*;

    fn specs() -> Vec<TensorSpec> {
        ["a", "b"]
            .map(|name| TensorSpec {
                name: name.to_owned(),
                datatype: Datatype::Fp32,
                shape: vec![Dimension::Symbolic("n".to_owned()), Dimension::Fixed(2)],
            })
            .to_vec()
    }

    fn tensor(rows: usize) -> Tensor {
        Tensor::new(vec![rows, 2], vec![0f32; 2 * rows]).expect("fits")
    }

    #[test]
    fn what_does_not_fit_is_said_in_words() {
        let (two, wide) = (tensor(2), Tensor::new(vec![2, 3], vec![0f32; 6]).expect("fits"));
        let whole = Tensor::new(vec![1, 2], vec![0i64; 2]).expect("fits");
        for (inputs, words) in [
            (vec![("a", &two)], "the input `b` is missing"),
            (vec![("a", &two), ("c", &two)], "the model has no input `c`"),
            (vec![("a", &two), ("a", &two)], "the input `a` is given twice"),
            (
                vec![("a", &whole)],
                "the input `a` has to be FP32, and INT64 was given",
            ),
            (
                vec![("a", &wide)],
                "the input `a` has to be of shape [n, 2], and [2, 3] was given",
            ),
        ] {
            let error = fit(&specs(), &inputs).expect_err(words);
            assert_eq!(error.to_string(), words);
        }
        assert!(fit(&specs(), &[("b", &two), ("a", &two)]).is_ok());
    }

    #[test]
    fn disagreement_names_both_inputs() {
        let (two, three) = (tensor(2), tensor(3));
        assert_eq!(disagreement(&specs(), &[("a", &two), ("b", &two)]), None);
        assert_eq!(
            disagreement(&specs(), &[("a", &two), ("b", &three)]).as_deref(),
            Some("the inputs disagree about `n`: it is 2 in `a` and 3 in `b`")
        );
    }
}
