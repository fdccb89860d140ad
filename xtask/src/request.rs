//! What commands that work on one experiment are asked for: model, data, seed, and changes of a recipe.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;
use burn::tensor::Device;
use regulus_kernels::MatmulPrecision;
use regulus_trainer::adapter::AdapterCard;
use regulus_trainer::device;
use regulus_trainer::experiment::{
    Experiment, ExperimentSpec, Recipe, SpecError, apply_override, compose, is_composed, parse_toml,
    read_text,
};
use regulus_trainer::run::{Inputs, Materials, ModelPaths, Progress};

use crate::failure::{Failure, Outcome};
use crate::image_store::image_store;
use crate::listed_data::Listed;
use crate::progress::Line;

/// The model where none is named.
const WORLD_CLIP: &str = "assets/world-clip";

/// The arguments that say on what a method works.
#[derive(clap::Args)]
pub struct Request {
    /// Folder of images: train/<class>/*, flat <class>_<n>.<ext> files in train/ and test/, or <domain>/<class>/*;
    /// a manifest (<file>.csv or .jsonl); a published data set (published:<name>, with --root and --protocol);
    /// or `world`, `world-base-to-novel`, `world-few-shot` or `world-long-tailed` for the built-in world
    #[arg(long)]
    data: String,
    #[command(flatten)]
    listed: Listed,
    /// Model folder or weights file (default: assets/world-clip, or where the adapter's recipe says)
    #[arg(long)]
    model: Option<PathBuf>,
    /// Image encoder of any pre-training, a folder or a weights file, that `tes` and `finetune` train in the place of
    /// the model's image tower
    #[arg(long)]
    backbone: Option<PathBuf>,
    /// Images of other classes, named as those of --data, on which the zero-shot accuracy before and after training is
    /// compared: what training forgets
    #[arg(long, value_name = "DATA")]
    reference: Option<String>,
    /// Domains to train on, for <domain>/<class>/* folders
    #[arg(long, value_delimiter = ',')]
    train_domains: Vec<String>,
    /// Domains to test on
    #[arg(long, value_delimiter = ',')]
    test_domains: Vec<String>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Change a value of the recipe, such as training.steps=200 or method.alpha=1.5 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Memory that prompt learning should make do with, such as 4GiB: the texts of some classes are computed at a time
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<String>,
    /// How the CPU multiplies matrices: f32, bf16x3 (nearly as exact) or bf16; the last two are fast on processors with AMX
    #[arg(long, value_name = "MODE")]
    matmul: Option<MatmulPrecision>,
    /// Device to train on: cpu, ndarray, wgpu, cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
}

impl Request {
    /// The experiment with a method's recipe, model, data and seed, then `--set`.
    pub fn experiment(&self, method: &str) -> Outcome<Experiment> {
        let (origin, mut document) = recipe(method)?;
        let mut value = |key: &str, value: toml::Value| document.insert(key.to_owned(), value);
        value("seed", toml::Value::Integer(i64::try_from(self.seed).map_err(Failure::request)?));
        value("model", self.model());
        value("data", self.data()?);
        if let Some(reference) = self.reference()? {
            value("reference", reference);
        }
        self.changed(document, origin)
    }

    /// The experiment of an adapter on other data: its recipe with this request's data and seed, and its models unless
    /// the request names others; then `--set`. What the recipe says of data of the same kind stays, as do templates.
    pub fn evaluation(&self, card: &AdapterCard, origin: &str) -> Outcome<Experiment> {
        let recipe = format!("the recipe in {origin}");
        let mut document: toml::Table = parse_toml(&card.recipe, &recipe).map_err(Failure::request)?;
        let seed = i64::try_from(self.seed).map_err(Failure::request)?;
        document.insert("seed".to_owned(), toml::Value::Integer(seed));
        let mut data = self.data()?;
        let templates = card.templates.iter().map(|template| text_of(template)).collect();
        if let (Some(data), Some(trained)) =
            (data.as_table_mut(), document.get("data").and_then(toml::Value::as_table))
        {
            if trained.get("kind") == data.get("kind") {
                let given = |key: &String| self.is_folder() && data.contains_key(key);
                let kept: Vec<_> = trained.iter().filter(|(key, _)| !given(key)).collect();
                data.extend(kept.into_iter().map(|(key, value)| (key.clone(), value.clone())));
            } else if self.is_folder() {
                data.insert("templates".to_owned(), toml::Value::Array(templates));
            }
        }
        document.insert("data".to_owned(), data);
        let paths = [("path", &self.model), ("backbone", &self.backbone)];
        if let Some(model) = document.get_mut("model").and_then(toml::Value::as_table_mut) {
            for (key, path) in paths.into_iter().filter_map(|(key, path)| Some((key, path.as_ref()?))) {
                model.insert(key.to_owned(), text_of(&path.to_string_lossy()));
            }
        }
        self.changed(document, recipe)
    }

