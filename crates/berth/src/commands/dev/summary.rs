//! What `berth dev` tells when everything is up.

use std::fmt::Write as _;

use berth_wire::openai::Vector;
use serde_json::{Value, json};

use super::demo::{Answered, Demo, TEXT};

/// What `berth dev` tells when everything is up.
#[derive(Debug)]
pub(crate) struct Summary {
    address: String,
    /// Host and port of gRPC, if it is served.
    grpc: Option<String>,
    email: String,
    password: String,
    api_key: String,
    organization_id: String,
    project_id: String,
    model: Option<(String, Answered)>,
}

impl Summary {
    /// Of the installation at `address`, with the model that has answered.
    pub(crate) fn new(
        address: &str,
        grpc: Option<String>,
        demo: &Demo,
        model: Option<(String, Answered)>,
    ) -> Self {
        Self {
            address: address.to_owned(),
            grpc,
            email: demo.email.clone(),
            password: demo.password.clone(),
            api_key: demo.api_key.clone(),
            organization_id: demo.organization_id.clone(),
            project_id: demo.project_id.clone(),
            model,
        }
    }

    /// For programs: one JSON object.
    pub(crate) fn json(&self) -> Value {
        let embedding = self.model.as_ref().map(|(_, answered)| numbers(answered));
        json!({
            "address": self.address,
            "grpc": self.grpc,
            "email": self.email,
            "password": self.password,
            "api_key": self.api_key,
            "organization_id": self.organization_id,
            "project_id": self.project_id,
            "model": self.model.as_ref().map(|(name, _)| name),
            "text": TEXT,
            "embedding": embedding,
        })
    }

    /// For people: the lines work as they stand.
    pub(crate) fn text(&self) -> String {
        let Self {
            address,
            email,
            password,
            api_key,
            ..
        } = self;
        let mut text = format!(
            "\nBerth is up.\n\n\
             \x20 address   {address}   (all operations: {address}/docs)\n\
             \x20 sign in   {email}   {password}\n\
             \x20 API key   {api_key}\n"
        );
        if let Some(grpc) = &self.grpc {
            let _ = writeln!(text, "\x20 gRPC      {grpc}   (Open Inference Protocol)");
        }
        if let Some((model, answered)) = &self.model {
            let numbers = numbers(answered);
            let shown: Vec<_> = numbers
                .iter()
                .take(3)
                .map(|number| format!("{number:.5}"))
                .collect();
            let _ = write!(
                text,
                "\x20 model     {model}   (answered in {} ms: {} numbers, {}, …)\n\n\
                 Call it:\n\n\
                 curl {address}/v1/embeddings -H 'authorization: Bearer {api_key}' \
                 -H 'content-type: application/json' -d '{{\"model\": \"{model}\", \"input\": \"{TEXT}\"}}'\n\n\
                 In Python, after `pip install openai`:\n\n\
                 from openai import OpenAI\n\
                 client = OpenAI(base_url=\"{address}/v1\", api_key=\"{api_key}\")\n\
                 print(client.embeddings.create(model=\"{model}\", input=\"{TEXT}\").data[0].embedding[:5])\n",
                answered.duration.as_millis(),
                numbers.len(),
                shown.join(", "),
            );
        }
        text + "\nCtrl-C stops everything.\n"
    }
}

fn numbers(answered: &Answered) -> &[f32] {
    match answered.response.data.first().map(|first| &first.embedding) {
        Some(Vector::Float(numbers)) => numbers,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use berth_wire::openai::EmbeddingsResponse;

    use super::*;

    fn summary() -> Summary {
        let demo = Demo {
            email: "demo@berth.local".to_owned(),
            api_key: "bth_dev_x".to_owned(),
            ..Demo::default()
        };
        let response = EmbeddingsResponse::new("minilm", vec![Vector::Float(vec![0.5, -1.0])], 9);
        let answered = Answered {
            response,
            duration: Duration::from_millis(7),
        };
        Summary::new(
            "http://127.0.0.1:8080",
            Some("127.0.0.1:8081".to_owned()),
            &demo,
            Some(("minilm".to_owned(), answered)),
        )
    }

    #[test]
    fn lines_can_be_used_as_they_stand() {
        let text = summary().text();
        for line in [
            "curl http://127.0.0.1:8080/v1/embeddings -H 'authorization: Bearer bth_dev_x' -H 'content-type: application/json' -d '{\"model\": \"minilm\", \"input\": \"A man is playing a guitar.\"}'",
            "client = OpenAI(base_url=\"http://127.0.0.1:8080/v1\", api_key=\"bth_dev_x\")",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn json_holds_what_programs_need() {
        let json = summary().json();
        assert_eq!(json["address"], "http://127.0.0.1:8080");
        assert_eq!(json["api_key"], "bth_dev_x");
        assert_eq!(json["model"], "minilm");
        assert_eq!(json["embedding"], json!([0.5, -1.0]));
    }
}
