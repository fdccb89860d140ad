"""Records PyTorch's antialiased bicubic interpolation of grids of positions, as open_clip resizes them.

    python resized_positions.py    # writes resized_positions.json beside itself
"""

import json
from pathlib import Path

import torch

torch.manual_seed(0)
cases = []
for old, new in [(4, 6), (7, 3), (5, 5), (3, 8), (2, 1), (1, 4)]:
    grid = torch.randn(1, 2, old, old)
    resized = torch.nn.functional.interpolate(
        grid, size=(new, new), mode="bicubic", antialias=True, align_corners=False
    )
    flat = lambda tensor: [round(value, 7) for value in tensor[0].permute(1, 2, 0).flatten().tolist()]
    cases.append({"old": old, "new": new, "grid": flat(grid), "resized": flat(resized)})
Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
