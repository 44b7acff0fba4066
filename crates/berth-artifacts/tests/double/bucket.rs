//! Just enough of S3 to test against: objects, ranges, uploads in parts. It checks that requests are signed with the
//! right key id, but not the signature.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const BUCKET: &str = "models";
pub(crate) const KEY_ID: &str = "berth-test";

/// A bucket that listens on a loopback port while this lives.
pub(crate) struct Bucket {
    pub(crate) endpoint: String,
    contents: Arc<Mutex<Contents>>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Contents {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: HashMap<String, BTreeMap<u32, Vec<u8>>>,
    /// Requests as `METHOD path?query`, in order.
    seen: Vec<String>,
    /// Connections are broken off once so many bytes of objects were sent in all.
    sends_at_most: Option<usize>,
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

struct Response {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// How much of the body is sent before the connection is dropped, if not all.
    sent: Option<usize>,
}

impl Bucket {
    pub(crate) async fn start() -> Self {
        // As every `main` does; the second test of a process finds it done.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let endpoint = format!("http://{}", listener.local_addr().expect("is bound"));
        let contents = Arc::new(Mutex::new(Contents::default()));
        let shared = Arc::clone(&contents);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A client that leaves is no failure.
                    let _ = converse(stream, &shared).await;
                });
            }
        });
        Self {
            endpoint,
            contents,
            server,
        }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.contents.lock().expect("whole").seen.clone()
    }

    pub(crate) fn send_at_most(&self, bytes: Option<usize>) {
        self.contents.lock().expect("whole").sends_at_most = bytes;
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn converse(stream: TcpStream, contents: &Mutex<Contents>) -> anyhow::Result<()> {
    let mut stream = BufStream::new(stream);
    loop {
        let request = read(&mut stream).await?;
        let head = request.method == "HEAD";
        let response = contents.lock().expect("whole").answer(&request);
        let mut text = format!("HTTP/1.1 {}\r\n", response.status);
        for (name, value) in &response.headers {
            write!(text, "{name}: {value}\r\n")?;
        }
        write!(text, "content-length: {}\r\n\r\n", response.body.len())?;
        stream.write_all(text.as_bytes()).await?;
        if !head {
            let sent = response.sent.unwrap_or(response.body.len());
            stream.write_all(&response.body[..sent]).await?;
        }
        stream.flush().await?;
        if response.sent.is_some() {
            return Ok(());
        }
    }
}

async fn read(stream: &mut BufStream<TcpStream>) -> anyhow::Result<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace();
    let method = words.next().context("a method")?.to_owned();
    let target = words.next().context("a target")?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(Ok(0), |length| length.parse())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Ok(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
    })
}

impl Contents {
    fn answer(&mut self, request: &Request) -> Response {
        let range = request.headers.get("range");
        self.seen.push(format!(
            "{} {}?{} {}",
            request.method,
            request.path,
            request.query,
            range.map_or("", String::as_str)
        ));
        let signed = request.headers.get("authorization").is_some_and(|line| {
            line.starts_with("AWS4-HMAC-SHA256 ") && line.contains(&format!("Credential={KEY_ID}/"))
        });
        let Some(name) = request
            .path
            .strip_prefix(&format!("/{BUCKET}/"))
            .filter(|_| signed)
        else {
            return plain("403 Forbidden", Vec::new());
        };
        let query: HashMap<_, _> = request
            .query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        match (request.method.as_str(), query.get("uploadId").copied()) {
            ("POST", None) if query.contains_key("uploads") => {
                let id = format!("upload-{}", self.uploads.len());
                self.uploads.insert(id.clone(), BTreeMap::new());
                let xml = format!(
                    "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{name}</Key>\
                     <UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                );
                plain("200 OK", xml.into_bytes())
            }
            ("PUT", Some(upload)) => {
                let number = query["partNumber"].parse().expect("a number");
                let parts = self.uploads.get_mut(upload).expect("a known upload");
                parts.insert(number, request.body.clone());
                tagged("200 OK", Vec::new())
            }
            ("POST", Some(upload)) => {
                let parts = self.uploads.remove(upload).expect("a known upload");
                let body = parts.into_values().flatten().collect();
                self.objects.insert(name.to_owned(), body);
                let xml = format!(
                    "<CompleteMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{name}</Key>\
                     <ETag>&quot;1&quot;</ETag></CompleteMultipartUploadResult>"
                );
                plain("200 OK", xml.into_bytes())
            }
            ("PUT", None) => {
                self.objects.insert(name.to_owned(), request.body.clone());
                tagged("200 OK", Vec::new())
            }
            ("DELETE", None) => {
                self.objects.remove(name);
                plain("204 No Content", Vec::new())
            }
            ("GET" | "HEAD", None) => self.object(name, range),
            _ => plain("400 Bad Request", Vec::new()),
        }
    }

    fn object(&mut self, name: &str, range: Option<&String>) -> Response {
        let Some(object) = self.objects.get(name) else {
            return plain("404 Not Found", Vec::new());
        };
        let (first, last) = range
            .and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
            .map_or((0, ""), |(first, last)| (first.parse().expect("a number"), last));
        let end = last.parse().map_or(object.len(), |last: usize| last + 1);
        let mut response = tagged("200 OK", object[first..end].to_vec());
        if range.is_some() {
            response.status = "206 Partial Content";
            response.headers.push((
                "content-range",
                format!("bytes {first}-{}/{}", end - 1, object.len()),
            ));
        }
        if let Some(left) = &mut self.sends_at_most {
            let sent = response.body.len().min(*left);
            *left -= sent;
            response.sent = (sent < response.body.len()).then_some(sent);
        }
        response
    }
}

fn plain(status: &'static str, body: Vec<u8>) -> Response {
    Response {
        status,
        headers: Vec::new(),
        body,
        sent: None,
    }
}

fn tagged(status: &'static str, body: Vec<u8>) -> Response {
    let mut response = plain(status, body);
    response.headers = vec![
        ("etag", "\"1\"".to_owned()),
        ("last-modified", "Mon, 23 Nov 2026 14:05:00 GMT".to_owned()),
    ];
    response
}