    /// `document` with the changes of `--set`, as a checked experiment.
    fn changed(&self, mut document: toml::Table, mut origin: String) -> Outcome<Experiment> {
        let budget = self.memory_budget.iter().map(|size| format!("training.memory_budget=\"{size}\""));
        let matmul = self.matmul.iter().map(|matmul| format!("model.matmul=\"{matmul}\""));
        for assignment in budget.chain(matmul).chain(self.set.iter().cloned()) {
            apply_override(&mut document, &assignment).map_err(Failure::request)?;
            origin += &format!(" with --set {assignment}");
        }
        let whole = toml::to_string(&document).map_err(Failure::request)?;
        let spec: ExperimentSpec = parse_toml(&whole, &origin).map_err(Failure::request)?;
        Experiment::check(spec).context(origin).map_err(Failure::Request)
    }

    /// Whether the data are a folder of images.
    fn is_folder(&self) -> bool {
        world(&self.data).is_none()
    }

    /// The models that the request names.
    pub fn models(&self) -> ModelPaths<'_> {
        ModelPaths { model: self.model.as_deref(), backbone: self.backbone.as_deref() }
    }

    /// Name and place of the device.
    pub fn device(&self) -> Outcome<(String, Device)> {
        let device = device::by_name(&self.device).map_err(Failure::request)?;
        Ok((device::kind(&self.device), device))
    }

    /// Name of the device.
    pub fn device_name(&self) -> &str {
        &self.device
    }

    /// Listed data, the digest of the model, and the device. Nothing is decoded.
    pub fn inputs(&self, experiment: &Experiment) -> Outcome<(Inputs, Device)> {
        let (kind, device) = self.device()?;
        let inputs = Inputs::check(experiment, &kind).map_err(Failure::request)?;
        Ok((inputs.kept_in(image_store()?), device))
    }

    /// The model and the images.
    pub fn load(&self, inputs: Inputs, experiment: &Experiment, device: &Device) -> Outcome<Materials> {
        let line = Mutex::new(Line::start("reading images"));
        let tell = |progress| {
            if let (Progress::Data { done, total }, Ok(mut line)) = (progress, line.lock()) {
                line.step(done, total);
            }
        };
        let materials = inputs.load(experiment, device, &tell).map_err(Failure::request)?;
        if let Ok(line) = line.lock() {
            line.finish("images are read");
        }
        Ok(materials)
    }

    fn model(&self) -> toml::Value {
        let path = |path: &Path| text_of(&path.to_string_lossy());
        let entries = self.backbone.iter().map(|backbone| ("backbone", path(backbone)));
        let model = self.model.as_deref().unwrap_or(Path::new(WORLD_CLIP));
        table(entries.chain([("path", path(model))]))
    }

    /// The reference set: all test images of what is named.
    fn reference(&self) -> Outcome<Option<toml::Value>> {
        let Some(name) = &self.reference else { return Ok(None) };
        if let Some(listed) = self.listed.whole(name)? {
            return Ok(Some(listed));
        }
        let folder = || table([("kind", text_of("folder")), ("path", text_of(name))]);
        Ok(Some(world(name).unwrap_or_else(folder)))
    }

    fn data(&self) -> Outcome<toml::Value> {
        let with_domains = !self.train_domains.is_empty() || !self.test_domains.is_empty();
        let refused = |message: &'static str| Err(Failure::Request(anyhow::anyhow!(message)));
        if let Some(listed) = self.listed.data(&self.data)? {
            return match with_domains {
                true => refused("--train-domains and --test-domains are for folders: use --protocol"),
                false => Ok(listed),
            };
        }
        if let Some(world) = world(&self.data) {
            return match with_domains {
                true => {
                    refused("the built-in world has no domains: leave out --train-domains and --test-domains")
                }
                false => Ok(world),
            };
        }
        let list = |names: &[String]| toml::Value::Array(names.iter().map(|name| text_of(name)).collect());
        Ok(table([
            ("kind", text_of("folder")),
            ("path", text_of(&self.data)),
            ("train_domains", list(&self.train_domains)),
            ("test_domains", list(&self.test_domains)),
        ]))
    }
}

