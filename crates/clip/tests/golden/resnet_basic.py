"""Records a small ResNet of basic blocks: torchvision's own modules at smaller widths.

Writes `resnet_basic/`: the weights as `resnet.safetensors`, and in `io.safetensors` pixels of an odd size,
intermediate results and features in evaluation and training mode, running statistics after one pass in
training mode, and the gradients of a weighted sum of the training features.

Run with `python resnet_basic.py`; needs torch, torchvision and safetensors.
"""

import pathlib

import torch
from safetensors.torch import save_file
from torchvision.models.resnet import BasicBlock, ResNet

WIDTH, BLOCKS, CLASSES = 3, (1, 2, 1, 1), 5


def small_resnet():
    model = ResNet(BasicBlock, list(BLOCKS), num_classes=CLASSES)
    model.inplanes = WIDTH
    model.conv1 = torch.nn.Conv2d(3, WIDTH, kernel_size=7, stride=2, padding=3, bias=False)
    model.bn1 = torch.nn.BatchNorm2d(WIDTH)
    for index, blocks in enumerate(BLOCKS):
        layer = model._make_layer(BasicBlock, WIDTH << index, blocks, stride=1 if index == 0 else 2)
        setattr(model, f"layer{index + 1}", layer)
    model.fc = torch.nn.Linear(WIDTH << 3, CLASSES)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0)
        elif name.endswith("num_batches_tracked"):
            tensor.fill_(3)
        elif tensor.dim() == 1:
            tensor.add_(0.2 * torch.randn_like(tensor))
    return model


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = small_resnet()
    folder = pathlib.Path(__file__).parent / "resnet_basic"
    folder.mkdir(exist_ok=True)
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, folder / "resnet.safetensors")

    seen = {}
    for name in ("maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool"):
        getattr(model, name).register_forward_hook(lambda *args, name=name: seen.update({name: args[2]}))
    pixels = torch.randn(3, 3, 45, 61)
    weights = torch.randn(3, WIDTH << 3)
    io = {"pixel_values": pixels, "loss_weights": weights}
    with torch.no_grad():
        io["eval_fc"] = model.eval()(pixels)
        for name in ("maxpool", "layer1", "layer2", "layer3", "layer4"):
            io[f"eval_{name}"] = seen[name]
        io["eval_features"] = seen["avgpool"].flatten(1)
    model.train()(pixels)
    io["train_features"] = seen["avgpool"].flatten(1).detach()
    (seen["avgpool"].flatten(1) * weights).sum().backward()
    io |= {f"grad.{name}": value.grad for name, value in model.named_parameters() if not name.startswith("fc.")}
    kinds = ("running_mean", "running_var", "num_batches_tracked")
    io |= {f"after_train.{name}": value for name, value in model.state_dict().items() if name.endswith(kinds)}
    save_file({name: tensor.contiguous().clone() for name, tensor in io.items()}, folder / "io.safetensors")


if __name__ == "__main__":
    main()
