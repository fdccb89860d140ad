"""Records transformers' hidden states for attention masks with gaps: `bert_masks/masked.safetensors`.

Needs torch and transformers, and the folder `bert` beside this script.
"""

from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

HERE = Path(__file__).parent

if __name__ == "__main__":
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(9)
    model = transformers.BertModel.from_pretrained(HERE / "bert", attn_implementation="eager").eval()
    ids = torch.randint(4, 200, (3, 9), generator=generator)
    mask = torch.tensor([[1, 1, 0, 0, 1, 1, 1, 0, 1], [0, 0, 0, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0, 0, 0, 0]])
    types = torch.randint(0, 2, (3, 9), generator=generator)
    with torch.no_grad():
        last = model(ids, mask, types).last_hidden_state
    weights = mask.unsqueeze(-1).float()
    tensors = {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": types,
        "last_hidden_state": last,
        "mean_pooled": (last * weights).sum(1) / weights.sum(1),
    }
    save_file(tensors, HERE / "bert_masks" / "masked.safetensors")
    print("torch", torch.__version__, "transformers", transformers.__version__)
