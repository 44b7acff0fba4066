//! Uploaders: push models that differ from each other, and some that mean harm.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use berth_test_support::hostile_models::{HostileUpload, hostile_uploads};
use berth_test_support::onnx_models::{self as onnx, element};
use reqwest::Method;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::gateway::{Body, Gateway, Outcome, Request};
use super::plan::Dice;
use crate::installation::LIMIT;
use crate::tenant::Tenant;

/// How often each uploader sends something.
const RHYTHM: Duration = Duration::from_millis(1_500);

/// How long an uploader waits before it sends the same again.
const RETRY: Duration = Duration::from_millis(300);

/// The model that must never be.
pub(super) const HOSTILE: &str = "hostile";

/// An upload that was accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) model: String,
    pub(super) number: u64,
    pub(super) version: String,
    /// The digest of its only file.
    pub(super) digest: String,
    pub(super) bytes: Vec<u8>,
}

/// Uploads one thing after the other.
#[derive(Debug)]
pub(super) struct Uploader {
    number: usize,
    gateway: Arc<Gateway>,
    tenant: Tenant,
    dice: Dice,
    hostile: Vec<HostileUpload>,
}

impl Uploader {
    pub(super) fn new(number: usize, gateway: Arc<Gateway>, tenant: Tenant, dice: Dice) -> Result<Self> {
        Ok(Self {
            number,
            gateway,
            tenant,
            dice,
            hostile: hostile_uploads()?,
        })
    }

    /// Uploads until told to stop; what has been begun is brought to its end. Gives what was accepted.
    pub(super) async fn run(self, stop: watch::Receiver<bool>) -> Vec<Accepted> {
        let mut tick = interval(RHYTHM);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut accepted = Vec::new();
        let (mut model, mut item) = (0, 0_u16);
        loop {
            tick.tick().await;
            if *stop.borrow() {
                return accepted;
            }
            if self.dice.below(3) == 0 {
                self.send_hostile().await;
                continue;
            }
            // Now and then another version of the same model.
            model += usize::from(self.dice.below(4) > 0);
            item += 1;
            let name = format!("model-{}-{model}", self.number);
            accepted.extend(self.send(&name, model_of(self.number, item), &stop).await);
        }
    }

    /// Sends a model again and again until it is accepted.
    async fn send(&self, model: &str, bytes: Vec<u8>, stop: &watch::Receiver<bool>) -> Option<Accepted> {
        let mut tick = interval(RETRY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calm_since = None;
        loop {
            tick.tick().await;
            let upload = self.upload("upload", model, "model.onnx", bytes.clone(), &["unavailable"]);
            match upload.await {
                Outcome::Accepted(version) => return self.accepted(model, bytes, &version),
                Outcome::Fault => return None,
                Outcome::Refused | Outcome::Silence => {}
            }
            if *stop.borrow() && calm_since.get_or_insert_with(Instant::now).elapsed() > LIMIT {
                let text = format!("`{model}` is not taken although nothing is broken any more");
                self.gateway.record().fault(&text);
                return None;
            }
        }
    }

    fn accepted(&self, model: &str, bytes: Vec<u8>, version: &Value) -> Option<Accepted> {
        let read = || {
            Some(Accepted {
                model: model.to_owned(),
                number: version["number"].as_u64()?,
                version: version["version_id"].as_str()?.to_owned(),
                digest: version["files"][0]["digest"].as_str()?.to_owned(),
                bytes,
            })
        };
        let accepted = read();
        if accepted.is_none() {
            let text = format!("the answer to an upload is not whole: {version}");
            self.gateway.record().fault(&text);
        }
        accepted
    }

    async fn send_hostile(&self) {
        let upload = &self.hostile[self.dice.below(self.hostile.len())];
        let may_fail = ["unavailable", upload.code];
        let bytes = upload.bytes.clone();
        let sent = self.upload("hostile upload", HOSTILE, upload.file_name, bytes, &may_fail);
        if let Outcome::Accepted(version) = sent.await {
            let text = format!("`{}` was accepted: {version}", upload.name);
            self.gateway.record().fault(&text);
        }
    }

    async fn upload(
        &self,
        what: &'static str,
        model: &str,
        file_name: &str,
        bytes: Vec<u8>,
        may_fail: &[&str],
    ) -> Outcome {
        let path = format!("/models/{model}/versions?filename={file_name}");
        let request = Request {
            what,
            method: Method::POST,
            path: &self.tenant.path(&path),
            token: &self.tenant.token,
            body: Body::Bytes(bytes),
            may_fail,
        };
        self.gateway.send(self.dice.below(2), request).await
    }
}

/// The model number `item` of uploader `number`: like no other.
fn model_of(number: usize, item: u16) -> Vec<u8> {
    let weight = [f32::from(item), f32::from(u8::try_from(number).unwrap_or(0)), 0.5];
    onnx::model(&onnx::graph(
        &[onnx::node("Add", &["x", "weight"], &["y"], &[])],
        &[onnx::floats("weight", &[3], &weight)],
        &[onnx::port("x", element::FLOAT, &["rows", "3"])],
        &[onnx::port("y", element::FLOAT, &["rows", "3"])],
    ))
    .into_bytes()
}
