//! What runs models: a backend loads them, a session runs one.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use berth_domain::tensor::TensorSpec;

use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::tensor::Tensor;

/// Loads models.
pub trait Backend: Send + Sync {
    /// What runs the models and in which version, such as `ONNX Runtime 1.32.0`.
    fn version(&self) -> &str;

    /// Loads `model`. Fails with [`Error::Load`] when it cannot be loaded, in words for the owner of the model, or when a
    /// provider that was demanded cannot be used: there is no silent fall-back.
    fn load(&self, model: &Model, options: &Options) -> Result<Box<dyn Session>, Error>;
}

/// A loaded model. It runs one thing at a time, so it belongs to one thread.
pub trait Session: Send {
    /// The inputs, in the graph's order.
    fn inputs(&self) -> &[TensorSpec];

    /// The outputs, in the graph's order.
    fn outputs(&self) -> &[TensorSpec];

    /// The execution providers that the model really runs on.
    fn providers(&self) -> &[String];

    /// Runs the model on named inputs and gives the outputs that are named, in the order of `outputs`.
    ///
    /// Fails with [`Error::InvalidInput`] when the data does not fit or an operator cannot work on it,
    /// [`Error::Interrupted`] soon after `interrupt` was triggered, and [`Error::Failed`] when the machine fails (out of
    /// memory, a device) or the model cannot run at all.
    fn run(
        &mut self,
        inputs: &[(&str, &Tensor)],
        outputs: &[&str],
        interrupt: &Interrupt,
    ) -> Result<Vec<Tensor>, Error>;
}

/// A model on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The folder with all of its files.
    pub folder: PathBuf,
    /// Path of the main graph in the folder.
    pub graph: String,
}

/// How a model is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the model may run on, the preferred first. What the first cannot run, the next one does; the CPU is always
    /// last. A provider that cannot be used is an error.
    pub providers: Vec<Provider>,
    /// How many threads work on one run.
    pub threads: usize,
    /// Whether the runtime keeps freed memory for later runs. It saves little time and never shrinks.
    pub arena: bool,
    /// How hard the graph is optimized before it runs.
    pub optimization: Optimization,
    /// How weights are held.
    pub weights: Weights,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            providers: vec![Provider::Cpu],
            threads: 1,
            arena: false,
            optimization: Optimization::All,
            weights: Weights::Prepacked,
        }
    }
}

/// How weights are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Weights {
    /// Copied into the order in which the processor reads them fastest.
    #[default]
    Prepacked,
    /// Left where they lie. What the graph keeps in files beside it is mapped from there: pages that the system can drop and
    /// read again, and that sessions over the same file share.
    ///
    /// The graph is optimized as by [`Optimization::Extended`] at most: [`Optimization::All`] would copy the weights of
    /// convolutions into another layout. float32 MiniLM (90 MB) takes 1.2 MB that cannot be dropped and loads in 11 ms
    /// (prepacked: 43 MB, 51 ms), EfficientNet-Lite0 takes 0.75 MB and loads in 4 ms (by `All` 13.9 MB, 25 ms). One text takes 1.8
    /// times as long, 32 texts take 5 % longer. Sums are added up in another order, so outputs differ in the last bits
    /// (MiniLM: by 2e-6). Weights that the graph computes from others, such as dequantized ones, are in memory all the same.
    Mapped,
}

/// How hard a graph is optimized before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Optimization {
    /// Not at all.
    None,
    /// Rewrites that keep the meaning exactly: constants are folded, what is not used is removed.
    Basic,
    /// Also operators joined into faster ones.
    Extended,
    /// Also memory layouts for this very processor.
    #[default]
    All,
}

/// What a model runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// The processor.
    Cpu,
    /// NVIDIA's CUDA.
    Cuda,
    /// NVIDIA's TensorRT.
    TensorRt,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Cuda, Self::TensorRt];

    /// The text form, as in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }

    /// Whether this build can use it, given a library that can.
    pub const fn is_compiled_in(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda => cfg!(feature = "cuda"),
            Self::TensorRt => cfg!(feature = "tensorrt"),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A text that names no provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no execution provider called `{0}`; known are cpu, cuda and tensorrt")]
pub struct UnknownProvider(pub String);

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.as_str() == text)
            .ok_or_else(|| UnknownProvider(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_texts_parse_back() {
        for provider in Provider::ALL {
            assert_eq!(provider.as_str().parse(), Ok(provider));
        }
        assert_eq!("gpu".parse::<Provider>(), Err(UnknownProvider("gpu".to_owned())));
    }
}
