//! The page in an exported folder that says how to use it.

use super::Kind;
use crate::adapter::AdapterCard;
use crate::merge::PlainClassifier;

/// Markdown with a program in Python.
pub(super) fn text(card: &AdapterCard, classifier: &PlainClassifier, kind: Kind) -> String {
    let (from, load, features) = match kind {
        Kind::Clip => ("transformers", CLIP_LOAD, CLIP_FEATURES),
        Kind::Timm => ("timm", TIMM_LOAD, TIMM_FEATURES),
    };
    let logits = match classifier {
        PlainClassifier::Texts(_) => {
            "features = features / features.norm(dim=-1, keepdim=True)\n\
             logits = classifier[\"logit_scale\"].exp() * features @ classifier[\"text_features\"].T"
        }
        PlainClassifier::Linear { unit_features: true, .. } => {
            "features = features / features.norm(dim=-1, keepdim=True)\n\
             logits = features @ classifier[\"weight\"].T + classifier[\"bias\"]"
        }
        PlainClassifier::Linear { unit_features: false, .. } => {
            "logits = features @ classifier[\"weight\"].T + classifier[\"bias\"]"
        }
    };
    let (method, count) = (&card.method, card.class_names.len());
    format!(
        "# A model fine-tuned by Regulus\n\n\
         Method: {method}. Base model: weights with SHA-256 {}.\n\n\
         The folder is a plain model that `{from}` loads. `classifier.safetensors` tells its {count} classes apart, whose\n\
         names are in `classes.json`.\n\n\
         ```python\n\
         import json\n\
         import sys\n\n\
         from PIL import Image\n\
         from safetensors.torch import load_file\n\
         import torch\n\
         {load}\n\n\
         folder = sys.argv[1]  # this folder\n\
         image = Image.open(sys.argv[2]).convert(\"RGB\")\n\
         classes = json.load(open(f\"{{folder}}/classes.json\", encoding=\"utf-8\"))[\"classes\"]\n\
         classifier = load_file(f\"{{folder}}/classifier.safetensors\")\n\n\
         with torch.no_grad():\n{}\n\
         for share, name in sorted(zip(logits[0].softmax(dim=-1).tolist(), classes), reverse=True)[:5]:\n\
         \x20   print(f\"{{name}}: {{100 * share:.1f}} %\")\n\
         ```\n",
        card.base_sha256,
        indented(features, logits),
    )
}

const CLIP_LOAD: &str = "from transformers import CLIPImageProcessor, CLIPModel";
const CLIP_FEATURES: &str = "model = CLIPModel.from_pretrained(folder).eval()\n\
    pixels = CLIPImageProcessor.from_pretrained(folder)(images=image, return_tensors=\"pt\")[\"pixel_values\"]\n\
    features = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)";
const TIMM_LOAD: &str = "import timm";
const TIMM_FEATURES: &str = "model = timm.create_model(f\"local-dir:{folder}\", pretrained=True, num_classes=0).eval()\n\
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)\n\
    features = model(transform(image).unsqueeze(0))";

fn indented(features: &str, logits: &str) -> String {
    features.lines().chain(logits.lines()).map(|line| format!("    {line}\n")).collect()
}
