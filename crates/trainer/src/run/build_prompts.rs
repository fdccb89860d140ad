//! From the words of a spec to prompt learning over a loaded model.

use std::sync::Arc;

use burn::tensor::Tensor;
use regulus_clip::{TokenBatch, normalise};
use regulus_losses::PromptSrcWeights;

use super::{Materials, RunError};
use crate::experiment::{
    CocoopSpec, CoopSpec, IvlpSpec, KgcoopSpec, MapleSpec, MethodSpec, ProgradSpec, PromptsrcSpec,
    TemplateSet, TemplatesSpec, VptSpec,
};
use crate::methods::prompts::{
    ClassPrompts, ConditionalContext, ConditionalSettings, ContextPrompts, ContextSettings, ContextStart,
    CoupledPrompts, Depth, NamePosition, ProjectedContext, ProjectionSettings, PromptError,
    PromptRegulariser, Prompts, TowerPrompts, TowerSettings,
};
use crate::prompts::{tokenize, tokenize_with_room};
use crate::templates::IMAGENET_60;
use crate::zero_shot::{Averaging, text_features};

/// What prompt learning is built from.
pub(super) struct PromptBuilder<'a> {
    pub materials: &'a Materials,
    /// The classes to tell apart.
    pub class_names: &'a [String],
    pub seed: u64,
}

/// Prompts and what holds them.
pub(super) struct Learned {
    pub prompts: Arc<dyn Prompts>,
    pub regulariser: PromptRegulariser,
}

