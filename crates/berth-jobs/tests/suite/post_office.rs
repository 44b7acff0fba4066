//! A mail server that does as the test says.

pub(crate) use berth_test_support::PostOffice;
