//! Callers: embed known texts, and compare every vector.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::MODEL;
use super::gateway::{Body, Gateway, Outcome, Request};
use super::plan::Dice;
use crate::first_use::assert_known;
use crate::tenant::Key;

/// How often each caller calls.
const RHYTHM: Duration = Duration::from_millis(80);

/// Texts, the known one first; of different lengths, so that they differ in what they cost.
const TEXTS: [&str; 5] = [
    "A man is playing a guitar.",
    "Someone plays an instrument.",
    "The stock market fell sharply today.",
    "Rain",
    "After the storm the harbor lay still, the boats knocked softly against the quay, and nobody could say any more \
     which of the ropes had held and which had been tied anew in the night.",
];

/// What a caller may be told during a storm.
const MAY_FAIL: [&str; 4] = [
    "unavailable",
    "model_not_ready",
    "runner_crashed",
    "server_is_overloaded",
];

/// How far a number may be from the one before the storm.
const TOLERANCE: f64 = 1e-4;

/// Calls the model, knowing what must come.
#[derive(Debug)]
pub(super) struct Callers {
    gateway: Arc<Gateway>,
    key: Key,
    /// The vectors of [`TEXTS`].
    vectors: Vec<Vec<f64>>,
}

impl Callers {
    /// Asks for the vectors while nothing is broken.
    pub(super) async fn prepare(gateway: Arc<Gateway>, key: Key) -> Result<Self> {
        let mut callers = Self {
            gateway,
            key,
            vectors: Vec::new(),
        };
        let answer = callers.embed(0, &TEXTS, &[]).await;
        let Outcome::Accepted(body) = answer else {
            anyhow::bail!("the model does not answer: {answer:?}")
        };
        assert_known(&body["data"][0]["embedding"]);
        callers.vectors = vectors(&body).context("the answer holds no vectors")?;
        ensure!(callers.vectors.len() == TEXTS.len(), "a vector for each text");
        Ok(callers)
    }

    /// Calls both APIs in turn until told to stop.
    pub(super) async fn run(self: Arc<Self>, number: usize, dice: Dice, stop: watch::Receiver<bool>) {
        let mut tick = interval(RHYTHM);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turn = number;
        while !*stop.borrow() {
            tick.tick().await;
            turn += 1;
            let chosen: Vec<usize> = (0..=dice.below(3)).map(|_| dice.below(TEXTS.len())).collect();
            self.call(turn % 2, &chosen, &MAY_FAIL).await;
        }
    }

    /// Calls an API with some of the texts. Tells whether the right vectors came.
    pub(super) async fn call(&self, api: usize, chosen: &[usize], may_fail: &[&str]) -> bool {
        let texts: Vec<&str> = chosen.iter().map(|&text| TEXTS[text]).collect();
        let Outcome::Accepted(body) = self.embed(api, &texts, may_fail).await else {
            return false;
        };
        let expected = chosen.iter().map(|&text| self.vectors[text].as_slice());
        let right = vectors(&body).is_some_and(|found| {
            found.len() == chosen.len()
                && found
                    .iter()
                    .zip(expected)
                    .all(|(found, known)| near(found, known))
        });
        if !right {
            let text = format!("embed at api {api}: wrong vectors for the texts {chosen:?}: {body}");
            self.gateway.record().fault(&text);
        }
        right
    }

    async fn embed(&self, api: usize, texts: &[&str], may_fail: &[&str]) -> Outcome {
        let request = Request {
            what: "embed",
            method: Method::POST,
            path: "/v1/embeddings",
            token: &self.key.text,
            body: Body::Json(json!({ "model": MODEL, "input": texts })),
            may_fail,
        };
        self.gateway.send(api, request).await
    }
}

/// The vectors of an answer, each at the place that its index says.
fn vectors(body: &Value) -> Option<Vec<Vec<f64>>> {
    let rows = body["data"].as_array()?.iter().enumerate();
    rows.map(|(place, row)| {
        let at_its_place = row["index"].as_u64() == u64::try_from(place).ok();
        let numbers = row["embedding"].as_array().filter(|_| at_its_place)?;
        numbers.iter().map(Value::as_f64).collect()
    })
    .collect()
}

fn near(found: &[f64], known: &[f64]) -> bool {
    found.len() == known.len()
        && found
            .iter()
            .zip(known)
            .all(|(found, known)| (found - known).abs() <= TOLERANCE)
}
