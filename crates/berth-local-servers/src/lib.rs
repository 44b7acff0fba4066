//! Launches a private Postgres server from installed programs, as root too.
