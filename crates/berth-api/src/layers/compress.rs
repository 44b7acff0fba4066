//! Compresses large answers for callers that take gzip.
//!
//! Small answers are left alone, and most answers of models are small: compressing one costs more time than its
//! network does. The work is done off the threads that serve requests.

use std::io::Write as _;

use actix_web::body::{BodySize, BoxBody, MessageBody as _};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::errors::Failure;
use crate::frame::Frame;

/// The smallest answer that is compressed.
pub(crate) const SMALLEST_BYTES: u64 = 64 * 1024;

/// Runs the request inside; see the module.
pub(crate) async fn compress(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let wanted = Frame::of(request.request())?.options().compression && takes_gzip(request.headers());
    let response = next.call(request).await?;
    let worthwhile = matches!(response.response().body().size(), BodySize::Sized(size) if size >= SMALLEST_BYTES)
        && is_text(response.headers())
        && !response.headers().contains_key(header::CONTENT_ENCODING);
    if !worthwhile {
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (mut response, body) = response.into_parts();
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("accept-encoding"));
    let body = match body.try_into_bytes() {
        Ok(body) if wanted => body,
        Ok(body) => {
            return Ok(ServiceResponse::new(
                request,
                response.set_body(BoxBody::new(body)),
            ));
        }
        Err(body) => return Ok(ServiceResponse::new(request, response.set_body(body))),
    };
    let packed = web::block(move || gzip(&body))
        .await
        .map_err(Failure::internal)?
        .map_err(Failure::internal)?;
    response
        .headers_mut()
        .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(ServiceResponse::new(
        request,
        response.set_body(BoxBody::new(packed)),
    ))
}

fn gzip(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let refused = parts
                .filter_map(|part| part.strip_prefix("q="))
                .any(|weight| weight.parse() == Ok(0.0));
            named && !refused
        })
}

fn is_text(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| {
            kind.starts_with("text/") || kind.starts_with("application/json") || kind.contains("javascript")
        })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn takes(value: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        takes_gzip(&headers)
    }

    #[test]
    fn gzip_is_given_to_those_who_take_it() {
        assert!(takes("gzip"));
        assert!(takes("br, GZIP;q=0.5"));
        assert!(!takes("gzip;q=0"));
        assert!(!takes("identity, br"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn packed_body_unpacks_to_itself() {
        let body = vec![b'7'; 200_000];
        let packed = gzip(&body).expect("packs");
        assert!(packed.len() < 2_000);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.as_ref())
            .read_to_end(&mut unpacked)
            .expect("unpacks");
        assert_eq!(unpacked, body);
    }
}
