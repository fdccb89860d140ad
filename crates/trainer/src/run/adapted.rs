//! A trained model put together again: an adapter over the models that it was trained on.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use regulus_datasets::LabelledImages;
use regulus_images::Preprocess;
use regulus_kernels::{MatmulPrecision, multiplying_in};

use super::{DataError, Materials, RunError, build};
use crate::adapter::{Activations, Adapter, AdapterCard};
use crate::batches::ImageSet;
use crate::experiment::{Experiment, ExperimentFaults, ExperimentSpec, SpecError, parse_toml};
use crate::merge::{Merged, NotMergeable};
use crate::method::{BufferError, Method};
use crate::parameters::Parameters;
use crate::zero_shot::FROZEN_CHUNK;

/// An adapter that cannot be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum AdaptError {
    /// The recipe in the card is not TOML, or has unknown keys.
    #[error("the recipe in the adapter cannot be read: {0}")]
    Recipe(#[from] SpecError),
    /// The recipe in the card makes no sense.
    #[error("the recipe in the adapter: {0}")]
    Experiment(#[from] ExperimentFaults),
    /// A model cannot be loaded.
    #[error(
        "{source}; an adapter needs the models of its recipe: --model and --backbone name them where they have moved"
    )]
    Models {
        /// Why.
        source: DataError,
    },
    /// The models are others than those that the adapter was trained on.
    #[error(
        "the {what} is not that of the adapter: it was trained with {trained}, here it is {found}; {advice}"
    )]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// What the card says.
        trained: String,
        /// What the loaded models say.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// The method trains a value that the adapter lacks.
    #[error(
        "the adapter lacks the parameter `{name}`, expected with shape {shape:?}; its recipe is not that of its values"
    )]
    Missing {
        /// The parameter.
        name: String,
        /// Its shape in the method.
        shape: Vec<usize>,
    },
    /// The adapter has a value that the method does not train.
    #[error(
        "the adapter holds `{name}`, which {method} does not train; its recipe is not that of its values"
    )]
    Unknown {
        /// The parameter.
        name: String,
        /// The method.
        method: String,
    },
    /// A value has another shape than the method's.
    #[error(
        "the adapter's `{name}` has shape {found:?}, expected {expected:?}; its recipe is not that of its values"
    )]
    Shape {
        /// The parameter.
        name: String,
        /// Its shape in the adapter.
        found: Vec<usize>,
        /// Its shape in the method.
        expected: Vec<usize>,
    },
    /// Bits that were made with another threshold than the method's.
    #[error("the adapter's `{name}` was cut to bits at {found:?}, and its method reads {expected:?}")]
    Threshold {
        /// The parameter.
        name: String,
        /// The threshold in the adapter.
        found: Option<f64>,
        /// The method's.
        expected: Option<f64>,
    },
    /// Buffers that the method does not keep.
    #[error("the adapter's buffers: {0}")]
    Buffers(#[from] BufferError),
    /// Other classes than those of the training, for a method that cannot read names.
    #[error(
        "{method} classifies by what it was trained on and cannot read the names of other classes; it knows \
         {}, asked for are {}", .trained.join(", "), .asked.join(", ")
    )]
    Classes {
        /// The method.
        method: String,
        /// The adapter's classes.
        trained: Vec<String>,
        /// Those that were asked for.
        asked: Vec<String>,
    },
    /// A list of classes that makes no sense.
    #[error("the list of classes {reason}")]
    ClassList {
        /// What is wrong.
        reason: String,
    },
    /// Other templates for a classifier that is not written with templates.
    #[error("{method} has a trained classifier that no template writes; leave the templates out")]
    Templates {
        /// The method.
        method: String,
    },
    /// A template without a place for the name.
    #[error("the template \"{template}\" has no {{}} in the place of the class name")]
    Template {
        /// The template.
        template: String,
    },
    /// Logits are no numbers.
    #[error("the adapter gives logits that are no numbers; its training has failed")]
    NonFinite,
    /// The method cannot be rebuilt.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The trained model has no plain form.
    #[error("{method} cannot be merged into a plain model: {source}")]
    NotMergeable {
        /// The method.
        method: String,
        /// Why.
        source: NotMergeable,
    },
}

/// Where models lie that are not where the adapter's recipe says.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModelPaths<'a> {
    /// The base model.
    pub model: Option<&'a Path>,
    /// The image encoder in the place of its image tower.
    pub backbone: Option<&'a Path>,
}

/// An adapter with the models that it was trained on.
#[derive(Debug)]
pub struct AdaptedModel {
    adapter: Adapter,
    experiment: Experiment,
    materials: Materials,
}

