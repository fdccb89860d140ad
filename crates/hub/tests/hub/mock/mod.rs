//! A hub on this machine, for tests: a server whose answers the test writes, and a repository to serve.

pub mod repository;
pub mod server;
