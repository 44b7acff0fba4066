//! Random texts of letters and digits: they survive a double click, a URL and every shell.

use berth_domain::random::Random;

/// The digits of base 62, in the order of ASCII.
pub(crate) const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The largest multiple of 62 that fits a byte: bytes from here on would make the first digits likelier.
const UNBIASED: u8 = 248;

/// `length` digits, each equally likely: 5.95 bits each, so 43 of them hold more than 256 bits.
pub(crate) fn random(random: &dyn Random, length: usize) -> String {
    let mut text = String::with_capacity(length);
    let mut noise = [0; 64];
    while text.len() < length {
        random.fill(&mut noise);
        let digits = noise.iter().filter(|&&byte| byte < UNBIASED);
        text.extend(
            digits
                .take(length - text.len())
                .map(|byte| char::from(ALPHABET[usize::from(byte % 62)])),
        );
    }
    text
}

/// The lowest `N` digits of `value`, the most significant first.
pub(crate) fn digits<const N: usize>(mut value: u64) -> [u8; N] {
    let mut out = [0; N];
    for place in out.iter_mut().rev() {
        *place = ALPHABET[usize::try_from(value % 62).unwrap_or(0)];
        value /= 62;
    }
    out
}

/// Whether `text` consists of digits of base 62.
pub(crate) fn is_base62(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use berth_domain::random::SeededRandom;

    use super::*;

    #[test]
    fn random_text_has_the_length_asked_for_and_uses_every_digit() {
        let text = random(&SeededRandom::new(1), 20_000);
        assert_eq!(text.len(), 20_000);
        assert!(is_base62(text.as_bytes()));
        for digit in ALPHABET {
            let count = text.bytes().filter(|byte| byte == digit).count();
            // 323 are expected; a bias by the remainder of 256 would give eight digits a quarter more than the others.
            assert!(
                (240..410).contains(&count),
                "{} occurs {count} times",
                char::from(*digit)
            );
        }
    }

    #[test]
    fn number_is_written_with_leading_zeros() {
        assert_eq!(&digits::<3>(0), b"000");
        assert_eq!(&digits::<3>(62 * 62 - 1), b"0zz");
        assert_eq!(&digits::<2>(62 * 62 + 1), b"01");
    }
}
