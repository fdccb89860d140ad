//! The random choices of Dassl and CoOp, reproduced: which few images train, which classes are base and which are
//! new, and how a validation split is cut off. Published few-shot numbers depend on exactly these choices, so the
//! generator is Python's own and every draw happens in the same order.

mod few_shot;
mod halves;
mod listings;
mod python_random;
mod splits;

pub use few_shot::{FewShot, few_shot, few_shot_of_class_lists};
pub use halves::halves;
pub use listings::{with_three_splits, with_validation};
pub use python_random::PythonRandom;
pub use splits::{SplitError, split_in_three, split_train_val};
