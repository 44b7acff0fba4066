//! The error body.

use serde::{Deserialize, Serialize};

/// An error as the OpenAI API tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OpenAiError)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorObject,
}

/// The inside of [`ErrorBody`]. All four keys are always there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OpenAiErrorObject)]
pub struct ErrorObject {
    /// What happened, in words.
    pub message: String,
    /// The class of the error, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The field at fault, such as `input[2]`, where it is known.
    #[schema(required)]
    pub param: Option<String>,
    /// The stable code.
    #[schema(required)]
    pub code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_keys_are_present_even_when_null() {
        let body = ErrorBody {
            error: ErrorObject {
                message: "No.".to_owned(),
                kind: "invalid_request_error".to_owned(),
                param: None,
                code: None,
            },
        };
        assert_eq!(
            serde_json::to_string(&body).expect("serializes"),
            r#"{"error":{"message":"No.","type":"invalid_request_error","param":null,"code":null}}"#
        );
    }
}