impl PromptBuilder<'_> {
    /// The prompts of a method; `None` if it learns none, or none that go with other parts.
    pub(super) fn prompts_of(&self, method: &MethodSpec) -> Result<Option<Learned>, RunError> {
        Ok(Some(match method {
            MethodSpec::Coop(spec) => self.coop(spec)?,
            MethodSpec::Kgcoop(spec) => self.kgcoop(spec)?,
            MethodSpec::Vpt(spec) => self.vpt(spec)?,
            MethodSpec::Ivlp(spec) => self.ivlp(spec)?,
            MethodSpec::Maple(spec) => self.maple(spec)?,
            MethodSpec::Promptsrc(spec) => self.promptsrc(spec)?,
            _ => return Ok(None),
        }))
    }

    fn coop(&self, spec: &CoopSpec) -> Result<Learned, RunError> {
        let CoopSpec { vectors, per_class, position, start, .. } = *spec;
        let settings = ContextSettings { vectors, per_class, position, start };
        self.context(spec.template.as_deref(), settings, PromptRegulariser::None)
    }

    fn kgcoop(&self, spec: &KgcoopSpec) -> Result<Learned, RunError> {
        let KgcoopSpec { vectors, start, weight, .. } = *spec;
        let hand_written = self.frozen_texts(&TemplatesSpec::Set(TemplateSet::Single))?;
        let settings = ContextSettings { vectors, per_class: false, position: NamePosition::End, start };
        let regulariser = PromptRegulariser::KnowledgeGuided { weight, hand_written };
        self.context(spec.template.as_deref(), settings, regulariser)
    }

    pub(super) fn prograd(&self, spec: &ProgradSpec) -> Result<ProjectedContext, RunError> {
        let ProgradSpec { vectors, start, lambda, temperature, .. } = *spec;
        let pretrained = &self.materials.pretrained;
        let template = self.template(spec.template.as_deref());
        let words = tokenize_with_room(pretrained, self.class_names, template, 0)?.words;
        let longer = start == ContextStart::Words && vectors > words;
        let padded = match longer {
            true => {
                let written = self.class_prompts(template, 0, start)?;
                Some(ProjectedContext::words_behind_zeros(&written, words, vectors)?)
            }
            false => None,
        };
        let start = if longer { ContextStart::Random } else { start };
        let settings = ContextSettings { vectors, per_class: false, position: NamePosition::End, start };
        let prompts = self.class_prompts(template, vectors, start)?;
        let context = ContextPrompts::new(&pretrained.clip, prompts, settings, self.seed)?;
        let hand_written = self.frozen_texts(&TemplatesSpec::Set(TemplateSet::Single))?;
        let settings = ProjectionSettings { lambda, temperature };
        let learning = ProjectedContext::new(pretrained.clip.clone(), context, hand_written, settings);
        match padded {
            Some(padded) => Ok(learning.starting_from(padded)?),
            None => Ok(learning),
        }
    }

    pub(super) fn cocoop(&self, spec: &CocoopSpec) -> Result<ConditionalContext, RunError> {
        let clip = &self.materials.pretrained.clip;
        let hidden = spec.hidden.unwrap_or(clip.embed_dim() / 16).max(1);
        let settings = ConditionalSettings { vectors: spec.vectors, hidden, start: spec.start };
        let template = self.template(spec.template.as_deref());
        let prompts = self.class_prompts(template, spec.vectors, spec.start)?;
        Ok(ConditionalContext::new(clip.clone(), prompts, settings, self.seed)?)
    }

    fn vpt(&self, spec: &VptSpec) -> Result<Learned, RunError> {
        let settings =
            TowerSettings { image: spec.image, text: Depth::default(), start: ContextStart::Random };
        self.towers(None, settings, PromptRegulariser::None)
    }

    fn ivlp(&self, spec: &IvlpSpec) -> Result<Learned, RunError> {
        let IvlpSpec { image, text, start, .. } = *spec;
        let settings = TowerSettings { image, text, start };
        self.towers(spec.template.as_deref(), settings, PromptRegulariser::None)
    }

    fn maple(&self, spec: &MapleSpec) -> Result<Learned, RunError> {
        let clip = &self.materials.pretrained.clip;
        let depth = Depth { layers: spec.layers, vectors: spec.vectors };
        let template = self.template(spec.template.as_deref());
        let prompts = self.class_prompts(template, spec.vectors, spec.start)?;
        let prompts = CoupledPrompts::new(clip, prompts, depth, spec.start, self.seed)?;
        Ok(Learned { prompts: Arc::new(prompts), regulariser: PromptRegulariser::None })
    }

    fn promptsrc(&self, spec: &PromptsrcSpec) -> Result<Learned, RunError> {
        let PromptsrcSpec { image, text, start, .. } = *spec;
        let weights =
            PromptSrcWeights { text: spec.text_weight, image: spec.image_weight, logits: spec.logit_weight };
        let texts = self.frozen_texts(&spec.templates)?;
        let settings = TowerSettings { image, text, start };
        let regulariser = PromptRegulariser::SelfRegulating { weights, texts };
        self.towers(spec.template.as_deref(), settings, regulariser)
    }

    fn context(
        &self,
        template: Option<&str>,
        settings: ContextSettings,
        regulariser: PromptRegulariser,
    ) -> Result<Learned, RunError> {
        let clip = &self.materials.pretrained.clip;
        let prompts = self.class_prompts(self.template(template), settings.vectors, settings.start)?;
        let prompts = ContextPrompts::new(clip, prompts, settings, self.seed)?;
        Ok(Learned { prompts: Arc::new(prompts), regulariser })
    }

    fn towers(
        &self,
        template: Option<&str>,
        settings: TowerSettings,
        regulariser: PromptRegulariser,
    ) -> Result<Learned, RunError> {
        let clip = &self.materials.pretrained.clip;
        let vectors = if settings.text.is_some() { settings.text.vectors } else { 0 };
        let prompts = self.class_prompts(self.template(template), vectors, settings.start)?;
        let prompts = TowerPrompts::new(clip, prompts, settings, self.seed)?;
        Ok(Learned { prompts: Arc::new(prompts), regulariser })
    }

    /// The classes as they are written, in the first template of the data.
    pub(super) fn written(&self) -> Result<ClassPrompts, RunError> {
        self.class_prompts(self.template(None), 0, ContextStart::Random)
    }

    /// The template of a method, or else the first of the data.
    fn template<'a>(&'a self, of_method: Option<&'a str>) -> &'a str {
        of_method.or(self.materials.task.templates.first().map(String::as_str)).unwrap_or("{}")
    }

    fn class_prompts(
        &self,
        template: &str,
        vectors: usize,
        start: ContextStart,
    ) -> Result<ClassPrompts, RunError> {
        let pretrained = &self.materials.pretrained;
        let tokens = tokenize_with_room(pretrained, self.class_names, template, vectors)?;
        if start == ContextStart::Words && vectors > tokens.words {
            return Err(PromptError::NoSharedWords { vectors, shared: tokens.words }.into());
        }
        let batch = TokenBatch::new(&tokens.ids, &pretrained.config.text).map_err(PromptError::Tokens)?;
        Ok(ClassPrompts::new(&pretrained.clip, &batch, tokens.names)?)
    }

    /// Unit text features of the frozen model: raw features averaged over templates, as PromptSRC does.
    fn frozen_texts(&self, templates: &TemplatesSpec) -> Result<Tensor<2>, RunError> {
        let Materials { pretrained, task, .. } = self.materials;
        let templates: Vec<String> = match templates {
            TemplatesSpec::Set(TemplateSet::Single) => task.templates.iter().take(1).cloned().collect(),
            TemplatesSpec::Set(TemplateSet::Data) => task.templates.clone(),
            TemplatesSpec::Set(TemplateSet::Imagenet60) => IMAGENET_60.map(str::to_owned).to_vec(),
            TemplatesSpec::List(list) => list.clone(),
        };
        let prompts = tokenize(pretrained, self.class_names, &templates)?;
        Ok(normalise(text_features(&pretrained.clip, &prompts, Averaging::RawFirst)))
    }
}