impl AdaptedModel {
    /// Loads the models of an adapter and checks that they are those that it was trained on. The device goes by the
    /// name of `backend`. With `templates`, the classifier is written with these.
    ///
    /// # Errors
    /// [`AdaptError`] if a model cannot be loaded or is another, or if the classifier has no use for templates.
    pub fn load(
        adapter: Adapter,
        paths: ModelPaths<'_>,
        templates: Option<Vec<String>>,
        backend: &str,
        device: &Device,
    ) -> Result<Self, AdaptError> {
        let mut spec: ExperimentSpec = parse_toml(&adapter.card.recipe, "the recipe in the adapter")?;
        if let Some(model) = paths.model {
            spec.model.path = model.to_owned();
        }
        if let Some(backbone) = paths.backbone {
            spec.model.backbone = Some(backbone.to_owned());
        }
        let experiment = Experiment::check(spec)?;
        let materials = Materials::without_images(&experiment, &adapter.card, backend, device);
        let materials = materials.map_err(|source| AdaptError::Models { source })?;
        let templates = templates.unwrap_or_else(|| adapter.card.templates.clone());
        Self::over(adapter, experiment, materials, templates)
    }

    /// An adapter over models that are loaded, with `experiment` being its recipe. The classifier is written with
    /// `templates`.
    ///
    /// # Errors
    /// [`AdaptError`] if the models are others, or if the classifier has no use for other templates.
    pub fn over(
        adapter: Adapter,
        experiment: Experiment,
        mut materials: Materials,
        templates: Vec<String>,
    ) -> Result<Self, AdaptError> {
        check_models(&adapter.card, &materials)?;
        let spec = experiment.spec();
        if templates != adapter.card.templates && !spec.reads_class_names() {
            return Err(AdaptError::Templates { method: spec.label() });
        }
        if let Some(template) = templates.iter().find(|template| !template.contains("{}")) {
            return Err(AdaptError::Template { template: template.clone() });
        }
        materials.task.templates = templates;
        Ok(Self { adapter, experiment, materials })
    }

    /// The adapter.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// The models, and the images that they were loaded with.
    pub fn materials(&self) -> &Materials {
        &self.materials
    }

    /// How images are prepared.
    pub fn preprocess(&self) -> &Preprocess {
        self.materials.preprocess()
    }

    /// Its recipe.
    pub(super) fn spec(&self) -> &ExperimentSpec {
        self.experiment.spec()
    }

    /// Whether classes may be asked for that it was not trained on.
    pub fn reads_class_names(&self) -> bool {
        self.spec().reads_class_names()
    }

    /// Tells these classes apart: the adapter's in any order, or others where the method reads names.
    ///
    /// # Errors
    /// [`AdaptError`] for classes that the method does not know, and values that are not those of the recipe.
    pub fn classifier(&self, class_names: &[String]) -> Result<AdaptedClassifier<'_>, AdaptError> {
        self.classifier_of(&self.adapter, class_names)
    }

    /// The same with the values of another adapter of this recipe.
    pub(super) fn classifier_of(
        &self,
        adapter: &Adapter,
        class_names: &[String],
    ) -> Result<AdaptedClassifier<'_>, AdaptError> {
        check_list(class_names)?;
        let (trained, spec) = (&adapter.card.class_names, self.experiment.spec());
        let (built, order) = match (trained == class_names, self.reads_class_names()) {
            (true, _) | (_, true) => (class_names, None),
            (false, false) => {
                let places = class_names.iter().map(|name| trained.iter().position(|known| known == name));
                let places: Option<Vec<usize>> = places.collect();
                let places = places.filter(|places| places.len() == trained.len());
                let unknown = || AdaptError::Classes {
                    method: spec.label(),
                    trained: trained.clone(),
                    asked: class_names.to_vec(),
                };
                (trained.as_slice(), Some(places.ok_or_else(unknown)?))
            }
        };
        let matmul = spec.model.matmul;
        let mut method = multiplying_in(matmul, || {
            build::method(spec, &self.materials, built, None, &Parameters::default())
        })?;
        method.restore_buffers(&adapter.buffers)?;
        check_values(method.as_ref(), adapter, &spec.label())?;
        let classes = class_names.len();
        let device = self.materials.pretrained.clip.device();
        let (parameters, preprocess) = (adapter.parameters.clone(), self.preprocess());
        Ok(AdaptedClassifier { method, parameters, order, classes, preprocess, device, matmul })
    }

    /// The trained model as a plain one, with a classifier of its own classes.
    ///
    /// # Errors
    /// [`AdaptError::NotMergeable`] with the reason, and the errors of [`Self::classifier`].
    pub fn merged(&self) -> Result<Merged, AdaptError> {
        let classifier = self.classifier(&self.adapter.card.class_names)?;
        let merged = classifier.method.merged(&classifier.parameters);
        let method = self.adapter.card.method.clone();
        merged.map_err(|source| AdaptError::NotMergeable { method, source })
    }
}

