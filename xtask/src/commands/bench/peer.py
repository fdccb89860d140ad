"""The cases of `cargo xtask bench` in PyTorch: the same mathematics at the same sizes, with random weights.

One argument, a JSON object: form, batch, classes, threads, sizes, and for what is loaded the folder of a model. The
script says {"ready": ...}, then takes a turn for every line on its standard input and says {"seconds": ...}; at the end
of the input it says {"peak_bytes": ...}. Forms that are called official do what the authors' code does, also where that
is more than the mathematics asks for.
"""

import json
import os
import sys
import time

REQUEST = json.loads(sys.argv[1])
if REQUEST["threads"]:
    os.environ["OMP_NUM_THREADS"] = str(REQUEST["threads"])
# What is loaded is in a folder: nothing is to be asked of the hub.
os.environ["HF_HUB_OFFLINE"] = "1"


def say(**values):
    print(json.dumps(values), flush=True)


try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError as error:
    say(error=str(error))
    sys.exit(0)

if REQUEST["threads"]:
    torch.set_num_threads(REQUEST["threads"])
torch.manual_seed(0)
FORM, BATCH, CLASSES, SIZES = (REQUEST[key] for key in ("form", "batch", "classes", "sizes"))
VISION, TEXT, EMBED, SCALE = SIZES["vision"], SIZES["text"], SIZES["embed"], 1 / 0.07
THRESHOLD = 5e-3


def drawn(*shape, deviation=0.02):
    return nn.Parameter(torch.randn(*shape) * deviation)


def unit(features):
    return features / features.norm(dim=-1, keepdim=True)


def frozen(module):
    return module.requires_grad_(False).eval()


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class StraightThrough(torch.autograd.Function):
    """1 above the threshold and 0 elsewhere; gradients pass unchanged."""

    @staticmethod
    def forward(context, mask):
        return (mask > THRESHOLD).to(mask.dtype)

    @staticmethod
    def backward(context, gradient):
        return gradient


