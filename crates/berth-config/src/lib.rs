//! Configuration: file, then environment; unknown keys refused; secrets redacted.
