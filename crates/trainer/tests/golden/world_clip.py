"""Records what HF transformers makes of assets/world-clip, for tests/world_clip.rs.

    cargo xtask data export --task few-shot --split test --test-images 20 --out /tmp/world
    pip install torch transformers safetensors pillow
    python crates/trainer/tests/golden/world_clip.py assets/world-clip /tmp/world/test
"""

import pathlib
import sys

import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

model_folder, image_folder = sys.argv[1:]
model, loading = transformers.CLIPModel.from_pretrained(model_folder, output_loading_info=True)
assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), loading
model.eval()

classes = sorted(folder.name for folder in pathlib.Path(image_folder).iterdir())
images = [Image.open(next((pathlib.Path(image_folder) / name).iterdir())) for name in classes]
pixels = transformers.AutoImageProcessor.from_pretrained(model_folder)(images, return_tensors="pt")["pixel_values"]
tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)
texts = [f"a photo of a {name}" for name in classes] + ["this is a small red key on the grass", "a walrus"]
tokens = tokenizer(texts, padding=True, return_tensors="pt")
with torch.no_grad():
    logits = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels)
record = {
    "pixel_values": pixels.contiguous(),
    "input_ids": tokens["input_ids"].contiguous(),
    "logits_per_image": logits.logits_per_image.contiguous(),
}
notes = {"classes": ",".join(classes), "texts": "|".join(texts), "transformers": transformers.__version__, "torch": torch.__version__}
save_file(record, pathlib.Path(__file__).with_suffix(".safetensors"), metadata=notes)
