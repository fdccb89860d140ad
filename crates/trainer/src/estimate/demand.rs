//! What a method asks of its model: which towers its gradients run through, and what it makes besides.
//!
//! One entry for each method, so that a new one has one place to say what it costs.

use super::blocks::{Blocks, Tracked};
use super::encoder::{ImageEncoder, text_blocks};
use super::sizes::Sizes;
use crate::augmentation::Augmentation;
use crate::experiment::{
    ExperimentSpec, HeadInit, HeadSpec, LoraSpec, MaskTuningSpec, MethodSpec, SolverSpec,
};
use crate::methods::MaskPart;
use crate::methods::adaptation::{Matrix, Towers};
use crate::methods::prompts::{Depth, NamePosition};

/// Costs of a method. Counts are of values, not bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Demand {
    /// What of the image tower has gradients.
    pub image: Tracked,
    /// What of the text tower has gradients.
    pub text: Tracked,
    /// Learned vectors beside the patches of an image.
    pub image_vectors: f64,
    /// Learned vectors before the class name of a text.
    pub text_vectors: f64,
    /// Trained values.
    pub trained: f64,
    /// Trained values whose initial ones are the model's own, so that they share its memory at first.
    pub of_model: f64,
    /// Values of weights that are made anew in each forward pass.
    pub changed: f64,
    /// Values of weights whose mask is applied as they are multiplied. Predictions make them once, and so do plain
    /// operations in each forward pass.
    pub masked: f64,
    /// Values that autodiff keeps of the parameters themselves.
    pub kept_of_parameters: f64,
    /// Whether each image has texts of its own.
    pub texts_per_image: bool,
    /// Whether learned vectors differ between classes, or stand behind their names.
    pub own_context: bool,
    /// Whether a step computes gradients twice.
    pub twice: bool,
    /// Whether the frozen model's logits are asked for.
    pub teacher: bool,
    /// Whether features of the frozen image tower are asked for.
    pub frozen_images: bool,
    /// Views of every training image before the first step.
    pub views: f64,
    /// Copies, in f64, of the features of all training images.
    pub solver_copies: f64,
    /// Values that earlier stages have trained.
    pub fixed: f64,
}

impl Demand {
    /// The costs of the last stage of an experiment.
    pub fn of(spec: &ExperimentSpec, sizes: &Sizes, encoder: &ImageEncoder) -> Self {
        let towers = Model { sizes, encoder, text: text_blocks(&sizes.clip.text) };
        let together = matches!(spec.method, MethodSpec::Joint(_));
        let parts = spec.method.parts().into_iter();
        let mut all = parts.fold(Self::default(), |all, (_, part)| all.with(towers.demand(part, together)));
        for stage in spec.earlier() {
            for (_, part) in stage.method.parts() {
                let fixed = towers.demand(part, matches!(stage.method, MethodSpec::Joint(_)));
                all.fixed += fixed.trained;
                all.changed += fixed.changed + fixed.masked;
                all.image_vectors += fixed.image_vectors;
                all.text_vectors = all.text_vectors.max(fixed.text_vectors);
            }
        }
        // Frozen images are seen at every step, unless they come back unchanged.
        all.frozen_images |= !all.image.any && spec.method.takes_steps();
        all
    }

    fn with(self, other: Self) -> Self {
        Self {
            image: self.image.or(other.image),
            text: self.text.or(other.text),
            image_vectors: self.image_vectors + other.image_vectors,
            text_vectors: self.text_vectors.max(other.text_vectors),
            trained: self.trained + other.trained,
            of_model: self.of_model + other.of_model,
            changed: self.changed + other.changed,
            masked: self.masked + other.masked,
            kept_of_parameters: self.kept_of_parameters + other.kept_of_parameters,
            texts_per_image: self.texts_per_image || other.texts_per_image,
            own_context: self.own_context || other.own_context,
            twice: self.twice || other.twice,
            teacher: self.teacher || other.teacher,
            frozen_images: self.frozen_images || other.frozen_images,
            views: self.views + other.views,
            solver_copies: self.solver_copies + other.solver_copies,
            fixed: self.fixed + other.fixed,
        }
    }
}