/// The task of the built-in world that goes by this name, with the values of which a recipe has to say something.
fn world(name: &str) -> Option<toml::Value> {
    let values = match name {
        "world" => vec![("strength", toml::Value::Float(0.85))],
        "world-base-to-novel" => Vec::new(),
        "world-few-shot" => vec![("shots", toml::Value::Integer(16))],
        "world-long-tailed" => {
            vec![("largest", toml::Value::Integer(200)), ("ratio", toml::Value::Float(100.0))]
        }
        _ => return None,
    };
    let kind = if name == "world" { "world-bias" } else { name };
    Some(table(values.into_iter().chain([("kind", text_of(kind))])))
}

/// The recipe of a method, or of methods that are put together, and where it comes from.
fn recipe(method: &str) -> Outcome<(String, toml::Table)> {
    if !is_composed(method) || Path::new(method).is_file() {
        let path = recipe_path(method)?;
        let text = read_text(&path).map_err(Failure::request)?;
        let origin = path.display().to_string();
        let document = parse_toml(&text, &origin).map_err(Failure::request)?;
        return Ok((origin, document));
    }
    let composed = compose(method, |name| {
        let path = recipe_path(name)?;
        let text = read_text(&path).map_err(Failure::request)?;
        parse_toml::<Recipe>(&text, &path.display().to_string()).map_err(Failure::request)
    })?;
    Ok((method.to_owned(), toml::Table::try_from(&composed).map_err(Failure::request)?))
}

fn recipe_path(method: &str) -> Outcome<PathBuf> {
    let given = PathBuf::from(method);
    if given.extension().is_some() {
        return Ok(given);
    }
    let folder = PathBuf::from("recipes/methods");
    let named = folder.join(format!("{method}.toml"));
    if named.is_file() {
        return Ok(named);
    }
    let entries = std::fs::read_dir(&folder)
        .map_err(|source| Failure::request(SpecError::Read { path: folder.clone(), source }))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    let nearest = regulus_trainer::experiment::nearest(method, names.iter().map(String::as_str));
    let hint = nearest.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"));
    let known = names.join(", ");
    Err(Failure::Request(anyhow::anyhow!("no method is called `{method}`{hint}; known are {known}")))
}

fn text_of(text: &str) -> toml::Value {
    toml::Value::String(text.to_owned())
}

fn table<'a>(entries: impl IntoIterator<Item = (&'a str, toml::Value)>) -> toml::Value {
    toml::Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Says what was loaded, and what of it is odd.
pub fn describe(materials: &Materials) {
    for notice in &materials.pretrained.notices {
        println!("note: {notice}");
    }
    if let Some(loaded) = &materials.backbone {
        println!("image encoder: {} tensors", loaded.backbone.shapes().len());
        if !loaded.ignored.is_empty() {
            let (others, first) = (loaded.ignored.len(), &loaded.ignored[0]);
            println!(
                "note: {others} other tensors of its file, such as {first}, are not part of it and were ignored"
            );
        }
    }
    if let Some(report) = &materials.report {
        println!("{report}");
    }
    for notice in &materials.notices {
        println!("note: {notice}");
    }
    let task = &materials.task;
    println!("{}: {} classes ({})", task.name, task.class_names.len(), task.class_names.join(", "));
    let tokenizer = &materials.pretrained.tokenizer;
    let unknown: Vec<String> =
        task.class_names.iter().flat_map(|name| tokenizer.unknown_words(name)).collect();
    if !unknown.is_empty() {
        println!(
            "the model has no word for {}: it reads all of them alike, so expect little of its text side",
            unknown.join(", ")
        );
    }
}
