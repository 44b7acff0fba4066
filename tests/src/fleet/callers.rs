//! Callers that go on whatever happens: a connection that is refused is made to the other API, and nothing else is tried again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use berth_test_support::wait_until;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::installation::LIMIT;
use crate::tenant::{Answer, Key, http};

/// A text and how its vector begins.
const TEXT: &str = "A man is playing a guitar.";
const VECTOR: [f64; 3] = [0.01939, -0.00235, -0.00788];

/// Something else than the right answer.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// What was answered, or went wrong.
    pub(super) what: String,
    /// The code, where there was one.
    pub(super) code: Option<String>,
    /// Whether the answer said when to try again.
    pub(super) has_advice: bool,
}

impl Failure {
    /// Whether it says that a node was lost, and what to do; or the node that was asked is the one that was killed.
    pub(super) fn is_clear(&self) -> bool {
        match self.code.as_deref() {
            Some("model_not_ready" | "runner_crashed") => self.has_advice,
            Some(_) => false,
            None => self.what.starts_with("lost: "),
        }
    }
}

/// What callers have to tell.
#[derive(Debug, Default, Clone)]
pub(super) struct Told {
    /// How many right answers they got.
    pub(super) answers: usize,
    /// All else.
    pub(super) failures: Vec<Failure>,
}

/// Some that keep their connections and some that do not.
pub(super) struct Callers {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    addresses: [String; 2],
    key: String,
    body: Value,
    done: AtomicBool,
    answers: AtomicUsize,
    failures: Mutex<Vec<Failure>>,
}

impl Callers {
    pub(super) fn start(addresses: [String; 2], key: &Key, model: &str) -> Self {
        let shared = Arc::new(Shared {
            addresses,
            key: key.text.clone(),
            body: json!({ "model": model, "input": TEXT }),
            done: AtomicBool::new(false),
            answers: AtomicUsize::new(0),
            failures: Mutex::default(),
        });
        let fresh = Client::builder()
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client");
        let mut tasks = JoinSet::new();
        for (number, client) in [http(), fresh.clone(), http(), fresh].into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                while !shared.done.load(Ordering::Relaxed) {
                    shared.call(&client, number % 2).await;
                }
            });
        }
        Self { shared, tasks }
    }

    /// Waits until so many more right answers have come.
    pub(super) async fn wait_for_answers(&self, more: usize) {
        let wanted = self.shared.answers.load(Ordering::Relaxed) + more;
        let come = || async { self.shared.answers.load(Ordering::Relaxed) >= wanted };
        wait_until(LIMIT, come).await.expect("answers go on");
    }

    pub(super) async fn stop(mut self) -> Told {
        self.shared.done.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no caller panics");
        }
        let failures = self
            .shared
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Told {
            answers: self.shared.answers.load(Ordering::Relaxed),
            failures: failures.clone(),
        }
    }
}

impl Shared {
    async fn call(&self, client: &Client, first: usize) {
        let outcome = match self.ask(client, first).await {
            Err(error) if error.is_connect() => self.ask(client, 1 - first).await,
            outcome => outcome,
        };
        let failure = match outcome {
            Ok(answer) if is_right(&answer) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Ok(answer) => Failure {
                what: format!("{}: {}", answer.status, answer.text),
                code: answer.code().map(str::to_owned),
                has_advice: answer.retry_after.is_some(),
            },
            Err(error) => Failure {
                what: format!("lost: {error:?}"),
                code: None,
                has_advice: false,
            },
        };
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(failure);
        // Whoever is told to wait does not hammer.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    async fn ask(&self, client: &Client, api: usize) -> reqwest::Result<Answer> {
        let request = client
            .post(format!("{}/v1/embeddings", self.addresses[api]))
            .bearer_auth(&self.key)
            .json(&self.body);
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        Ok(Answer {
            status,
            retry_after: headers
                .get("retry-after")
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        })
    }
}

fn is_right(answer: &Answer) -> bool {
    let vector = &answer.body["data"][0]["embedding"];
    answer.status.is_success()
        && VECTOR.iter().enumerate().all(|(index, known)| {
            vector[index]
                .as_f64()
                .is_some_and(|value| (value - known).abs() < 2e-4)
        })
}
