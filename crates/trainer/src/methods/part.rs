//! What a method changes in the frozen model, apart from what it minimises: the piece that methods are composed of.

use std::fmt::Debug;

use regulus_clip::Injection;

use crate::batches::Batch;
use crate::parameters::Parameters;

/// Parameters together with the place where the frozen towers read them. `parameters` passed to its functions have the
/// names of [`Part::parameters`].
pub trait Part: Debug + Send + Sync {
    /// The parameters with their initial values.
    fn parameters(&self) -> Parameters;

    /// `injection` with what this part changes, behind the changes that are there.
    fn inject(&self, parameters: &Parameters, injection: Injection) -> Injection;

    /// The same at a step of training, where a part may draw random numbers.
    fn inject_training(&self, parameters: &Parameters, injection: Injection, _batch: &Batch) -> Injection {
        self.inject(parameters, injection)
    }

    /// Whether image features depend on it.
    fn reaches_images(&self) -> bool;

    /// Whether text features depend on it.
    fn reaches_texts(&self) -> bool;
}
