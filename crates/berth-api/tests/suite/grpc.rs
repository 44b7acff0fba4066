//! Inference over gRPC, as far as it goes without a worker: every method called by those who may and by those who may not, and
//! what is wrong with calls.

use std::time::Duration;

use berth_api::options::Grpc;
use berth_wire::oip::grpc::inference as pb;
use berth_wire::oip::grpc::inference::model_infer_request::InferInputTensor;
use bytes::{Buf, BufMut};
use prost::Message;
use serde_json::json;
use tokio_stream::StreamExt as _;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::furniture::Furnished;
use crate::house::{House, LIMIT, text};

const SERVICE: &str = "inference.GRPCInferenceService";

/// The description of the service.
const DESCRIPTION: &str = include_str!("../../../berth-wire/proto/inference.proto");

/// Messages as bytes, right or wrong.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining()).to_vec()))
    }
}

/// A client of gRPC.
struct Caller(Channel);

impl Caller {
    async fn of(house: &House) -> Self {
        let address = house.grpc.expect("gRPC is served");
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        Self(endpoint.connect().await.expect("connects"))
    }

    fn request<T>(message: T, key: Option<&str>) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(key) = key {
            let value = format!("Bearer {key}").parse().expect("a header");
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    async fn send(&self, path: &str, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Status> {
        let mut client = tonic::client::Grpc::new(self.0.clone()).max_encoding_message_size(usize::MAX);
        client.ready().await.expect("the server is there");
        let path = PathAndQuery::try_from(path).expect("a path");
        tokio::time::timeout(LIMIT, client.unary(request, path, Raw))
            .await
            .expect("is answered")
    }

    /// Calls a method of the protocol.
    async fn call(&self, method: &str, message: Vec<u8>, key: Option<&str>) -> Result<Vec<u8>, Status> {
        let request = Self::request(message, key);
        let answered = self.send(&format!("/{SERVICE}/{method}"), request).await;
        answered.map(Response::into_inner)
    }

    /// The same with messages.
    async fn ask<A: Message + Default>(&self, method: &str, asked: &impl Message, key: &str) -> A {
        let answer = self.call(method, asked.encode_to_vec(), Some(key)).await;
        A::decode(answer.expect("is answered").as_slice()).expect("a message")
    }

    /// The same for a stream of requests: what it ended with.
    async fn stream(
        &self,
        messages: Vec<Vec<u8>>,
        key: Option<&str>,
    ) -> Result<Vec<Result<pb::ModelStreamInferResponse, Status>>, Status> {
        let mut client = tonic::client::Grpc::new(self.0.clone());
        client.ready().await.expect("the server is there");
        let path = PathAndQuery::try_from(format!("/{SERVICE}/ModelStreamInfer")).expect("a path");
        let request = Self::request(tokio_stream::iter(messages), key);
        let mut answers = client.streaming(request, path, Raw).await?.into_inner();
        let mut all = Vec::new();
        while let Some(answer) = answers.next().await {
            all.push(
                answer.map(|answer| {
                    pb::ModelStreamInferResponse::decode(answer.as_slice()).expect("a message")
                }),
            );
        }
        Ok(all)
    }
}

async fn house() -> House {
    House::with(|options| options.grpc = Some(Grpc::default())).await
}

fn code_of(status: &Status) -> Option<&str> {
    status.metadata().get("berth-error-code")?.to_str().ok()
}

/// A request for the model `name`, whose input is right.
fn infer(name: &str) -> Vec<u8> {
    pb::ModelInferRequest {
        model_name: name.to_owned(),
        id: "r".to_owned(),
        inputs: vec![InferInputTensor {
            name: "x".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![1, 3],
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![vec![0; 12].into()],
        ..pb::ModelInferRequest::default()
    }
    .encode_to_vec()
}

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Calling,
    Deploying,
}

/// What is known of a method: a message for the model `name`, who may call it, whether it names a model, and what the key of the
/// model's project gets without a worker.
struct Known {
    method: &'static str,
    needs: Needs,
    message: Vec<u8>,
    names_a_model: bool,
    own: Code,
}

/// Every method that has one message.
fn table(name: &str) -> Vec<Known> {
    use Needs::{Calling, Deploying, Nothing};
    let known = |method, needs, message, names_a_model, own| Known {
        method,
        needs,
        message,
        names_a_model,
        own,
    };
    let name = || name.to_owned();
    // The first two fields of all that name a model are its name and version.
    let named = pb::ModelMetadataRequest {
        name: name(),
        version: String::new(),
    }
    .encode_to_vec();
    let load = pb::RepositoryModelLoadRequest {
        model_name: name(),
        ..pb::RepositoryModelLoadRequest::default()
    };
    let unload = pb::RepositoryModelUnloadRequest {
        model_name: name(),
        ..pb::RepositoryModelUnloadRequest::default()
    };
    vec![
        known("ServerLive", Nothing, vec![], false, Code::Ok),
        known("ServerReady", Nothing, vec![], false, Code::Ok),
        known("ServerMetadata", Nothing, vec![], false, Code::Ok),
        known("ModelReady", Calling, named.clone(), true, Code::Ok),
        known("ModelMetadata", Calling, named.clone(), true, Code::Ok),
        known("ModelConfig", Calling, named.clone(), true, Code::Ok),
        known("ModelStatistics", Calling, named, true, Code::Ok),
        known("RepositoryIndex", Calling, vec![], false, Code::Ok),
        known("ModelInfer", Calling, infer(&name()), true, Code::Unavailable),
        known(
            "RepositoryModelUnload",
            Deploying,
            unload.encode_to_vec(),
            true,
            Code::Ok,
        ),
        // It is resumed, and no worker loads it in the time that the test gives.
        known(
            "RepositoryModelLoad",
            Deploying,
            load.encode_to_vec(),
            true,
            Code::Unavailable,
        ),
    ]
}

#[test]
fn no_method_is_missing_from_the_walk() {
    let described: Vec<&str> = DESCRIPTION
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next())
        .collect();
    let mut known: Vec<&str> = table("").iter().map(|known| known.method).collect();
    known.push("ModelStreamInfer");
    assert_eq!(described.len(), known.len());
    for method in described {
        assert!(known.contains(&method), "`{method}` is missing");
    }
}

#[track_caller]
fn is_refused(outcome: Result<Vec<u8>, Status>, known: &Known, who: &str, code: Code) {
    match outcome {
        Err(status) => assert_eq!(status.code(), code, "{who} at `{}`: {status:?}", known.method),
        Ok(_) => unreachable!("{who} may call `{}`", known.method),
    }
}

#[tokio::test]
async fn methods_are_for_those_who_may() {
    let house = House::with(|options| {
        options.grpc = Some(Grpc::default());
        options.inference_timeout = Duration::from_secs(2);
    })
    .await;
    let acme = Furnished::new(&house, "acme").await;
    let other = Furnished::new(&house, "other").await;
    let weakest = house.key(&acme.tenant, &["models.read"]).await;
    let caller = Caller::of(&house).await;
    let before = house.rows().await;
    for known in table(&acme.deployment) {
        let call = async |key: Option<&str>| caller.call(known.method, known.message.clone(), key).await;
        if known.needs == Needs::Nothing {
            call(None).await.expect("everyone may");
            continue;
        }
        is_refused(call(None).await, &known, "nobody", Code::Unauthenticated);
        let stranger = call(Some("bth_test_x_y")).await;
        is_refused(stranger, &known, "a stranger", Code::Unauthenticated);
        let person = call(Some(&acme.tenant.token)).await;
        is_refused(person, &known, "a person", Code::PermissionDenied);
        let weak = call(Some(&weakest)).await;
        is_refused(weak, &known, "the weakest key", Code::PermissionDenied);
        let elsewhere = call(Some(&other.key)).await;
        if known.names_a_model {
            is_refused(elsewhere, &known, "a key of another organization", Code::NotFound);
        } else {
            let told = elsewhere.expect("tells of the other's own");
            let told = String::from_utf8_lossy(&told);
            assert!(
                told.contains(&other.deployment) && !told.contains(&acme.deployment),
                "{told}"
            );
        }
    }
    for (key, code) in [
        (None, Code::Unauthenticated),
        (Some(acme.tenant.token.as_str()), Code::PermissionDenied),
        (Some(&weakest), Code::PermissionDenied),
    ] {
        let refused = caller.stream(vec![infer(&acme.deployment)], key).await;
        assert_eq!(refused.expect_err("may not").code(), code);
    }
    let elsewhere = caller
        .stream(vec![infer(&acme.deployment)], Some(&other.key))
        .await;
    let told = elsewhere.expect("may call models").remove(0).expect("an answer");
    assert!(told.error_message.contains("There is no model"), "{told:?}");
    house.check_unchanged(&before).await;

    // The same calls find what is there, so that what others do not find is not simply absent.
    for known in table(&acme.deployment) {
        let answer = caller
            .call(known.method, known.message.clone(), Some(&acme.key))
            .await;
        let code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(code, known.own, "`{}`", known.method);
    }
    let answers = caller
        .stream(vec![infer(&acme.deployment); 2], Some(&acme.key))
        .await
        .expect("may");
    assert_eq!(answers.len(), 2);
    for answer in answers {
        let answer = answer.expect("an answer");
        assert!(!answer.error_message.is_empty());
        assert_eq!(answer.infer_response.expect("tells which").id, "r");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_told_by_its_status() {
    let house = house().await;
    let acme = Furnished::new(&house, "acme").await;
    let caller = Caller::of(&house).await;
    let key = Some(acme.key.as_str());
    let large = vec![0; 100_001];
    for (method, message, status, code) in [
        ("NoSuchMethod", vec![], Code::Unimplemented, "route_not_found"),
        ("TraceSetting", vec![], Code::Unimplemented, "route_not_found"),
        (
            "ModelMetadata",
            vec![0x0a, 5],
            Code::InvalidArgument,
            "invalid_value",
        ),
        (
            "ModelInfer",
            vec![0x0a, 5],
            Code::InvalidArgument,
            "invalid_value",
        ),
        ("ModelInfer", large, Code::ResourceExhausted, "body_too_large"),
        (
            "ModelInfer",
            [&infer(&acme.deployment)[..], &[0x12, 1, b'x']].concat(),
            Code::NotFound,
            "model_not_found",
        ),
        (
            "ModelInfer",
            infer("no-such-model"),
            Code::NotFound,
            "model_not_found",
        ),
        (
            "ModelInfer",
            infer(&acme.deployment),
            Code::Unavailable,
            "model_not_ready",
        ),
    ] {
        let refused = caller.call(method, message, key).await.expect_err("is refused");
        assert_eq!(
            (refused.code(), code_of(&refused)),
            (status, Some(code)),
            "{method}: {refused:?}"
        );
        let pushback = refused.metadata().get("grpc-retry-pushback-ms");
        assert_eq!(
            pushback.is_some_and(|wait| wait != "-1"),
            status == Code::Unavailable,
            "{method}: {refused:?}"
        );
        assert!(refused.metadata().contains_key("x-request-id"), "{refused:?}");
    }
    let answer = caller
        .send(&format!("/{SERVICE}/ServerLive"), Caller::request(vec![], None))
        .await
        .expect("is answered");
    assert!(answer.metadata().contains_key("x-request-id"));

    let health = caller
        .send("/grpc.health.v1.Health/Check", Caller::request(vec![], None))
        .await
        .expect("is answered");
    assert_eq!(health.into_inner(), [0x08, 1], "it serves");

    // A stream ends with what makes it senseless to go on; what came before is answered.
    let ended = caller
        .stream(vec![infer(&acme.deployment), vec![0; 100_001]], key)
        .await
        .expect("may");
    let ended: Vec<_> = ended
        .iter()
        .map(|answer| answer.as_ref().map_err(Status::code))
        .collect();
    assert!(
        matches!(ended[..], [Ok(_), Err(Code::ResourceExhausted)]),
        "{ended:?}"
    );

    let list = format!("{}/api-keys", acme.tenant.project_root());
    let keys = house.get(&list, &acme.tenant.token).await.succeeded(200);
    let id = text(&keys["data"][0]["api_key_id"]);
    let revoke = format!("{list}/{id}/revoke");
    house
        .post(&revoke, &acme.tenant.token, &json!({}))
        .await
        .succeeded(200);
    let refused = berth_test_support::wait_until(LIMIT, async || {
        let refused = caller.call("RepositoryIndex", vec![], key).await;
        refused.is_err_and(|status| code_of(&status) == Some("api_key_revoked"))
    });
    refused.await.expect("a revoked key is refused");
}

#[tokio::test]
async fn repository_stops_resumes_and_makes_deployments() {
    let house = House::with(|options| {
        options.grpc = Some(Grpc::default());
        options.inference_timeout = Duration::from_secs(2);
    })
    .await;
    let acme = Furnished::new(&house, "acme").await;
    let caller = Caller::of(&house).await;
    let index = async || {
        let asked = pb::RepositoryIndexRequest::default();
        let told: pb::RepositoryIndexResponse = caller.ask("RepositoryIndex", &asked, &acme.key).await;
        let models = told.models.into_iter();
        models
            .map(|model| (model.name, model.version, model.state))
            .collect::<Vec<_>>()
    };
    let stopped = async |name: &str| {
        let path = format!("{}/deployments/{name}", acme.tenant.project_root());
        let told = house.get(&path, &acme.tenant.token).await.succeeded(200);
        !told["stopped_at"].is_null()
    };
    let entry = |name: &str| (name.to_owned(), "1".to_owned(), "UNAVAILABLE".to_owned());
    assert_eq!(index().await, [entry(&acme.deployment)]);

    let unload = pb::RepositoryModelUnloadRequest {
        model_name: acme.deployment.clone(),
        ..pb::RepositoryModelUnloadRequest::default()
    };
    // Twice does no more than once.
    for _ in 0..2 {
        let _: pb::RepositoryModelUnloadResponse =
            caller.ask("RepositoryModelUnload", &unload, &acme.key).await;
        assert!(stopped(&acme.deployment).await);
    }
    assert_eq!(
        index().await,
        [entry(&acme.deployment)],
        "it is seen, and says so"
    );

    let load = async |name: &str, key: &str| {
        let asked = pb::RepositoryModelLoadRequest {
            model_name: name.to_owned(),
            ..pb::RepositoryModelLoadRequest::default()
        };
        let answer = caller
            .call("RepositoryModelLoad", asked.encode_to_vec(), Some(key))
            .await;
        answer.expect_err("no worker loads it").code()
    };
    assert_eq!(load(&acme.deployment, &acme.key).await, Code::Unavailable);
    assert!(!stopped(&acme.deployment).await, "it is resumed all the same");
    // The model's own name has no deployment yet.
    assert_eq!(load(&acme.model, &acme.key).await, Code::Unavailable);
    assert!(!stopped(&acme.model).await, "it is made");
    assert_eq!(load("no-such-model", &acme.key).await, Code::NotFound);

    // A key that may call some models alone has nothing to do with the others.
    let scopes = ["deployments.write", "inference.run"];
    let body = json!({"title": "k", "scopes": scopes, "models": ["else"]});
    let narrow = house.key_with(&acme.tenant, &body).await;
    assert_eq!(load(&acme.deployment, &narrow).await, Code::NotFound);

    // Over REST it is the same.
    let path = format!("/v2/repository/models/{}", acme.deployment);
    house
        .post(
            &format!("{path}/unload"),
            &acme.key,
            &json!({"parameters": {"unload_dependents": true}}),
        )
        .await
        .succeeded(200);
    assert!(stopped(&acme.deployment).await);
    let refused = house
        .post(
            &format!("{path}/load"),
            &acme.key,
            &json!({"parameters": {"config": "{}"}}),
        )
        .await;
    assert_eq!(refused.status.as_u16(), 400);
    assert!(stopped(&acme.deployment).await, "nothing came of it");
    let coming = house.post(&format!("{path}/load"), &acme.key, &json!({})).await;
    assert_eq!(coming.status.as_u16(), 503);
    assert!(!stopped(&acme.deployment).await);
}

#[tokio::test]
async fn end_of_the_server_ends_its_streams() {
    let mut house = house().await;
    let acme = Furnished::new(&house, "acme").await;
    let caller = Caller::of(&house).await;
    let mut client = tonic::client::Grpc::new(caller.0.clone());
    client.ready().await.expect("the server is there");
    let path = PathAndQuery::try_from(format!("/{SERVICE}/ModelStreamInfer")).expect("a path");
    // A client that stays and says nothing more.
    let requests = tokio_stream::iter([infer(&acme.deployment)]).chain(tokio_stream::pending());
    let request = Caller::request(requests, Some(&acme.key));
    let answers = client.streaming(request, path, Raw).await.expect("may");
    let mut answers = answers.into_inner();
    answers.next().await.expect("an answer").expect("well-formed");
    house.stop.cancel();
    let last = tokio::time::timeout(LIMIT, answers.next())
        .await
        .expect("in time");
    let status = last.expect("a status").expect_err("no answer");
    assert_eq!(status.code(), Code::Unavailable);
    let served = house.served.take().expect("it was served");
    let ended = tokio::time::timeout(LIMIT, served).await.expect("in time");
    ended.expect("no panic").expect("it ends in order");
}
