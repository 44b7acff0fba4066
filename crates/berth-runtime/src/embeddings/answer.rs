//! The body of the answer, written into one buffer.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::numbers::{self, NumberWriter};

/// The answer with `vectors` of `dimensions` numbers each, which are finite.
pub(crate) fn answer(model: &str, vectors: &[f32], dimensions: usize, tokens: u64, base64: bool) -> String {
    let rows = vectors.chunks_exact(dimensions.max(1));
    let per_number = if base64 { 6 } else { 13 };
    let mut out = String::with_capacity(vectors.len() * per_number + rows.len() * 64 + model.len() + 128);
    let mut writer = NumberWriter::default();
    out.push_str(r#"{"object":"list","data":["#);
    for (index, vector) in rows.enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(r#"{"object":"embedding","index":"#);
        writer.integer(&mut out, index);
        out.push_str(r#","embedding":"#);
        if base64 {
            write_base64(&mut out, vector);
        } else {
            write_floats(&mut out, &mut writer, vector);
        }
        out.push('}');
    }
    out.push_str(r#"],"model":"#);
    numbers::text(&mut out, model);
    out.push_str(r#","usage":{"prompt_tokens":"#);
    writer.integer(&mut out, tokens);
    out.push_str(r#","total_tokens":"#);
    writer.integer(&mut out, tokens);
    out.push_str("}}");
    out
}

fn write_floats(out: &mut String, writer: &mut NumberWriter, vector: &[f32]) {
    out.push('[');
    for (index, &number) in vector.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        writer.float(out, number);
    }
    out.push(']');
}

fn write_base64(out: &mut String, vector: &[f32]) {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    out.push('"');
    BASE64_STANDARD.encode_string(bytes, out);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use berth_wire::openai::{EmbeddingsResponse, EncodingFormat, Vector};

    use super::*;

    #[test]
    fn body_is_what_the_public_description_says() {
        let vectors = [0.5, -2.5e-9, 1.0, f32::MAX];
        for (format, base64) in [(EncodingFormat::Float, false), (EncodingFormat::Base64, true)] {
            let body = answer("a \"model\"", &vectors, 2, 7, base64);
            let read: EmbeddingsResponse = serde_json::from_str(&body).expect("a body");
            let vectors = vectors
                .chunks(2)
                .map(|vector| Vector::new(vector.to_vec(), format));
            assert_eq!(read, EmbeddingsResponse::new("a \"model\"", vectors.collect(), 7));
        }
    }
}
