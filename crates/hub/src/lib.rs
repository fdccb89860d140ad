#![doc = include_str!("../README.md")]

mod address;
mod bytes;
mod cache;
mod catalogue;
mod client;
mod digest;
mod download;
mod error;
mod fetch;
mod listing;
mod lock;
mod pins;
mod plain;
mod record;
mod repository;
mod selection;
mod settings;
mod snapshot;
mod space;
mod token;
mod transfer;
mod watch;

pub use address::Address;
pub use bytes::in_words;
pub use catalogue::{Entry, Published, Source, Use, all};
pub use error::FetchError;
pub use fetch::{Fetched, Wanted};
pub use repository::Repository;
pub use settings::{Patience, Settings};
pub use token::{NoToken, Token, TokenSource};
pub use watch::{Event, Watch};
