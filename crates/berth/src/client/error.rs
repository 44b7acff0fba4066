//! Why a call to the server did not succeed.

use std::fmt;
use std::path::PathBuf;

use berth_wire::problem::{FieldProblem, Problem};
use serde_json::Value;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no session and no key to call with.
    #[error("nobody is signed in: use `berth login`, or set BERTH_URL and BERTH_API_KEY")]
    NotSignedIn,
    /// No answer came.
    #[error("`{url}` cannot be reached")]
    Unreachable {
        /// What was called.
        url: String,
        /// What went wrong on the way.
        #[source]
        source: reqwest::Error,
    },
    /// The server said no.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The answer was not what this client expects; probably there is no Berth at this address.
    #[error("the answer of `{url}` is not what a Berth server says")]
    Body {
        /// What was called.
        url: String,
        /// What could not be read.
        #[source]
        source: serde_json::Error,
    },
    /// The address of the server is no URL.
    #[error("`{url}` is no address of a server: it begins with `http://` or `https://`")]
    Url {
        /// What was given.
        url: String,
    },
    /// The file with the session could not be read or written.
    #[error("{action} `{}`", path.display())]
    Credentials {
        /// What was attempted, as a gerund.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: anyhow::Error,
    },
}

/// The server's own words on why it said no.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The stable code, where there is one.
    pub(crate) code: Option<String>,
    /// What happened, in words.
    pub(crate) message: String,
    /// The fields at fault.
    pub(crate) fields: Vec<FieldProblem>,
    /// The id under which the operator finds the request.
    pub(crate) request_id: Option<String>,
}

impl Refusal {
    /// Reads an error body in any of the forms that the server has: problem details, OpenAI's, the inference protocol's.
    pub(crate) fn read(status: u16, request_id: Option<String>, body: &[u8]) -> Self {
        let refusal = Self {
            status,
            request_id,
            ..Self::default()
        };
        if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
            return Self {
                code: Some(problem.code),
                message: problem.detail,
                fields: problem.errors,
                request_id: refusal.request_id.or(Some(problem.instance)),
                ..refusal
            };
        }
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &json["error"];
        if let Some(message) = error["message"].as_str() {
            let code = error["code"].as_str().map(str::to_owned);
            return Self {
                code,
                message: message.to_owned(),
                ..refusal
            };
        }
        if let Some(message) = error.as_str() {
            return Self {
                message: message.to_owned(),
                ..refusal
            };
        }
        let message = format!("the server answered with status {status} and no words of its own");
        Self { message, ..refusal }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        for FieldProblem { pointer, detail } in &self.fields {
            write!(out, "\n  {pointer}: {detail}")?;
        }
        match (&self.code, &self.request_id) {
            (Some(code), Some(id)) => write!(out, " ({code}, request {id})"),
            (Some(code), None) => write!(out, " ({code})"),
            (None, Some(id)) => write!(out, " (request {id})"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_error_body_is_read() {
        let problem =
            br#"{"type":"/errors/x","title":"t","status":422,"detail":"No graph.","instance":"req_1",
            "code":"model_no_graph","errors":[{"pointer":"/name","detail":"is taken"}]}"#;
        let refusal = Refusal::read(422, Some("req_2".to_owned()), problem);
        assert_eq!(
            refusal.to_string(),
            "No graph.\n  /name: is taken (model_no_graph, request req_2)"
        );
        let openai = br#"{"error":{"message":"No such model.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#;
        assert_eq!(
            Refusal::read(404, None, openai).to_string(),
            "No such model. (model_not_found)"
        );
        let protocol = br#"{"error":"No such model."}"#;
        assert_eq!(Refusal::read(404, None, protocol).to_string(), "No such model.");
        let proxy = b"<html>Bad gateway</html>";
        assert!(Refusal::read(502, None, proxy).to_string().contains("status 502"));
    }
}
