//! Which passwords are accepted, after NIST SP 800-63B: length decides, not character classes; what everybody would
//! try first is refused; nothing expires by itself.

use berth_domain::name::Email;

/// The fewest characters.
pub const MIN_CHARACTERS: usize = 12;

/// The most bytes, so that hashing stays bounded.
pub const MAX_BYTES: usize = 1024;

/// Fewer different characters than this make `aaaaaaaaaaaa` and `121212121212`.
const MIN_DISTINCT: usize = 4;

/// Why a new password is refused; whoever chose it can act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too few characters.
    #[error("a password has at least {MIN_CHARACTERS} characters")]
    TooShort,
    /// Too many bytes.
    #[error("a password has at most {MAX_BYTES} bytes")]
    TooLong,
    /// It is, or is little more than, the e-mail address.
    #[error("the password is too close to the e-mail address")]
    LikeEmail,
    /// It is among those that are tried first.
    #[error("the password is one of those that are tried first")]
    Common,
}

/// Checks a new `password` of the person who signs in as `email`.
pub fn check(password: &str, email: &Email) -> Result<(), Error> {
    if password.chars().count() < MIN_CHARACTERS {
        return Err(Error::TooShort);
    }
    if password.len() > MAX_BYTES {
        return Err(Error::TooLong);
    }
    let lower = password.to_lowercase();
    let name = email.as_str().split('@').next().unwrap_or_default();
    let core = core(&lower);
    if lower == email.as_str() || core == name || lower.replace(' ', "") == name.repeat(2) {
        return Err(Error::LikeEmail);
    }
    let mut distinct: Vec<char> = lower.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < MIN_DISTINCT || is_common(core) || is_common(&lower) || is_run(&lower) {
        return Err(Error::Common);
    }
    Ok(())
}

/// `text` without the digits and punctuation that are put around a word to make it pass.
fn core(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_digit() || c.is_ascii_punctuation() || c == ' ')
}

/// Whether `text` is one or several of the common words.
fn is_common(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let Some(word) = COMMON.iter().find(|word| rest.starts_with(**word)) else {
            return false;
        };
        rest = &rest[word.len()..];
    }
    !text.is_empty()
}

/// Whether each character follows the one before it, upwards or downwards, as in `abcdefghijkl` and `987654321098`.
fn is_run(text: &str) -> bool {
    let steps: Vec<i64> = text
        .chars()
        .zip(text.chars().skip(1))
        .map(|(one, next)| i64::from(u32::from(next)) - i64::from(u32::from(one)))
        .collect();
    let follows = |step: i64| steps.iter().all(|&each| each == step || each == -9 * step);
    follows(1) || follows(-1)
}

/// The words that the commonest long passwords are made of, the longer first where one begins another.
const COMMON: &[&str] = &[
    "administrator",
    "administration",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertyuiopasdfghjkl",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb",
    "1qaz2wsx3edc4rfv",
    "1qaz2wsx3edc",
    "1q2w3e4r5t6y",
    "1q2w3e4r5t",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "q1w2e3r4t5y6",
    "qazwsxedcrfv",
    "qazwsxedc",
    "password1",
    "passwords",
    "passw0rd",
    "p@ssw0rd",
    "p@ssword",
    "password",
    "passwort",
    "motdepasse",
    "contraseña",
    "trustno1",
    "changeme",
    "letmein",
    "welcome1",
    "welcome",
    "iloveyou",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "superman",
    "dragon",
    "monkey",
    "shadow",
    "master",
    "secret",
    "default",
    "temporary",
    "testtest",
    "testing",
    "test",
    "admin",
    "root",
    "user",
    "guest",
    "login",
    "berth",
    "company",
    "qwerty",
    "abc123",
    "1234567890",
    "123456789",
    "12345678",
    "123456",
    "1234",
    "123",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(password: &str) -> Result<(), Error> {
        check(password, &"ada.lovelace@example.com".parse().expect("an address"))
    }

    #[test]
    fn long_passwords_of_any_kind_are_accepted() {
        for good in [
            "correct horse battery",
            "näher mein gött",
            "密码密码很长的密码一二三四",
            "K7#mQ2!vR9x@",
            "password of the old owl",
            &"many words ".repeat(90),
        ] {
            assert_eq!(judge(good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn length_is_counted_in_characters_and_bounded_in_bytes() {
        assert_eq!(judge("ölkännchen!"), Err(Error::TooShort));
        assert_eq!(judge(""), Err(Error::TooShort));
        assert_eq!(judge(&"abcd e".repeat(200)), Err(Error::TooLong));
    }

    #[test]
    fn email_address_is_no_password() {
        for bad in [
            "ada.lovelace@example.com",
            "Ada.Lovelace@Example.com",
            "Ada.Lovelace2024!",
            "ada.lovelaceada.lovelace",
        ] {
            assert_eq!(judge(bad), Err(Error::LikeEmail), "{bad:?}");
        }
    }

    #[test]
    fn what_everybody_tries_first_is_refused() {
        for bad in [
            "password1234",
            "PasswordPassword",
            "Password123!!",
            "administrator",
            "123456789012",
            "1234567890123",
            "qwertyuiop123",
            "aaaaaaaaaaaa",
            "121212121212",
            "abcdefghijklm",
            "987654321098",
            "letmeinletmein",
            "welcomeadmin1",
            "1q2w3e4r5t6y",
        ] {
            assert_eq!(judge(bad), Err(Error::Common), "{bad:?}");
        }
    }
}
