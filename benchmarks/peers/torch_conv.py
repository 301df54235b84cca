"""Images a second that PyTorch trains of the nets of presets/cnn.yaml and presets/resnet.yaml."""

import json
import sys
import time

import torch
from torch import nn

import data

BATCH, WARM_UP, STEPS = 128, 20, 100


def convolution(channels: int, filters: int) -> nn.Sequential:
    """A convolution, its outputs normalised."""
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters)
    )


class Block(nn.Module):
    """A residual block."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.convolution = convolution(filters, filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it."""
        return torch.relu(x + self.convolution(x))


def cnn() -> nn.Module:
    """The net of presets/cnn.yaml."""
    layers: list[nn.Module] = []
    channels = 1
    for filters in (32, 64):
        for _ in range(2):
            layers += [convolution(channels, filters), nn.ReLU()]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 7 * 7, 10))


def resnet() -> nn.Module:
    """The net of presets/resnet.yaml."""
    layers: list[nn.Module] = []
    channels = 1
    for filters in (32, 64, 128):
        layers += [convolution(channels, filters), nn.ReLU(), Block(filters), nn.MaxPool2d(2)]
        channels = filters
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 3 * 3, 10))


torch.manual_seed(0)
images, labels = (torch.from_numpy(array) for array in data.load("train"))
images = images[:, None].contiguous(memory_format=torch.channels_last)
model = {"cnn": cnn, "resnet": resnet}[sys.argv[1]]().to(memory_format=torch.channels_last)
optimizer = torch.optim.SGD(
    model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=0.0005, fused=True
)
loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
order = torch.randperm(len(images)).split(BATCH)
for step in range(WARM_UP + STEPS):
    if step == WARM_UP:
        started = time.perf_counter()
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model(images[order[step]]), labels[order[step]])
    loss.backward()
    optimizer.step()
seconds = time.perf_counter() - started
parameters = sum(weights.numel() for weights in model.parameters())
print(json.dumps({"images_per_second": STEPS * BATCH / seconds, "parameters": parameters}))
