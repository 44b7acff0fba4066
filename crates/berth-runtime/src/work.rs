//! What the compute threads do and give.

mod rows;

use std::hash::{BuildHasher as _, RandomState};

use berth_domain::tensor::{Dimension, TensorSpec};
use berth_inference::tensor::Elements;
use berth_inference::{Error, Interrupt, Session, Tensor};

use crate::embeddings::{Plan, Row, groups};
use crate::engine::{Form, Piece, Program, Refusal, Results};
use crate::failure::{Code, Failure};
use rows::{alike, join, rows_of, split};

/// A piece of a request.
#[derive(Debug)]
pub(crate) enum Work {
    /// Texts to embed: one, unless the model's rows depend on each other.
    Embed(Vec<Row>),
    /// A run of the graph.
    Run {
        inputs: Vec<(String, Tensor)>,
        outputs: Vec<String>,
    },
}

/// What comes of it.
#[derive(Debug)]
pub(crate) enum Product {
    Vectors(Vec<f32>),
    Tensors(Vec<Tensor>),
}

/// A loaded model.
pub(crate) struct Loaded {
    session: Box<dyn Session>,
    plan: Option<Plan>,
    /// In how many runs of several requests it was looked whether each got what it gets alone.
    looked: u32,
}

/// So many of the first runs of several requests are compared with a run of one of them alone. That rows do not mix is judged
/// from the graph and may be stated by the model's owner; this finds out when that is plainly wrong.
const LOOK_AT: u32 = 2;

impl Program for Loaded {
    type Work = Work;
    type Product = Product;

    fn run(&mut self, works: &[&Work], interrupt: &Interrupt) -> Result<Results<Product>, Refusal> {
        let results = match works.first() {
            None => Ok(Vec::new()),
            Some(Work::Embed(_)) => self.embed(works, interrupt),
            Some(Work::Run { inputs, outputs }) => match works {
                [_] => run_one(&mut *self.session, inputs, outputs, interrupt),
                _ => run_together(&mut *self.session, (inputs, outputs), works, interrupt),
            },
        }?;
        match works {
            [first, _, ..] if !self.is_apart(first, results.first(), interrupt) => {
                tracing::warn!("this model's rows depend on each other; its requests are no longer joined");
                Err(Refusal::Inseparable)
            }
            _ => Ok(results),
        }
    }
}

impl Loaded {
    /// A model that is run by `session`, and embeds texts if it has a plan for that.
    pub(crate) const fn new(session: Box<dyn Session>, plan: Option<Plan>) -> Self {
        Self {
            session,
            plan,
            looked: 0,
        }
    }

    /// Whether the first of several works gets alone what it got together with the others.
    fn is_apart(
        &mut self,
        first: &Work,
        together: Option<&Result<Product, Failure>>,
        interrupt: &Interrupt,
    ) -> bool {
        if self.looked >= LOOK_AT {
            return true;
        }
        let Some(Ok(together)) = together else {
            return true;
        };
        self.looked += 1;
        let alone = match self.run(&[first], interrupt) {
            Ok(mut results) => results.pop(),
            // Whoever was to get this has gone, or will see it fail.
            Err(_) => None,
        };
        match (alone, together) {
            (Some(Ok(Product::Tensors(alone))), Product::Tensors(together)) => {
                alone.len() == together.len()
                    && alone.iter().zip(together).all(|(one, other)| alike(one, other))
            }
            (Some(Ok(Product::Vectors(alone))), Product::Vectors(together)) => {
                let tensor = |values: &[f32]| Tensor::new(vec![values.len()], values.to_vec());
                matches!((tensor(&alone), tensor(together)), (Ok(one), Ok(other)) if alike(&one, &other))
            }
            _ => true,
        }
    }

    fn embed(&mut self, works: &[&Work], interrupt: &Interrupt) -> Result<Results<Product>, Refusal> {
        let Some(plan) = &self.plan else {
            let failure = Failure::new(Code::Internal, "This model embeds no texts.");
            return Err(Refusal::Failed(failure));
        };
        let mut rows: Vec<&[u32]> = Vec::new();
        let mut counts = Vec::with_capacity(works.len());
        for work in works {
            let Work::Embed(texts) = work else {
                return Err(Refusal::Inseparable);
            };
            rows.extend(texts.iter().map(|row| &**row));
            counts.push(texts.len());
        }
        if !plan.pads() && rows.iter().any(|row| row.len() != rows[0].len()) {
            return Err(Refusal::Inseparable);
        }
        let vectors = plan.embed(&mut *self.session, &rows, interrupt);
        let mut vectors = vectors.map_err(Refusal::Failed)?.into_iter();
        let product = |count| {
            let own: Result<Vec<_>, Failure> = vectors.by_ref().take(count).collect();
            own.map(|vectors| Product::Vectors(vectors.concat()))
        };
        Ok(counts.into_iter().map(product).collect())
    }
}

