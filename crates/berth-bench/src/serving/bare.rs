//! ONNX Runtime alone: a session on one thread, in a loop.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::workload::{Data, Input, Workload};
use crate::statistics::quantile;

/// A loaded model and what it is asked.
pub(crate) struct Bare {
    session: Session,
    workload: Workload,
}

impl Bare {
    /// Loads the workload's model from the folder `models`, with the runtime's own settings and one thread.
    pub(crate) fn load(environment: &Environment, models: &Path, workload: &Workload) -> Result<Self> {
        let path = models.join(format!("{}.onnx", workload.name));
        let session = Session::builder(environment)?
            .with_intra_threads(1)
            .map_err(|error| anyhow!("setting threads: {error}"))?
            .commit_from_file(&path)
            .with_context(|| format!("loading {}", path.display()))?;
        Ok(Self {
            session,
            workload: workload.clone(),
        })
    }

    /// Runs `batch` copies of the request's row at once; gives back the elements of the output.
    pub(crate) fn run(&mut self, batch: usize) -> Result<Vec<f32>> {
        let inputs = self
            .workload
            .inputs
            .iter()
            .map(|input| Ok((input.name, value(input, batch)?)))
            .collect::<Result<Vec<(&str, SessionInputValue<'_>)>>>()?;
        let outputs = self.session.run(inputs)?;
        let (_, elements) = outputs[self.workload.output].try_extract_tensor::<f32>()?;
        Ok(elements.to_vec())
    }

    /// Rows a second at the best of the workload's batch sizes, each tried for its share of `length`.
    pub(crate) fn best_rate(&mut self, length: Duration) -> Result<f64> {
        let batches = self.workload.batches;
        let share = length / u32::try_from(batches.len()).unwrap_or(1);
        let mut best: f64 = 0.0;
        for &batch in batches {
            let (begin, mut rows) = (Instant::now(), 0.0);
            while begin.elapsed() < share {
                self.run(batch)?;
                #[expect(clippy::cast_precision_loss, reason = "a small number")]
                let more = batch as f64;
                rows += more;
            }
            best = best.max(rows / begin.elapsed().as_secs_f64());
        }
        Ok(best)
    }

    /// The median time of one row alone, in ms.
    pub(crate) fn single_p50_ms(&mut self, length: Duration) -> Result<f64> {
        let (begin, mut samples) = (Instant::now(), Vec::new());
        while begin.elapsed() < length {
            let start = Instant::now();
            self.run(1)?;
            samples.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(quantile(&mut samples, 0.5))
    }
}

fn value(input: &Input, batch: usize) -> Result<SessionInputValue<'static>> {
    let mut shape = vec![batch];
    shape.extend(&input.shape);
    Ok(match &input.data {
        Data::Fp32(data) => Tensor::from_array((shape, data.repeat(batch)))?.into(),
        Data::Int64(data) => Tensor::from_array((shape, data.repeat(batch)))?.into(),
    })
}
