//! All weights of the image tower, and the classifier that was trained with them, as a [`Part`].

use regulus_clip::{Clip, Injection, Part as Tower, RunningStatistics};

use crate::methods::Head;
use crate::methods::part::Part;
use crate::parameters::Parameters;

/// The weights of the image tower under their paths, and text features if the head is trained.
#[derive(Debug, Clone)]
pub struct WholeTower {
    start: Parameters,
    has_head: bool,
}

impl WholeTower {
    /// The weights of `clip`'s image tower, and the trained parts of `head`.
    pub fn new(clip: &Clip, head: &Head) -> Self {
        let weights = clip.parameters(Tower::Image).into_iter();
        let mut start: Parameters =
            weights.filter(|weight| !RunningStatistics::holds(&weight.path)).collect();
        let tower = start.len();
        head.add_to(&mut start, clip.embed_dim());
        let has_head = start.len() > tower;
        Self { start, has_head }
    }
}

impl Part for WholeTower {
    fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    fn inject(&self, parameters: &Parameters, injection: Injection) -> Injection {
        let weights = parameters.iter().filter(|(name, _)| !Head::owns(name));
        weights.fold(injection, |injection, (name, leaf)| injection.replace(name.clone(), leaf.value.clone()))
    }

    fn reaches_images(&self) -> bool {
        true
    }

    /// Through the classifier.
    fn reaches_texts(&self) -> bool {
        self.has_head
    }
}
