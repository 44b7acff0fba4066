//! The least that a server can be: actix-web, one thread, the session in the handler. No keys, no limits, no isolation.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::error::{ErrorBadRequest, ErrorInternalServerError};
use actix_web::http::header::{ContentType, HeaderMap};
use actix_web::web::{Bytes, Data, PayloadConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::{Context as _, Result, anyhow};
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::workload::Workload;
use crate::{bare, pinning};

const BODY_LIMIT: usize = 16 << 20;

/// What it serves.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    onnxruntime: PathBuf,
    #[arg(long)]
    model: PathBuf,
}

/// Serves on core 0 and a free port, which it writes to the standard output, until it is killed.
pub(crate) fn serve(options: &Options) -> Result<()> {
    pinning::pin(0)?;
    let environment = bare::runtime(&options.onnxruntime)?;
    let session = Session::builder(&environment)?
        .with_intra_threads(1)
        .map_err(|error| anyhow!("setting threads: {error}"))?
        .commit_from_file(&options.model)
        .context("loading the model")?;
    let session = Data::from(Arc::new(Mutex::new(session)));
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(session.clone())
                .app_data(PayloadConfig::new(BODY_LIMIT))
                .route("/infer", web::post().to(infer))
        })
        .workers(1)
        .bind(("127.0.0.1", 0))
        .context("listening")?;
        let address = server.addrs()[0];
        writeln!(std::io::stdout(), "{address}")?;
        server.run().await.context("serving")
    })
}

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    inputs: Vec<AskedTensor<'a>>,
    outputs: Vec<Wanted<'a>>,
}

#[derive(Deserialize)]
struct AskedTensor<'a> {
    name: &'a str,
    shape: Vec<usize>,
    datatype: &'a str,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Wanted<'a> {
    name: &'a str,
}

#[derive(Deserialize, Serialize)]
struct Parameters {
    binary_data_size: usize,
}

#[derive(Serialize)]
struct Answer<'a> {
    outputs: [AnswerTensor<'a>; 1],
}

#[derive(Serialize)]
struct AnswerTensor<'a> {
    name: &'a str,
    shape: Vec<i64>,
    datatype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
}

async fn infer(
    session: Data<Mutex<Session>>,
    request: HttpRequest,
    body: Bytes,
) -> actix_web::Result<HttpResponse> {
    let json_length = json_length(request.headers());
    let (head, mut tail) = body.split_at(json_length.unwrap_or(body.len()).min(body.len()));
    let asked: Asked<'_> = serde_json::from_slice(head).map_err(ErrorBadRequest)?;
    let mut inputs: Vec<(&str, SessionInputValue<'_>)> = Vec::new();
    for tensor in &asked.inputs {
        inputs.push((tensor.name, value(tensor, &mut tail).map_err(ErrorBadRequest)?));
    }
    let wanted = asked
        .outputs
        .first()
        .ok_or_else(|| ErrorBadRequest("no output"))?;
    let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
    let outputs = session.run(inputs).map_err(ErrorInternalServerError)?;
    let output = outputs
        .get(wanted.name)
        .ok_or_else(|| ErrorBadRequest("unknown output"))?;
    let (shape, elements) = output
        .try_extract_tensor::<f32>()
        .map_err(ErrorInternalServerError)?;
    let binary = json_length.map(|_| Parameters {
        binary_data_size: size_of_val(elements),
    });
    let answer = Answer {
        outputs: [AnswerTensor {
            name: wanted.name,
            shape: shape.to_vec(),
            datatype: "FP32",
            data: binary.is_none().then_some(elements),
            parameters: binary,
        }],
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    let mut response = HttpResponse::Ok();
    if json_length.is_some() {
        response.insert_header(("inference-header-content-length", bytes.len().to_string()));
        bytes.extend(elements.iter().flat_map(|element| element.to_le_bytes()));
    }
    Ok(response.content_type(ContentType::json()).body(bytes))
}

fn json_length(headers: &HeaderMap) -> Option<usize> {
    let text = headers.get("inference-header-content-length")?.to_str().ok()?;
    text.parse().ok()
}

fn value(tensor: &AskedTensor<'_>, tail: &mut &[u8]) -> Result<SessionInputValue<'static>> {
    let bytes = match &tensor.parameters {
        Some(parameters) => {
            let (bytes, rest) = tail
                .split_at_checked(parameters.binary_data_size)
                .context("bytes are missing")?;
            *tail = rest;
            Some(bytes)
        }
        None => None,
    };
    let json = || tensor.data.map(RawValue::get).context("no data");
    let shape = tensor.shape.clone();
    Ok(match (tensor.datatype, bytes) {
        ("FP32", None) => Tensor::from_array((shape, serde_json::from_str::<Vec<f32>>(json()?)?))?.into(),
        ("INT64", None) => Tensor::from_array((shape, serde_json::from_str::<Vec<i64>>(json()?)?))?.into(),
        ("FP32", Some(bytes)) => {
            let elements: Vec<f32> = bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect();
            Tensor::from_array((shape, elements))?.into()
        }
        (other, _) => return Err(anyhow!("{other} is not served")),
    })
}

/// A running reference server; killed when dropped.
pub(crate) struct Reference {
    child: Child,
    address: String,
}

impl Reference {
    /// Starts it over the workload's model and waits for its address.
    pub(crate) fn start(options: &super::Options, workload: &Workload) -> Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut child = Command::new(program)
            .arg("reference")
            .arg("--onnxruntime")
            .arg(&options.onnxruntime)
            .arg("--model")
            .arg(options.models.join(format!("{}.onnx", workload.name)))
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the reference server")?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output)
                .read_line(&mut line)
                .context("reading its address")?;
        }
        let address = line.trim().to_owned();
        Ok(Self { child, address })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // It may have ended by itself, which its missing answers have told.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
