//! Problem details for HTTP APIs, RFC 9457: the error body of the control plane.

use serde::{Deserialize, Serialize};

/// The media type of [`Problem`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Why a request was refused or failed, in the form of RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// Where the code is explained, as a reference relative to this server.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference", example = "/errors/model_not_found")]
    pub kind: String,
    /// What the code means, the same for every occurrence.
    pub title: String,
    /// The HTTP status, once more.
    pub status: u16,
    /// What happened this time, in words.
    pub detail: String,
    /// The id of the request, as in the header `x-request-id`.
    pub instance: String,
    /// The stable code.
    pub code: String,
    /// The fields at fault, where they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// In how many milliseconds it is worth trying again; absent when waiting alone does not help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// Where the field stands: a JSON pointer (RFC 6901) into the body.
    #[schema(example = "/title")]
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_members_are_left_out() {
        let problem = Problem {
            kind: "/errors/route_not_found".to_owned(),
            title: "Nothing is served at this address".to_owned(),
            status: 404,
            detail: "There is no `/x`.".to_owned(),
            instance: "req_1".to_owned(),
            code: "route_not_found".to_owned(),
            errors: Vec::new(),
            retry_after_ms: None,
        };
        let json = serde_json::to_value(&problem).expect("serializes");
        let names: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(names, ["code", "detail", "instance", "status", "title", "type"]);
    }
}
