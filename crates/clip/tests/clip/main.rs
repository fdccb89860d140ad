//! Tests of the crate through its public interface.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod backbone_preprocess;
mod backbone_resnet;
mod backbone_vit;
mod bert;
mod common;
mod every_position;
mod files;
mod golden;
mod hub_formats;
mod injection;
mod mutations;
mod parameters;
mod precision;
mod published;
mod publishers;
mod resnet;
mod tokenizer;
mod tokenizer_files;