fn run_one(
    session: &mut dyn Session,
    inputs: &[(String, Tensor)],
    outputs: &[String],
    interrupt: &Interrupt,
) -> Result<Results<Product>, Refusal> {
    let inputs: Vec<_> = inputs
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    let outputs: Vec<_> = outputs.iter().map(String::as_str).collect();
    let given = session.run(&inputs, &outputs, interrupt).map_err(failed)?;
    Ok(vec![Ok(Product::Tensors(given))])
}

/// One run on the rows of several requests: all have the same inputs and outputs, of the same shapes but for the rows.
fn run_together(
    session: &mut dyn Session,
    (first, outputs): (&[(String, Tensor)], &[String]),
    works: &[&Work],
    interrupt: &Interrupt,
) -> Result<Results<Product>, Refusal> {
    let mut requests = Vec::with_capacity(works.len());
    let mut rows = Vec::with_capacity(works.len());
    for work in works {
        match work {
            Work::Run {
                inputs,
                outputs: wanted,
            } if wanted == outputs && inputs.len() == first.len() => {
                rows.push(rows_of(inputs).ok_or(Refusal::Inseparable)?);
                requests.push(inputs);
            }
            _ => return Err(Refusal::Inseparable),
        }
    }
    let mut joined = Vec::with_capacity(first.len());
    for (place, (name, tensor)) in first.iter().enumerate() {
        let mut parts = Vec::with_capacity(requests.len());
        for inputs in &requests {
            let (other, part) = &inputs[place];
            if other != name || part.shape()[1..] != tensor.shape()[1..] {
                return Err(Refusal::Inseparable);
            }
            parts.push(part);
        }
        joined.push((name.as_str(), join(&parts).ok_or(Refusal::Inseparable)?));
    }
    let inputs: Vec<_> = joined.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let outputs: Vec<_> = outputs.iter().map(String::as_str).collect();
    let given = session.run(&inputs, &outputs, interrupt).map_err(failed)?;
    let mut products: Vec<Vec<Tensor>> = rows.iter().map(|_| Vec::with_capacity(given.len())).collect();
    for tensor in given {
        let parts = split(&tensor, &rows).ok_or(Refusal::Inseparable)?;
        for (product, part) in products.iter_mut().zip(parts) {
            product.push(part);
        }
    }
    let tensors = |tensors| Ok(Product::Tensors(tensors));
    Ok(products.into_iter().map(tensors).collect())
}

fn failed(error: Error) -> Refusal {
    Refusal::Failed(error.into())
}

/// How requests of one model become pieces.
#[derive(Debug)]
pub(crate) struct Joining {
    /// Rows of several requests may share a run.
    rows_are_apart: bool,
    /// The graph's rows can be told apart: all inputs and outputs have them along axis 0.
    splits: bool,
    /// Rows of different lengths may.
    pads: bool,
    max_rows: u64,
    max_tokens: usize,
    hasher: RandomState,
}

impl Joining {
    /// For a model with these inputs and outputs; a run has at most so many rows, or tokens where it knows tokens.
    pub(crate) fn new(
        (inputs, outputs): (&[TensorSpec], &[TensorSpec]),
        rows_are_apart: bool,
        plan: Option<&Plan>,
        (max_rows, max_tokens): (usize, usize),
    ) -> Self {
        Self {
            rows_are_apart,
            splits: rows_are_apart && have_rows(inputs) && have_rows(outputs),
            pads: plan.is_some_and(Plan::pads),
            max_rows: wide(max_rows),
            max_tokens,
            hasher: RandomState::new(),
        }
    }

    /// The pieces of a request to embed these texts, and where the rows of each belong.
    pub(crate) fn texts(&self, rows: Vec<Row>) -> (Vec<Piece<Work>>, Vec<Vec<usize>>) {
        let places = if self.rows_are_apart {
            // The longest first, so that those that fit together stand together.
            let mut places: Vec<_> = (0..rows.len()).map(|place| vec![place]).collect();
            places.sort_by_key(|place| std::cmp::Reverse(rows[place[0]].len()));
            places
        } else {
            groups(&rows, self.pads, self.max_tokens)
        };
        let mut rows: Vec<Option<Row>> = rows.into_iter().map(Some).collect();
        let pieces = places.iter().map(|places| {
            let own: Vec<Row> = places.iter().filter_map(|&place| rows[place].take()).collect();
            let used: usize = own.iter().map(|row| row.len()).sum();
            let width = own.iter().map(|row| row.len()).max().unwrap_or(0);
            let key = match (self.rows_are_apart, self.pads) {
                (false, _) => None,
                (true, true) => Some(0),
                (true, false) => Some(self.hasher.hash_one(("texts", width))),
            };
            Piece {
                form: Form {
                    key,
                    rows: wide(own.len()),
                    width: wide(width),
                    used: wide(used),
                    limit: wide(self.max_tokens),
                },
                bytes: used * 4,
                work: Work::Embed(own),
            }
        });
        (pieces.collect(), places)
    }

