"""Records small vision transformers of transformers and timm: folders, inputs and features.

Needs torch, transformers and timm. Writes the folder `vit_backbone` beside this script.
"""

import json
from pathlib import Path

import timm
import torch
import transformers
from safetensors.torch import save_file

HERE = Path(__file__).parent / "vit_backbone"


def randomise(model: torch.nn.Module, generator: torch.Generator) -> torch.nn.Module:
    """Gives every parameter values that a wrong name or order would betray."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1 and "embed" not in name and "token" not in name:
                fan_in = parameter[0].numel()
                parameter.copy_(noise * 1.5 / fan_in**0.5)
            elif "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.3 * noise)
            else:
                parameter.copy_(0.4 * noise)
    return model.eval()


def record_transformers(generator: torch.Generator) -> None:
    config = transformers.ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        image_size=32,
        patch_size=8,
        num_labels=5,
    )
    model = randomise(transformers.ViTForImageClassification(config), generator)
    # The pooler belongs to the headless model only.
    headless = randomise(transformers.ViTModel(config), generator)
    pixels = torch.randn(3, 3, 32, 32, generator=generator)
    for folder, vit, whole in [("hf_classifier", model.vit, model), ("hf", headless, headless)]:
        whole.save_pretrained(HERE / folder)
        with torch.no_grad():
            features = vit(pixels).last_hidden_state[:, 0].contiguous()
        save_file({"pixel_values": pixels, "features": features}, HERE / folder / "io.safetensors")


def record_timm(generator: torch.Generator) -> None:
    sizes = dict(img_size=24, patch_size=6, embed_dim=36, depth=2, num_heads=3, mlp_ratio=2, num_classes=5)
    model = randomise(timm.models.VisionTransformer(**sizes), generator)
    pixels = torch.randn(3, 3, 24, 24, generator=generator)
    with torch.no_grad():
        features = model.forward_features(pixels)[:, 0].contiguous()
    folder = HERE / "timm"
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architecture": "vit_small_patch16_224",
        "num_classes": 5,
        "num_features": 36,
        "global_pool": "token",
        "model_args": sizes,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(model.state_dict(), folder / "model.safetensors")
    save_file({"pixel_values": pixels, "features": features}, folder / "io.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(5)
    record_transformers(generator)
    record_timm(generator)
    print("torch", torch.__version__, "transformers", transformers.__version__, "timm", timm.__version__)
