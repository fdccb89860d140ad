//! Prompt learning: vectors are trained that the frozen towers read beside images and words.
//!
//! A method is a form of prompts ([`Prompts`]) under a [`PromptRegulariser`]:
//!
//! | Method | Prompts | Regulariser |
//! | --- | --- | --- |
//! | CoOp | [`ContextPrompts`] | none |
//! | KgCoOp | [`ContextPrompts`] | [`PromptRegulariser::KnowledgeGuided`] |
//! | visual prompts, shallow and deep | [`TowerPrompts`] of images alone | none |
//! | independent vision-language prompts | [`TowerPrompts`] | none |
//! | MaPLe | [`CoupledPrompts`] | none |
//! | PromptSRC | [`TowerPrompts`] | [`PromptRegulariser::SelfRegulating`] |
//!
//! ProGrad is CoOp under projected gradients: [`ProjectedContext`]. CoCoOp's context depends on the image, so that there is a text for each class and image:
//! [`ConditionalContext`]. PromptSRC's aggregation over epochs belongs to the training loop:
//! [`crate::aggregation`].

mod class_parts;
mod class_prompts;
mod conditional;
mod context;
mod coupled;
mod error;
pub(crate) mod frozen_images;
mod learning;
mod projected;
mod regulariser;
mod start;
mod towers;

pub use class_prompts::{ClassPrompts, NamePosition};
pub use conditional::{ConditionalContext, ConditionalSettings};
pub use context::{ContextPrompts, ContextSettings};
pub use coupled::CoupledPrompts;
pub use error::PromptError;
pub(crate) use learning::IMAGE_PROMPTS;
pub use learning::{PromptLearning, Prompts};
pub use projected::{ProjectedContext, ProjectionSettings};
pub use regulariser::PromptRegulariser;
pub use start::ContextStart;
pub use towers::{Depth, TowerPrompts, TowerSettings};
