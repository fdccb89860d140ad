//! The built-in world: a procedural world of small images and captions in which the claims of
//! papers can be measured in minutes, without a download.
//!
//! An image shows one object of one of 28 classes before one of eight backgrounds in one of four
//! styles. A tiny CLIP is pre-trained on [`pretraining_set`] with [`caption`]s of twenty of the
//! classes; the tasks ([`bias_task`], [`base_to_novel_task`], [`few_shot_task`], [`long_tailed_task`]) then show what
//! fine-tuning does to it when images come from a worse camera and classes go with backgrounds.
//!
//! The world is honest only if nothing in it is tuned to favour a method: its settings, and how they
//! came about, are in [`parameters`]. Every image is drawn from a random stream of its own, in `f64` with
//! transcendental functions from `libm`, so images are the same bytes on every platform and
//! whatever the number of threads.

mod backgrounds;
mod camera;
mod canvas;
mod captions;
pub mod export;
mod kept;
mod mask;
mod noise;
mod object;
pub mod parameters;
mod plan;
mod render;
mod scene;
mod shapes;
pub mod sheet;
mod split_plan;
mod splits;
mod styles;
mod tasks;
mod words;

pub use camera::Camera;
pub use captions::{Caption, LONGEST_CAPTION, caption};
pub use parameters::SIDE;
pub use plan::{TaskPlan, TestPlan};
pub use render::{IMAGE_BYTES, render};
pub use scene::{Pose, Scene};
pub use split_plan::SplitPlan;
pub use splits::{RenderedSplit, pretraining_set, zero_shot_set};
pub use tasks::{
    BIAS_CLASSES, TestSet, TestSize, WorldTask, WorldTest, base_to_novel_task, bias_task, few_shot_task,
    long_tailed_task,
};
pub use words::{
    ACTIVE, Background, CLASSES, CONTENT_WORDS, Class, Colour, Style, TEMPLATES, Texture, VOCABULARY, word_id,
};