    /// The piece that a request to run the graph is.
    pub(crate) fn tensors(
        &self,
        inputs: Vec<(String, Tensor)>,
        outputs: Vec<String>,
        embeds: bool,
    ) -> Piece<Work> {
        let rows = rows_of(&inputs);
        // Where texts are embedded, the limits are in tokens.
        let width = match inputs.first() {
            Some((_, tensor)) if embeds => tensor.shape().get(1).copied().unwrap_or(1),
            _ => 1,
        };
        let rows_or_one = rows.unwrap_or(1);
        let form = Form {
            key: rows
                .filter(|_| self.splits)
                .map(|_| self.key_of(&inputs, &outputs)),
            rows: wide(rows_or_one),
            width: wide(width.max(1)),
            used: wide(rows_or_one * width.max(1)),
            limit: if embeds {
                wide(self.max_tokens)
            } else {
                self.max_rows
            },
        };
        let bytes = inputs.iter().map(|(_, tensor)| size_of(tensor.elements())).sum();
        Piece {
            work: Work::Run { inputs, outputs },
            form,
            bytes,
        }
    }

    /// Different for everything that must not be joined, but for the rare case in which the run itself notices.
    fn key_of(&self, inputs: &[(String, Tensor)], outputs: &[String]) -> u64 {
        use std::hash::{Hash as _, Hasher as _};
        let mut hasher = self.hasher.build_hasher();
        for (name, tensor) in inputs {
            name.hash(&mut hasher);
            tensor.datatype().hash(&mut hasher);
            tensor.shape()[1..].hash(&mut hasher);
        }
        outputs.hash(&mut hasher);
        hasher.finish()
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn size_of(elements: &Elements) -> usize {
    match (elements, elements.datatype().size_bytes()) {
        (Elements::Bytes(texts), _) => texts.iter().map(|text| text.len() + 24).sum(),
        (_, size) => elements.len() * size.unwrap_or(1),
    }
}

/// Whether each of these has rows along axis 0: open, and of the same name where they are named.
fn have_rows(specs: &[TensorSpec]) -> bool {
    let mut names = specs.iter().map(|spec| match spec.shape.first() {
        Some(Dimension::Symbolic(name)) => Some(Some(name)),
        Some(Dimension::Fixed(extent)) if *extent < 0 => Some(None),
        _ => None,
    });
    let mut known: Option<&String> = None;
    names.all(|name| match name {
        None => false,
        Some(None) => true,
        Some(Some(name)) => *known.get_or_insert(name) == name,
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
    fn only_what_has_rows_everywhere_is_joined() {
        let spec = |first: &[Dimension]| TensorSpec {
            name: "x".to_owned(),
            datatype: berth_domain::tensor::Datatype::Fp32,
            shape: first.to_vec(),
        };
        let named = |name: &str| spec(&[Dimension::Symbolic(name.to_owned())]);
        assert!(have_rows(&[named("b"), spec(&[Dimension::OPEN]), named("b")]));
        assert!(!have_rows(&[named("b"), named("n")]));
        assert!(!have_rows(&[named("b"), spec(&[Dimension::Fixed(1)])]));
        assert!(!have_rows(&[spec(&[])]));
    }

    #[test]
    fn shapes_types_and_outputs_make_the_key() {
        let x = TensorSpec {
            name: "x".to_owned(),
            datatype: berth_domain::tensor::Datatype::Fp32,
            shape: vec![Dimension::OPEN, Dimension::OPEN],
        };
        let specs = [x];
        let joining = Joining::new((&specs, &specs), true, None, (32, 2048));
        let key = |tensor: Tensor, output: &str| {
            let inputs = vec![("x".to_owned(), tensor)];
            joining.tensors(inputs, vec![output.to_owned()], false).form.key
        };
        let same = key(tensor(1, vec![1.0, 2.0]), "y");
        assert!(same.is_some());
        assert_eq!(key(tensor(3, vec![0.0; 6]), "y"), same);
        assert_ne!(key(tensor(1, vec![1.0]), "y"), same);
        assert_ne!(key(tensor(1, vec![1.0, 2.0]), "z"), same);
        assert_eq!(
            key(Tensor::new(vec![0, 2], Vec::<f32>::new()).expect("fits"), "y"),
            None
        );
        let depends = Joining::new((&specs, &specs), false, None, (32, 2048));
        let inputs = vec![("x".to_owned(), tensor(1, vec![1.0]))];
        assert_eq!(depends.tensors(inputs, Vec::new(), false).form.key, None);
    }
}
