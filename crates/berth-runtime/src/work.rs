//! What the compute thread does and gives.

use std::time::Duration;

use berth_inference::{Interrupt, Session, Tensor};

use crate::embeddings::{Plan, Row};
use crate::engine::Done;
use crate::failure::{Code, Failure};

/// What the compute thread does.
pub(crate) enum Work {
    Embed(Vec<Row>),
    Run {
        inputs: Vec<(String, Tensor)>,
        outputs: Vec<String>,
    },
}

/// What the compute thread gives.
pub(crate) enum Product {
    Vectors(Vec<f32>),
    Tensors(Vec<Tensor>),
}

/// How long a request waited and computed.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) queued: Duration,
    pub(crate) computed: Duration,
}

/// The closure that the compute thread runs; it owns the session.
pub(crate) fn executor(
    mut session: Box<dyn Session>,
    plan: Option<Plan>,
) -> impl FnMut(Work, &Interrupt) -> Result<Product, Failure> + Send {
    move |work, interrupt| match work {
        Work::Embed(rows) => {
            let plan = plan
                .as_ref()
                .ok_or_else(|| Failure::new(Code::Internal, "This model embeds no texts."))?;
            plan.embed(&mut *session, &rows, interrupt).map(Product::Vectors)
        }
        Work::Run { inputs, outputs } => {
            let inputs: Vec<_> = inputs
                .iter()
                .map(|(name, tensor)| (name.as_str(), tensor))
                .collect();
            let outputs: Vec<_> = outputs.iter().map(String::as_str).collect();
            Ok(Product::Tensors(session.run(&inputs, &outputs, interrupt)?))
        }
    }
}

/// A product, and how long it took.
pub(crate) fn split<P>(done: Done<P>) -> (P, Times) {
    let times = Times {
        queued: done.queued,
        computed: done.computed,
    };
    (done.product, times)
}
