//! Writing numbers into a JSON body.

/// Writes numbers with buffers that are kept between them.
#[derive(Default)]
pub(crate) struct NumberWriter {
    integer: itoa::Buffer,
    float: zmij::Buffer,
}

impl NumberWriter {
    /// Writes an integer.
    pub(crate) fn integer(&mut self, out: &mut String, value: impl itoa::Integer) {
        out.push_str(self.integer.format(value));
    }

    /// Writes a float in its shortest form that reads back as the same. `false` when it is not finite: JSON has no form
    /// for that, and nothing is written.
    pub(crate) fn float<F: zmij::Float + Into<f64> + Copy>(&mut self, out: &mut String, value: F) -> bool {
        let finite = value.into().is_finite();
        if finite {
            out.push_str(self.float.format_finite(value));
        }
        finite
    }
}

/// Writes a text with its quotes.
pub(crate) fn text(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (index, byte) in text.bytes().enumerate() {
        // Only ASCII is escaped, so the text is never cut inside a character.
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..index]);
        if byte < 0x20 {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.push_str("\\u00");
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        } else {
            out.push('\\');
            out.push(char::from(byte));
        }
        plain = index + 1;
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_back_as_the_same() {
        let mut writer = NumberWriter::default();
        for value in [
            0.0f32,
            -0.0,
            1.0,
            0.1,
            1e-45,
            f32::MAX,
            f32::MIN_POSITIVE,
            16_777_216.0,
        ] {
            let mut out = String::new();
            assert!(writer.float(&mut out, value));
            let read: f32 = serde_json::from_str(&out).expect("a JSON number");
            assert_eq!(read.to_bits(), value.to_bits());
        }
        assert!(!writer.float(&mut String::new(), f64::NAN));
        assert!(!writer.float(&mut String::new(), f32::NEG_INFINITY));
    }

    #[test]
    fn texts_read_back_as_the_same() {
        for sample in [
            "",
            "plain",
            "a\"b\\c",
            "\u{0}\u{1f}\n\t",
            "größer 漢字 🦀",
            "\\\\\"\"",
        ] {
            let mut out = String::new();
            text(&mut out, sample);
            assert_eq!(serde_json::from_str::<String>(&out).expect("a JSON text"), sample);
        }
    }
}
