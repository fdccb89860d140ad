"""Records what timm makes of assets/world-backbone, for tests/world_backbone.rs.

    pip install torch timm safetensors
    python crates/trainer/tests/golden/world_backbone.py assets/world-backbone

The pixels are those of world_clip.safetensors, which both models read.
"""

import pathlib
import sys

import timm
import torch
from safetensors.torch import load_file, save_file

here = pathlib.Path(__file__)
model = timm.create_model(f"local-dir:{sys.argv[1]}", pretrained=True).eval()
pixels = load_file(here.with_name("world_clip.safetensors"))["pixel_values"]
with torch.no_grad():
    features = model(pixels)
notes = {"timm": timm.__version__, "torch": torch.__version__}
save_file({"features": features.contiguous()}, here.with_suffix(".safetensors"), metadata=notes)