/// A trained model that tells classes apart.
pub struct AdaptedClassifier<'a> {
    method: Box<dyn Method>,
    parameters: Parameters,
    /// For each class, its place among the method's logits, where that is another.
    order: Option<Vec<usize>>,
    classes: usize,
    preprocess: &'a Preprocess,
    device: Device,
    matmul: MatmulPrecision,
}

impl AdaptedClassifier<'_> {
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// A function from images to logits, row by row `[images, classes]`, in the order of the classes. What does not
    /// depend on the images is computed once, here. The images have to be as large as the model reads them.
    pub fn predictor(&self) -> impl Fn(&LabelledImages) -> Result<Vec<f32>, AdaptError> + '_ {
        let predict = multiplying_in(self.matmul, || self.method.predictor(&self.parameters));
        move |images| {
            let set = ImageSet { images, preprocess: self.preprocess, device: &self.device };
            let chunks = set.chunks(FROZEN_CHUNK).flat_map(|pixels| {
                let logits: Tensor<2> = multiplying_in(self.matmul, || predict(pixels));
                logits.into_data_as::<f32>().iter::<f32>().collect::<Vec<f32>>()
            });
            let logits: Vec<f32> = chunks.collect();
            if logits.iter().any(|logit| !logit.is_finite()) {
                return Err(AdaptError::NonFinite);
            }
            Ok(match &self.order {
                None => logits,
                Some(order) => {
                    let rows = logits.chunks_exact(self.classes);
                    rows.flat_map(|row| order.iter().map(|&place| row[place])).collect()
                }
            })
        }
    }
}

fn check_list(class_names: &[String]) -> Result<(), AdaptError> {
    let wrong = |reason: String| Err(AdaptError::ClassList { reason });
    if class_names.is_empty() {
        return wrong("is empty".into());
    }
    let mut seen = BTreeSet::new();
    for name in class_names {
        if name.trim().is_empty() {
            return wrong("holds an empty name".into());
        }
        if !seen.insert(name) {
            return wrong(format!("holds `{name}` twice"));
        }
    }
    Ok(())
}

/// Whether the models are those that an adapter was trained on.
fn check_models(card: &AdapterCard, materials: &Materials) -> Result<(), AdaptError> {
    let Materials { pretrained, backbone, .. } = materials;
    let none = || "none".to_owned();
    let backbone = backbone.as_ref().map_or_else(none, |loaded| loaded.sha256.get().to_owned());
    let (resolution, activation) =
        (pretrained.config.image.resolution(), Activations::of(&pretrained.config));
    let model = "name the model that it was trained on with --model";
    let state = "its files say something else than they did then; restore them";
    let compared = [
        (
            "model (SHA-256 of its weights)",
            card.base_sha256.clone(),
            pretrained.sha256.get().to_owned(),
            model,
        ),
        (
            "image encoder (SHA-256 of its weights)",
            card.backbone_sha256.clone().unwrap_or_else(none),
            backbone,
            "name the encoder that it was trained on with --backbone",
        ),
        ("activation", card.activation.to_string(), activation.to_string(), state),
        ("resolution", card.resolution.to_string(), resolution.to_string(), state),
        ("preprocessing", format!("{:?}", card.preprocess), format!("{:?}", materials.preprocess()), state),
    ];
    match compared.into_iter().find(|(_, trained, found, _)| trained != found) {
        Some((what, trained, found, advice)) => Err(AdaptError::Mismatch { what, trained, found, advice }),
        None => Ok(()),
    }
}

/// Whether the values of an adapter are those that its method trains.
fn check_values(method: &dyn Method, adapter: &Adapter, name_of_method: &str) -> Result<(), AdaptError> {
    let expected = method.parameters();
    for (name, leaf) in expected.iter() {
        let Some(given) = adapter.parameters.get(name) else {
            return Err(AdaptError::Missing { name: name.clone(), shape: leaf.shape.clone() });
        };
        if given.shape != leaf.shape {
            let (found, expected) = (given.shape.clone(), leaf.shape.clone());
            return Err(AdaptError::Shape { name: name.clone(), found, expected });
        }
        let (found, expected) = (adapter.thresholds.get(name).copied(), method.threshold(name));
        if found != expected {
            return Err(AdaptError::Threshold { name: name.clone(), found, expected });
        }
    }
    match adapter.parameters.iter().find(|(name, _)| expected.get(name).is_none()) {
        Some((name, _)) => Err(AdaptError::Unknown { name: name.clone(), method: name_of_method.to_owned() }),
        None => Ok(()),
    }
}
