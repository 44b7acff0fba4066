//! Running a model on made-up inputs, to see that it works before anyone depends on it.

use std::collections::BTreeSet;
use std::time::Duration;

use berth_domain::tensor::{Dimension, TensorSpec};
use berth_inference::Tensor;
use berth_inference::tensor::{Fill, count};
use berth_protocol::runner::{self, InferRequest, Operation};

use crate::failure::{Code, Failure};
use crate::runtime::Runtime;

/// A graph whose fixed extents alone ask for more elements is not run on made-up inputs.
const ELEMENTS_LIMIT: usize = 64 << 20;

/// What a model that embeds texts has to embed: the first that is not too long for it.
const TEXTS: [&str; 2] = [r#"["A man is playing a guitar.","Hello."]"#, r#""a""#];

/// What came of the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Why the model cannot be used, in words.
    pub failed: Option<String>,
    /// What the owner should know although it can.
    pub warnings: Vec<String>,
    /// How long the model ran.
    pub computed: Duration,
}

impl Runtime {
    /// Proves the model: a model that embeds texts embeds one; every graph is run on zeros and then on ones, with open
    /// extents of 1 and then of 2, the same for every extent of one name.
    ///
    /// Made-up inputs need not make sense to a graph, so what it says about them is a warning. A text does make sense, so
    /// its failure is one of the model.
    pub async fn prove(&self) -> Proof {
        let mut proof = Proof {
            failed: None,
            warnings: Vec::new(),
            computed: Duration::ZERO,
        };
        if self.embeds_texts() {
            proof.failed = self.prove_text(&mut proof.computed).await.err();
        }
        if proof.failed.is_none() {
            self.prove_tensors(&mut proof).await;
        }
        proof
    }

    async fn prove_text(&self, computed: &mut Duration) -> Result<(), String> {
        let mut refused = None;
        for input in TEXTS {
            let response = self.infer(embeddings(input)).await;
            *computed += Duration::from_micros(response.compute_us);
            refused = response.failure;
            // A model that reads very little is none the worse for that.
            let too_long = |failure: &runner::Failure| failure.code == Code::ContextLengthExceeded.as_str();
            if !refused.as_ref().is_some_and(too_long) {
                break;
            }
        }
        match refused {
            None => Ok(()),
            Some(failure) => Err(format!("A short text could not be embedded. {}", failure.message)),
        }
    }

    async fn prove_tensors(&self, proof: &mut Proof) {
        let outputs: Vec<String> = self.outputs().iter().map(|spec| spec.name.clone()).collect();
        let mut refusals = BTreeSet::new();
        let mut accepted = false;
        for (open, fill) in [(1, Fill::Zero), (1, Fill::One), (2, Fill::Zero), (2, Fill::One)] {
            let Some(inputs) = made_up(self.inputs(), open, fill) else {
                proof
                    .warnings
                    .push("The inputs are too large to try the model on made-up ones.".to_owned());
                return;
            };
            match self.run_tensors(0, inputs, outputs.clone(), None).await {
                Ok((_, times)) => {
                    accepted = true;
                    proof.computed += times.computed;
                }
                Err(failure) => {
                    refusals.insert(refusal(open, fill, &failure));
                }
            }
        }
        proof.warnings.extend(refusals);
        if !accepted && !self.embeds_texts() {
            let warning = "No made-up input was accepted, so the model was loaded and not seen to work.";
            proof.warnings.push(warning.to_owned());
        }
    }
}

fn embeddings(input: &str) -> InferRequest {
    InferRequest {
        operation: Operation::Embeddings.into(),
        body: format!(r#"{{"model":"-","input":{input}}}"#).into(),
        ..InferRequest::default()
    }
}

fn refusal(open: usize, fill: Fill, failure: &Failure) -> String {
    let values = match fill {
        Fill::Zero => "zeros",
        Fill::One => "ones",
    };
    format!("On {values} with open extents of {open}: {}", failure.message)
}

/// An input of each kind that the graph declares; `None` when that is too large.
fn made_up(specs: &[TensorSpec], open: usize, fill: Fill) -> Option<Vec<(String, Tensor)>> {
    let mut total = 0usize;
    specs
        .iter()
        .map(|spec| {
            let shape: Vec<usize> = spec
                .shape
                .iter()
                .map(|dimension| match dimension {
                    Dimension::Fixed(_) => dimension.extent().unwrap_or(open),
                    Dimension::Symbolic(_) => open,
                })
                .collect();
            total = total.checked_add(count(&shape)?)?;
            if total > ELEMENTS_LIMIT {
                return None;
            }
            let tensor = Tensor::filled(spec.datatype, fill, shape).ok()?;
            Some((spec.name.clone(), tensor))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use berth_domain::tensor::Datatype;

    use super::*;

    #[test]
    fn open_extents_are_all_the_same_and_fixed_ones_stay() {
        let spec = TensorSpec {
            name: "x".to_owned(),
            datatype: Datatype::Int64,
            shape: vec![
                Dimension::Symbolic("batch".to_owned()),
                Dimension::OPEN,
                Dimension::Fixed(3),
                Dimension::Fixed(0),
            ],
        };
        let inputs = made_up(&[spec], 2, Fill::One).expect("small");
        assert_eq!(inputs[0].1.shape(), [2, 2, 3, 0]);
    }

    #[test]
    fn graph_that_asks_for_terabytes_is_not_run() {
        let spec = TensorSpec {
            name: "x".to_owned(),
            datatype: Datatype::Fp32,
            shape: vec![Dimension::Fixed(1 << 40)],
        };
        assert!(made_up(&[spec], 1, Fill::Zero).is_none());
    }
}