class Block(nn.Module):
    def __init__(self, width, heads, attention_mask=None):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), QuickGelu(), nn.Linear(4 * width, width))
        self.attention_mask, self.masks = attention_mask, None

    def with_masks(self):
        attn = self.attn
        self.masks = nn.ParameterList([torch.full_like(attn.in_proj_weight, 1e-2),
                                       torch.full_like(attn.out_proj.weight, 1e-2)])

    def attend(self, x):
        if self.masks is None:
            return self.attn(x, x, x, need_weights=False, attn_mask=self.attention_mask)[0]
        attn = self.attn
        projection, output = (StraightThrough.apply(mask) for mask in self.masks)
        return F.multi_head_attention_forward(
            x, x, x, attn.embed_dim, attn.num_heads, projection * attn.in_proj_weight, attn.in_proj_bias,
            None, None, False, 0.0, output * attn.out_proj.weight, attn.out_proj.bias, need_weights=False)[0]

    def forward(self, x):
        x = x + self.attend(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Vision(nn.Module):
    def __init__(self, projected=True):
        super().__init__()
        width, patch = VISION["width"], VISION["patch"]
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = drawn(width)
        self.positions = drawn((VISION["resolution"] // patch) ** 2 + 1, width)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, VISION["heads"]) for _ in range(VISION["layers"]))
        self.projection = drawn(width, EMBED) if projected else None

    def forward(self, pixels, prompts=()):
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positions
        if len(prompts):
            x = torch.cat([x, prompts[0].expand(len(x), -1, -1)], 1)
        x = self.ln_pre(x).transpose(0, 1)
        for layer, block in enumerate(self.blocks):
            if 1 <= layer < len(prompts):
                deep = prompts[layer]
                x = torch.cat([x[:-len(deep)], deep.unsqueeze(1).expand(-1, x.shape[1], -1)])
            x = block(x)
        x = self.ln_post(x[0])
        return x if self.projection is None else x @ self.projection


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        width, context = TEXT["width"], TEXT["context"]
        causal = torch.full((context, context), float("-inf")).triu(1)
        self.embedding = nn.Embedding(TEXT["vocab"], width)
        self.positions = drawn(context, width)
        self.blocks = nn.ModuleList(Block(width, TEXT["heads"], causal) for _ in range(TEXT["layers"]))
        self.ln_final, self.projection = nn.LayerNorm(width), drawn(width, EMBED)

    def forward(self, words, ends, prompts=()):
        x = (words + self.positions).transpose(0, 1)
        for layer, block in enumerate(self.blocks):
            if 1 <= layer < len(prompts):
                deep = prompts[layer]
                x = torch.cat([x[:1], deep.unsqueeze(1).expand(-1, x.shape[1], -1), x[1 + len(deep):]])
            x = block(x)
        x = self.ln_final(x.transpose(0, 1))
        return x[torch.arange(len(x)), ends] @ self.projection


def pixels():
    return torch.randn(BATCH, 3, VISION["resolution"], VISION["resolution"])


def labels():
    return torch.randint(0, CLASSES, (BATCH,))


def class_words(text):
    """The words of every class at the full context, as the official prompt learners look them up."""
    ids = torch.randint(1, TEXT["vocab"] - 2, (CLASSES, TEXT["context"]))
    return text.embedding(ids).detach()


def fixed_texts():
    return unit(torch.randn(CLASSES, EMBED))


def update(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def promptsrc():
    vision, text, x, y = frozen(Vision()), frozen(Text()), pixels(), labels()
    words, hand_written = class_words(text), fixed_texts()
    layers = 9
    of_text = nn.ParameterList([drawn(4, TEXT["width"]) for _ in range(layers)])
    of_images = nn.ParameterList([drawn(4, VISION["width"]) for _ in range(layers)])
    optimiser = torch.optim.SGD([*of_text, *of_images], 0.0025, momentum=0.9, weight_decay=5e-4)
    ends = torch.full((CLASSES,), 8)

    def step():
        prompted = torch.cat([words[:, :1], of_text[0].expand(CLASSES, -1, -1), words[:, 5:]], 1)
        texts = unit(text(prompted, ends, of_text))
        images = unit(vision(x, of_images))
        logits = SCALE * images @ texts.t()
        with torch.no_grad():
            known = unit(vision(x))
            known_logits = SCALE * known @ hand_written.t()
        agreement = F.kl_div(logits.log_softmax(1), known_logits.log_softmax(1), reduction="sum", log_target=True)
        loss = (F.cross_entropy(logits, y) + 25 * F.l1_loss(texts, hand_written) + 10 * F.l1_loss(images, known)
                + agreement / logits.numel())
        update(optimiser, loss)
    return step


def coop(cached):
    vision, text, x, y = frozen(Vision()), frozen(Text()), pixels(), labels()
    words, context = class_words(text), drawn(16, TEXT["width"])
    optimiser = torch.optim.SGD([context], 0.002, momentum=0.9, weight_decay=5e-4)
    ends = torch.full((CLASSES,), 20)
    with torch.no_grad():
        known = unit(vision(x)) if cached else None

    def step():
        images = known if cached else unit(vision(x))
        prompted = torch.cat([words[:, :1], context.expand(CLASSES, -1, -1), words[:, 17:]], 1)
        texts = unit(text(prompted, ends))
        update(optimiser, F.cross_entropy(SCALE * images @ texts.t(), y))
    return step


def r_amt(official):
    vision, teacher, x, y, texts = frozen(Vision()), Vision(), pixels(), labels(), fixed_texts()
    for block in vision.blocks:
        block.with_masks()
    masks = [mask for block in vision.blocks for mask in block.masks]
    if not official:
        frozen(teacher)
    optimiser = torch.optim.Adam(masks, 8e-5)

    def step():
        logits = SCALE * unit(vision(x)) @ texts.t()
        loss = F.cross_entropy(logits, y) + 1e-4 * sum(mask.view(-1).norm(2) for mask in masks)
        # The released code keeps the graph of the frozen model, whose weights receive gradients.
        known = SCALE * unit(teacher(x)) @ texts.t()
        agreement = -(known.softmax(-1) * logits.log_softmax(-1)).sum(1).mean()
        optimiser.zero_grad()
        agreement.backward(retain_graph=True)
        general = [mask.grad.clone() for mask in masks]
        optimiser.zero_grad()
        loss.backward()
        for mask, b in zip(masks, general):
            a = mask.grad
            keep = (torch.sign(a) * (a + b) / (a.abs() + b.abs() + 1e-8) + 1) / 2
            mask.grad = (keep > torch.rand_like(keep)) * a
        optimiser.step()
    return step


def proreg():
    vision, teacher, x, y, texts = Vision(), frozen(Vision()), pixels(), labels(), fixed_texts()
    optimiser = torch.optim.AdamW(vision.parameters(), 1e-5, betas=(0.9, 0.98), weight_decay=0.01)

    def step():
        logits = SCALE * unit(vision(x)) @ texts.t()
        with torch.no_grad():
            known = SCALE * unit(teacher(x)) @ texts.t()
        own = F.cross_entropy(logits, y, reduction="none")
        of_teacher = F.cross_entropy(known, y, reduction="none")
        distillation = -(known.softmax(-1) * logits.log_softmax(-1)).sum(1)
        trust = torch.exp(-10 * of_teacher)
        weight = (trust / (torch.exp(-own) + trust + 1e-5)).detach()
        update(optimiser, ((1 - weight) * own).mean() + 2 * (weight * distillation).mean())
    return step


def tes(resnet):
    if resnet:
        from torchvision import models
        network, width = models.resnet50(), 2048
        network.fc = nn.Identity()
    else:
        network, width = Vision(projected=False), VISION["width"]
    head = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True), nn.Linear(width, EMBED))
    model = nn.ModuleList([network, head, nn.Linear(width, CLASSES)]).train()
    optimiser = torch.optim.SGD(model.parameters(), 0.00316, momentum=0.9, weight_decay=1e-5, nesterov=True)
    x, y, texts = pixels(), labels(), fixed_texts()

    def step():
        features = network(x)
        of_texts = F.normalize(head(features), dim=1) @ texts.t() / 0.03
        with torch.no_grad():
            target = 0.1 * of_texts.softmax(1)
            target[torch.arange(len(y)), y] += 0.9
        update(optimiser, F.cross_entropy(model[2](features), target) + 0.3 * F.cross_entropy(of_texts, y))
    return step


def zero_shot(format):
    vision, x, texts = frozen(Vision()).to(format), pixels().to(format), fixed_texts().to(format)

    @torch.inference_mode()
    def step():
        return SCALE * unit(vision(x)) @ texts.t()
    return step


def text_tower():
    text = frozen(Text())
    ids, ends = torch.randint(1, TEXT["vocab"] - 2, (CLASSES, TEXT["context"])), torch.full((CLASSES,), 8)

    @torch.inference_mode()
    def step():
        parts = [text(text.embedding(ids[i:i + 100]), ends[i:i + 100]) for i in range(0, CLASSES, 100)]
        return unit(torch.cat(parts))
    return step


def load_weights():
    folder = REQUEST["folder"]
    try:
        from transformers import CLIPModel
        from transformers.utils import logging
        logging.disable_progress_bar()
        return lambda: CLIPModel.from_pretrained(folder)
    except ImportError:
        from safetensors.torch import load_file
        return lambda: {name: value.clone() for name, value in load_file(folder + "/model.safetensors").items()}


def load_first_features():
    import transformers  # Without it, what is loaded is tensors, not a model.

    weights = load_weights()
    ids = torch.tensor([[49406, 320, 1125, 539, 320, 2368, 49407]])

    @torch.inference_mode()
    def step():
        model = weights()
        side = model.config.vision_config.image_size
        image = model.get_image_features(pixel_values=torch.zeros(1, 3, side, side))
        return image, model.get_text_features(input_ids=ids)
    return step


def load():
    from transformers import CLIPTokenizerFast
    weights, folder = load_weights(), REQUEST["folder"]
    try:
        CLIPTokenizerFast.from_pretrained(folder)
    except Exception as error:
        raise ImportError(f"transformers cannot read the tokenizer ({error})") from error
    return lambda: (weights(), CLIPTokenizerFast.from_pretrained(folder))


def peak_bytes():
    with open("/proc/self/status") as status:
        lines = [line.split() for line in status if line.startswith("VmHWM:")]
    return int(lines[0][1]) * 1024 if lines else None


FORMS = {
    "promptsrc": promptsrc,
    "coop": lambda: coop(False),
    "coop-cached": lambda: coop(True),
    "r-amt-official": lambda: r_amt(True),
    "r-amt-no-grad": lambda: r_amt(False),
    "proreg": proreg,
    "tes": lambda: tes(False),
    "tes-resnet50": lambda: tes(True),
    "zero-shot": lambda: zero_shot(torch.float32),
    "zero-shot-bf16": lambda: zero_shot(torch.bfloat16),
    "text": text_tower,
    "load-weights": load_weights,
    "load-first-features": load_first_features,
    "load": load,
}

try:
    turn = FORMS[FORM]()
except ImportError as error:
    say(error=str(error))
    sys.exit(0)
say(ready=f"PyTorch {torch.__version__}")
for _ in sys.stdin:
    began = time.perf_counter()
    turn()
    say(seconds=time.perf_counter() - began)
try:
    say(peak_bytes=peak_bytes())
except OSError:
    say(peak_bytes=None)
