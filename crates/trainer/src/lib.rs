//! Methods, optimisers and the training loop of regularised fine-tuning.

pub mod accumulation;
pub mod adapter;
pub mod aggregation;
pub mod augmentation;
pub mod batches;
pub mod calibration;
pub mod checkpoint;
pub mod class_texts;
pub mod comparison;
pub mod details;
pub mod device;
pub mod estimate;
pub mod evaluate;
pub mod experiment;
pub mod export;
pub mod files;
pub mod merge;
pub mod method;
pub mod methods;
pub mod metrics;
pub mod optim;
pub mod parameters;
pub mod pretrain;
pub mod probe;
pub mod prompts;
pub mod recorder;
pub mod run;
pub mod schedule;
pub mod simclr;
pub mod templates;
#[cfg(test)]
mod testing;
pub mod training;
pub mod training_groups;
pub mod training_state;
pub mod views;
pub mod zero_shot;