/// Whether images come back unchanged, so that what is frozen is computed once for each.
pub(super) fn unchanging(spec: &ExperimentSpec) -> bool {
    spec.training.as_ref().is_none_or(|training| training.augmentation == Augmentation::None)
}

/// The towers that a method works on.
struct Model<'a> {
    sizes: &'a Sizes,
    encoder: &'a ImageEncoder,
    text: Blocks,
}

impl Model<'_> {
    fn classes(&self) -> f64 {
        self.sizes.classes as f64
    }

    fn embed(&self) -> f64 {
        self.sizes.clip.embed_dim as f64
    }

    fn image_width(&self) -> f64 {
        self.encoder.transformer().map_or(0.0, |(blocks, _)| blocks.width)
    }

    /// Classes times features, with a bias.
    fn linear_classifier(&self) -> f64 {
        self.classes() * (self.embed() + 1.0)
    }

    fn demand(&self, method: &MethodSpec, together: bool) -> Demand {
        let nothing = Demand::default();
        match method {
            MethodSpec::ZeroShot { .. } => nothing,
            MethodSpec::LinearProbe { solver, .. } => {
                let solver_copies = if *solver == SolverSpec::Lbfgs { 1.0 } else { 0.0 };
                Demand { trained: self.linear_classifier(), solver_copies, ..nothing }
            }
            MethodSpec::LpFt { .. } => Demand {
                trained: self.encoder.parameters + self.linear_classifier(),
                solver_copies: 1.0,
                ..self.whole_tower(0.0)
            },
            MethodSpec::Finetune { head, .. } => self.whole_tower(self.head(head)),
            MethodSpec::Kd { .. } | MethodSpec::Proreg { .. } if together => {
                Demand { teacher: true, ..nothing }
            }
            MethodSpec::Kd { head, .. } | MethodSpec::Proreg { head, .. } => {
                Demand { teacher: true, ..self.whole_tower(self.head(head)) }
            }
            MethodSpec::L2Sp { head, .. } => {
                let tower = self.whole_tower(self.head(head));
                Demand { kept_of_parameters: tower.trained, ..tower }
            }
            // The classifier and the projection to the texts.
            MethodSpec::Tes(_) => self.whole_tower(self.linear_classifier() + self.embed() * self.embed()),
            MethodSpec::Coop(spec) => {
                let sets = if spec.per_class { self.classes() } else { 1.0 };
                let own_context = spec.per_class || spec.position != NamePosition::End;
                Demand { own_context, ..self.context(spec.vectors, sets) }
            }
            MethodSpec::Kgcoop(spec) => self.context(spec.vectors, 1.0),
            MethodSpec::Prograd(spec) => Demand { twice: true, ..self.context(spec.vectors, 1.0) },
            MethodSpec::Cocoop(spec) => {
                let context = self.context(spec.vectors, 1.0);
                let hidden = spec.hidden.map_or(self.embed() / 16.0, |hidden| hidden as f64);
                let net = hidden * (self.embed() + self.text.width);
                Demand { texts_per_image: true, trained: context.trained + net, ..context }
            }
            MethodSpec::Vpt(spec) => self.deep(spec.image, Depth::default()),
            MethodSpec::Ivlp(spec) => self.deep(spec.image, spec.text),
            MethodSpec::Promptsrc(spec) => Demand { frozen_images: true, ..self.deep(spec.image, spec.text) },
            MethodSpec::Maple(spec) => {
                let depth = Depth { layers: spec.layers, vectors: spec.vectors };
                let coupled = self.deep(depth, depth);
                let maps = depth.layers as f64 * self.text.width * self.image_width();
                Demand { trained: coupled.trained + maps, ..coupled }
            }
            MethodSpec::MaskTuning(spec) => self.masks(spec),
            MethodSpec::Lora(spec) => self.low_rank(spec),
            MethodSpec::TipAdapter(spec) | MethodSpec::TipAdapterF(spec) => Demand {
                trained: self.sizes.train as f64 * self.embed(),
                views: spec.views as f64,
                ..nothing
            },
            MethodSpec::ClipAdapter(spec) => {
                let hidden = self.embed() / spec.reduction.max(1) as f64;
                Demand { trained: 2.0 * self.embed() * hidden, ..nothing }
            }
            // Its parts are asked one by one.
            MethodSpec::Joint(_) => nothing,
        }
    }

    fn head(&self, head: &HeadSpec) -> f64 {
        let embed = self.embed();
        match head.init {
            HeadInit::Prompt if head.trained => self.classes() * embed,
            HeadInit::Prompt => 0.0,
            HeadInit::Fresh => self.linear_classifier(),
            HeadInit::Promptless => 2.0 * embed * (embed + self.classes() + 3.0),
        }
    }

    fn whole_tower(&self, head: f64) -> Demand {
        let of_model = self.encoder.parameters;
        // The convolutions of a residual network are folded with their normalisation at every pass.
        let changed = self.encoder.kernels();
        Demand { image: Tracked::ALL, trained: of_model + head, of_model, changed, ..Demand::default() }
    }

    fn context(&self, vectors: usize, sets: f64) -> Demand {
        let vectors = vectors as f64;
        let trained = sets * vectors * self.text.width;
        Demand { text: Tracked::INPUT, text_vectors: vectors, trained, ..Demand::default() }
    }

    fn deep(&self, image: Depth, text: Depth) -> Demand {
        let input = |depth: Depth| if depth.is_some() { Tracked::INPUT } else { Tracked::NOTHING };
        let vectors = |depth: Depth| if depth.is_some() { depth.vectors as f64 } else { 0.0 };
        let trained = |depth: Depth, width: f64| depth.layers as f64 * vectors(depth) * width;
        Demand {
            image: input(image),
            text: input(text),
            image_vectors: vectors(image),
            text_vectors: vectors(text),
            trained: trained(image, self.image_width()) + trained(text, self.text.width),
            ..Demand::default()
        }
    }

    fn masks(&self, spec: &MaskTuningSpec) -> Demand {
        let (attention, mlp) = (spec.part != MaskPart::Mlp, spec.part != MaskPart::Attention);
        let when = |chosen: bool, entries: f64| if chosen { entries } else { 0.0 };
        let (image, masked, others) = match self.encoder.transformer() {
            Some((blocks, patch)) => {
                let of_block = when(attention, blocks.attention_weights()) + when(mlp, blocks.mlp_weights());
                let tracked = Tracked { any: true, attention, mlp, ..Tracked::NOTHING };
                (tracked, blocks.layers * of_block, when(spec.conv1, patch * blocks.width))
            }
            None => (Tracked::ALL, 0.0, self.encoder.kernels()),
        };
        let dropout = spec.dropout.is_some();
        // The masked weight, and of a residual network also the kernel that is made of it.
        let changed = others + self.encoder.kernels();
        let trained = masked + others;
        Demand { image, trained, changed, masked, twice: dropout, teacher: dropout, ..Demand::default() }
    }

    fn low_rank(&self, spec: &LoraSpec) -> Demand {
        let matrices = spec.matrices.len() as f64;
        let of_inputs = spec.matrices.iter().any(|matrix| *matrix != Matrix::O);
        let dropped = spec.dropout > 0.0;
        let tracked = |chosen: bool| match (chosen, dropped) {
            (false, _) => Tracked::NOTHING,
            (true, true) => Tracked { branches: matrices, ..Tracked::INPUT },
            (true, false) => Tracked { attention: true, ..Tracked::INPUT },
        };
        let (image, text) = (spec.towers != Towers::Text, spec.towers != Towers::Image);
        let image_blocks = self.encoder.transformer().map(|(blocks, _)| blocks).filter(|_| image);
        let text_blocks = Some(self.text).filter(|_| text);
        let blocks = || image_blocks.into_iter().chain(text_blocks);
        let factors = |blocks: Blocks| blocks.layers * matrices * 2.0 * blocks.width * spec.rank as f64;
        let rows =
            if of_inputs { 3.0 } else { 0.0 } + f64::from(u8::from(spec.matrices.contains(&Matrix::O)));
        let updated = |blocks: Blocks| blocks.layers * rows * blocks.width * blocks.width;
        Demand {
            image: tracked(image),
            text: tracked(text),
            trained: blocks().map(factors).sum(),
            changed: if dropped { 0.0 } else { blocks().map(updated).sum() },
            ..Demand::default()
        }
    }
}
