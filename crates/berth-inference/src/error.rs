//! Why a model could not be loaded or run, told apart by who can act.

/// What a backend reports below the message.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a model could not be loaded or run. The messages are for people: the owner of the model, or the caller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model cannot be loaded, or not on what was demanded.
    #[error("{message}")]
    Load {
        /// Why, in words.
        message: String,
        /// What the runtime said, where it said something.
        #[source]
        source: Option<Source>,
    },
    /// The model refused the data: the caller can act.
    #[error("{message}")]
    InvalidInput {
        /// Why, in words.
        message: String,
        /// What the runtime said, where it said something.
        #[source]
        source: Option<Source>,
    },
    /// The run was stopped because nobody wants its result any more.
    #[error("the run was interrupted")]
    Interrupted,
    /// The model or the machine failed, whatever the data was.
    #[error("{message}")]
    Failed {
        /// Why, in words.
        message: String,
        /// What the runtime said, where it said something.
        #[source]
        source: Option<Source>,
    },
}

impl Error {
    /// A model that cannot be loaded, without a deeper cause.
    pub fn load(message: impl Into<String>) -> Self {
        Self::Load {
            message: message.into(),
            source: None,
        }
    }

    /// Data that the model refuses, without a deeper cause.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::InvalidInput {
            message: message.into(),
            source: None,
        }
    }

    /// A run that failed, without a deeper cause.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            source: None,
        }
    }
}
