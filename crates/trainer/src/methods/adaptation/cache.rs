//! A cache of training images that votes beside the text classifier: Tip-Adapter.
//!
//! Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification", ECCV 2022, equations 3 to
//! 7; `main.py` and `utils.py`. Keys are features of the training images, values their labels.

use std::collections::BTreeMap;

use burn::tensor::{Int, Tensor, TensorData};

use crate::method::BufferError;
use crate::parameters::Parameters;

/// Name of the keys, `[images, embed]`, among the parameters.
const KEYS: &str = "keys";
/// Name of the labels of the keys' images, `[images]`, among the buffers.
const LABELS: &str = "labels";

/// How much the cache says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CacheSettings {
    /// Factor on the votes (published: 1.17, then searched).
    pub alpha: f64,
    /// How fast a vote falls with the distance of the features (published: 1, then searched).
    pub beta: f64,
}

/// What is remembered of the training images.
#[derive(Debug, Clone)]
pub struct Cache {
    settings: CacheSettings,
    classes: usize,
    start: Tensor<2>,
    labels: Tensor<1, Int>,
}

impl Cache {
    /// A cache of `features`, scaled to unit length, `[images, embed]`, and the class of each of their images.
    pub fn new(settings: CacheSettings, classes: usize, features: Tensor<2>, labels: Tensor<1, Int>) -> Self {
        Self { settings, classes, start: features, labels }
    }

    pub(super) fn parameters(&self) -> Parameters {
        let [images, embed] = self.start.dims();
        let mut parameters = Parameters::default();
        parameters.insert(KEYS, self.start.clone().reshape([images * embed]), vec![images, embed]);
        parameters
    }

    /// `alpha exp(-beta (1 - f K^T)) L` (equations 4 and 6).
    ///
    /// # Shapes
    /// - `features`: of unit length, `[batch, embed]`
    /// - output: `[batch, classes]`
    pub(super) fn votes(&self, parameters: &Parameters, features: Tensor<2>) -> Tensor<2> {
        let CacheSettings { alpha, beta } = self.settings;
        let keys: Tensor<2> = parameters[KEYS].tensor();
        let near = (features.matmul(keys.transpose()) * beta - beta).exp();
        let values = Tensor::<2>::eye(self.classes, &near.device()).select(0, self.labels.clone());
        near.matmul(values) * alpha
    }

    pub(super) fn buffers(&self) -> BTreeMap<String, Tensor<1>> {
        BTreeMap::from([(LABELS.to_owned(), self.labels.clone().float())])
    }

    /// Puts the labels of another cache of the same classes in the place of its own. Of another number of labels, keys
    /// stand open: whoever asks puts them in.
    pub(super) fn restore(&mut self, labels: &Tensor<1>) -> Result<(), BufferError> {
        let found = labels.to_data_as::<f32>();
        let indices: Option<Vec<i64>> = found.iter::<f32>().map(|label| self.index(label)).collect();
        let unknown = || BufferError::Unknown { path: LABELS.into() };
        let indices = indices.ok_or_else(unknown)?;
        let count = indices.len();
        let [keys, embed] = self.start.dims();
        if count == 0 {
            return Err(BufferError::Length { path: LABELS.into(), found: 0, expected: keys });
        }
        if count != keys {
            self.start = Tensor::zeros([count, embed], &self.start.device());
        }
        self.labels = Tensor::from_data(TensorData::new(indices, [count]), &labels.device());
        Ok(())
    }

    fn index(&self, label: f32) -> Option<i64> {
        let fits = label.fract() == 0.0 && (0.0..self.classes as f32).contains(&label);
        fits.then_some(label as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, device, tensor};

    #[test]
    fn votes_by_hand() {
        let device = device();
        let keys = Tensor::<2>::from_data([[1.0f32, 0.0], [0.0, 1.0], [0.6, 0.8]], &device);
        let labels = Tensor::from_data([0i64, 1, 1], &device);
        let cache = Cache::new(CacheSettings { alpha: 2.0, beta: 3.0 }, 3, keys, labels);
        let votes =
            cache.votes(&cache.parameters(), Tensor::<2>::from_data([[0.8f32, 0.6], [0.0, -1.0]], &device));
        let vote = |affinity: f64| 2.0 * (-3.0 * (1.0 - affinity)).exp();
        let expected = [vote(0.8), vote(0.6) + vote(0.96), 0.0, vote(0.0), vote(-1.0) + vote(-0.8), 0.0];
        close(&votes.reshape([6]), &expected.map(|value| value as f32), 1e-6);
    }

    #[test]
    fn labels_come_back_and_others_are_refused() {
        let device = device();
        let keys = Tensor::<2>::from_data([[1.0f32, 0.0], [0.0, 1.0]], &device);
        let labels = Tensor::from_data([2i64, 0], &device);
        let mut cache = Cache::new(CacheSettings { alpha: 1.0, beta: 1.0 }, 3, keys, labels);
        let before = cache.buffers();
        cache.restore(&before[LABELS]).unwrap();
        close(&cache.buffers()[LABELS], &[2.0, 0.0], 0.0);
        cache.restore(&tensor(&[1.0, 0.0, 2.0], &device)).unwrap();
        assert_eq!(cache.parameters()[KEYS].shape, [3, 2], "as many keys as labels");
        assert!(cache.restore(&tensor(&[], &device)).is_err());
        for wrong in [3.0, -1.0, 0.5, f32::NAN] {
            assert!(cache.restore(&tensor(&[wrong], &device)).is_err(), "{wrong}");
        }
    }
}
