//! Words for models and their versions that every floor shares.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

macro_rules! words {
    ($($(#[$doc:meta])* $enum:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum $enum {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $enum {
            /// The text form, as in JSON and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $($enum::$variant => $text,)* }
            }
        }

        impl std::str::FromStr for $enum {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($text => Ok($enum::$variant),)*
                    _ => Err(UnknownWord(text.to_owned())),
                }
            }
        }
    )*};
}

/// A text that is none of the words of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not one of the known words here")]
pub struct UnknownWord(pub String);

words! {
    /// Who can see and call a model.
    Visibility {
        /// Its project.
        Project = "project",
        /// Every project of its organization.
        Organization = "organization",
        /// Every organization; only an operator can say so.
        Platform = "platform",
    }

    /// Where a version stands between upload and use.
    VersionState {
        /// Uploaded and accepted by the gate; a runner has not proved it yet.
        Checking = "checking",
        /// Proved: it can be deployed.
        Ready = "ready",
        /// A runner could not load or run it; the reason is told in words.
        Failed = "failed",
    }

    /// Whether an organization or project may be used.
    TenantStatus {
        /// In use.
        Active = "active",
        /// Keys and sign-in are refused; nothing is lost, and it can be resumed.
        Suspended = "suspended",
        /// Gone for its members; what concerns money stays.
        Deleted = "deleted",
    }
}

/// One file of a model version: where it stands in the folder, and which bytes it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelFile {
    /// Relative path with `/` between its parts; never absolute, never with `..`.
    pub path: String,
    /// SHA-256 of the bytes.
    pub digest: Sha256,
    /// How many bytes.
    pub size_bytes: u64,
}

/// The digest of a whole folder: SHA-256 over the lines `path NUL digest LF` of its files in order of path.
pub fn folder_digest(files: &[ModelFile]) -> Sha256 {
    let mut lines: Vec<_> = files
        .iter()
        .map(|file| format!("{}\0{}\n", file.path, file.digest))
        .collect();
    lines.sort_unstable();
    Sha256::of(lines.concat().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_digest_depends_on_names_and_bytes_but_not_on_order() {
        let file = |path: &str, bytes: &[u8]| ModelFile {
            path: path.to_owned(),
            digest: Sha256::of(bytes),
            size_bytes: 1,
        };
        let (a, b) = (file("a", b"1"), file("b", b"2"));
        let digest = folder_digest(&[a.clone(), b.clone()]);
        assert_eq!(digest, folder_digest(&[b.clone(), a.clone()]));
        assert_ne!(digest, folder_digest(&[file("b", b"1"), file("a", b"2")]));
        assert_ne!(digest, folder_digest(&[a]));
    }
}
