//! Accounts, keys, passwords, sessions and the permission table; no HTTP.
