//! A backend without a runtime, for tests of what is built on top: it runs a closure.

use std::sync::Arc;

use berth_domain::tensor::TensorSpec;

use crate::backend::{Backend, Model, Options, Session};
use crate::check;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::tensor::Tensor;

/// What a fake model does with its inputs: gives every output, in the order of the outputs.
type Run = dyn Fn(&[(&str, &Tensor)], &Interrupt) -> Result<Vec<Tensor>, Error> + Send + Sync;

/// A backend whose every model is the same closure. Clones are the same backend.
#[derive(Clone)]
pub struct Fake {
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    run: Arc<Run>,
}

impl Fake {
    /// A backend of models with these inputs and outputs that do `run`.
    pub fn new(
        inputs: Vec<TensorSpec>,
        outputs: Vec<TensorSpec>,
        run: impl Fn(&[(&str, &Tensor)], &Interrupt) -> Result<Vec<Tensor>, Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            inputs,
            outputs,
            run: Arc::new(run),
        }
    }

    /// A loaded model.
    pub fn session(&self) -> Box<dyn Session> {
        Box::new(FakeSession {
            fake: self.clone(),
            providers: vec!["cpu".to_owned()],
        })
    }
}

impl Backend for Fake {
    fn version(&self) -> &'static str {
        "fake"
    }

    fn load(&self, _model: &Model, _options: &Options) -> Result<Box<dyn Session>, Error> {
        Ok(self.session())
    }
}

struct FakeSession {
    fake: Fake,
    providers: Vec<String>,
}

impl Session for FakeSession {
    fn inputs(&self) -> &[TensorSpec] {
        &self.fake.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.fake.outputs
    }

    fn providers(&self) -> &[String] {
        &self.providers
    }

    fn run(
        &mut self,
        inputs: &[(&str, &Tensor)],
        outputs: &[&str],
        interrupt: &Interrupt,
    ) -> Result<Vec<Tensor>, Error> {
        check::fit(&self.fake.inputs, inputs)?;
        let all = (self.fake.run)(inputs, interrupt)?;
        outputs
            .iter()
            .map(|&wanted| {
                self.fake
                    .outputs
                    .iter()
                    .position(|spec| spec.name == wanted)
                    .and_then(|index| all.get(index).cloned())
                    .ok_or_else(|| Error::failed(format!("the model gave no output `{wanted}`")))
            })
            .collect()
    }
}
