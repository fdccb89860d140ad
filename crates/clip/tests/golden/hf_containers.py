"""Saves one tiny HF CLIPModel in every container that hub folders use.

    python hf_containers.py    # writes hf_containers/ beside itself
"""

import shutil
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel

OUT = Path(__file__).with_suffix("")

torch.manual_seed(0)
config = CLIPConfig(
    text_config=dict(
        hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2, vocab_size=11,
        max_position_embeddings=7, bos_token_id=9, eos_token_id=10, pad_token_id=10,
    ),
    vision_config=dict(
        hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4,
    ),
    projection_dim=6,
)
model = CLIPModel(config).eval()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_(torch.randn_like(parameter))

shutil.rmtree(OUT, ignore_errors=True)
model.save_pretrained(OUT / "single")
model.save_pretrained(OUT / "sharded", max_shard_size="6KB")
state = model.state_dict()
state["text_model.embeddings.position_ids"] = torch.arange(7).unsqueeze(0)
for name, legacy in [("bin", False), ("legacy_bin", True)]:
    (OUT / name).mkdir()
    shutil.copy(OUT / "single" / "config.json", OUT / name)
    torch.save(state, OUT / name / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
(OUT / "half").mkdir()
shutil.copy(OUT / "single" / "config.json", OUT / "half")
torch.save({name: tensor.half() for name, tensor in model.state_dict().items()}, OUT / "half" / "pytorch_model.bin")
(OUT / "training").mkdir()
shutil.copy(OUT / "single" / "config.json", OUT / "training")
nested = {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in model.state_dict().items()}}
nested["optimizer"] = {"state": {0: {"exp_avg": torch.zeros(2)}}}
torch.save(nested, OUT / "training" / "epoch_3.pt")
