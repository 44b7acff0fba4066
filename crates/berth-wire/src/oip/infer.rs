//! `POST /v2/models/{model}/infer`, the JSON form.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Named parameters of a request, a tensor or an answer.
pub type Parameters = serde_json::Map<String, serde_json::Value>;

/// Tensors for a model.
//
// It borrows from the body, and the numbers stay text until the tensor's type is known.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OipInferRequest)]
pub struct InferRequest<'a> {
    /// The caller's name for the request; comes back in the answer.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>)]
    pub id: Option<Cow<'a, str>>,
    /// Parameters of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    pub parameters: Option<Parameters>,
    /// The input tensors.
    #[serde(borrow)]
    pub inputs: Vec<InferInput<'a>>,
    /// The outputs that the answer should hold; all of them unless stated.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub outputs: Option<Vec<InferRequestedOutput<'a>>>,
}

/// One input tensor.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OipInferInput)]
pub struct InferInput<'a> {
    /// The name of the input.
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub name: Cow<'a, str>,
    /// The shape of this tensor.
    pub shape: Vec<i64>,
    /// The name of the element type, as the caller wrote it.
    #[serde(borrow)]
    #[schema(value_type = berth_domain::tensor::Datatype)]
    pub datatype: Cow<'a, str>,
    /// Parameters of the tensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    pub parameters: Option<Parameters>,
    /// The elements in row-major order, flat or nested like the shape; absent when they follow in binary.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<Value>>)]
    pub data: Option<&'a RawValue>,
}

/// One output that the answer should hold.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OipInferRequestedOutput)]
pub struct InferRequestedOutput<'a> {
    /// The name of the output.
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub name: Cow<'a, str>,
    /// Parameters of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    pub parameters: Option<Parameters>,
}

/// The tensors that a model gave.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipInferResponse)]
pub struct InferResponse {
    /// The model, as the request named it.
    pub model_name: String,
    /// The version that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub model_version: Option<String>,
    /// The request's own id, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// Parameters of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    pub parameters: Option<Parameters>,
    /// The output tensors.
    pub outputs: Vec<InferOutput>,
}

/// One output tensor.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipInferOutput)]
pub struct InferOutput {
    /// The name of the output.
    pub name: String,
    /// The element type.
    pub datatype: berth_domain::tensor::Datatype,
    /// The shape of this tensor.
    pub shape: Vec<i64>,
    /// Parameters of the tensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    pub parameters: Option<Parameters>,
    /// The elements in row-major order, flat; absent when they follow in binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<Value>>)]
    pub data: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_borrows_its_numbers_as_text() {
        let body = r#"{"id":"1","inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1.50, -2]}]}"#;
        let request: InferRequest<'_> = serde_json::from_str(body).expect("parses");
        assert_eq!(request.id.as_deref(), Some("1"));
        assert_eq!(request.inputs[0].shape, [2]);
        assert_eq!(request.inputs[0].data.expect("data").get(), "[1.50, -2]");
    }

    #[test]
    fn misspelled_field_is_refused() {
        let body = r#"{"inputs":[{"name":"x","shape":[1],"dataType":"FP32","data":[1]}]}"#;
        assert!(serde_json::from_str::<InferRequest<'_>>(body).is_err());
    }

    #[test]
    fn answer_leaves_out_what_is_absent() {
        let answer = InferResponse {
            model_name: "m".to_owned(),
            model_version: None,
            id: None,
            parameters: None,
            outputs: vec![InferOutput {
                name: "y".to_owned(),
                datatype: berth_domain::tensor::Datatype::Fp32,
                shape: vec![1],
                parameters: None,
                data: Some(serde_json::value::to_raw_value(&[0.5]).expect("serializes")),
            }],
        };
        assert_eq!(
            serde_json::to_string(&answer).expect("serializes"),
            r#"{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[0.5]}]}"#
        );
    }
}
