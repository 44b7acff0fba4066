//! Real servers, databases and builders for tests; development only.
