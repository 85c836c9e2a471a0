"""A small network that classifies objects by upright patches and their length and width.

Takes patches (N, C, s, s) and sizes (N, 2); a patch and its half turn are the same object, and training uses both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

WIDTH = 16
BATCH = 64


class ObjectNetwork(nn.Module):
    """Three convolutions, averaged over the patch, concatenated with the object's size, one hidden layer.

    forward : (N, C, s, s) standardised patches, (N, 2) standardised log sizes → (N, num_classes) logits

    >>> ObjectNetwork(3, 9)(torch.zeros(2, 3, 32, 32), torch.zeros(2, 2)).shape
    torch.Size([2, 9])
    """

    def __init__(self, in_channels: int, num_classes: int, width: int = WIDTH) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels_out in ((in_channels, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [
                nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels_out),
                nn.ReLU(),
            ]
            layers += [nn.MaxPool2d(2)]
        self.patch = nn.Sequential(*layers)
        self.num_classes = num_classes
        self.decision = nn.Sequential(nn.Linear(4 * width + 2, 4 * width), nn.ReLU(), nn.Linear(4 * width, num_classes))

    def forward(self, patches: Tensor, sizes: Tensor) -> Tensor:
        """Return logits (N, num_classes) of (N, C, s, s) and (N, 2)."""
        pooled = self.patch(patches).mean(dim=(2, 3))
        logits: Tensor = self.decision(torch.cat([pooled, sizes], dim=1))
        return logits


def train(
    network: ObjectNetwork, patches: Tensor, sizes: Tensor, types: Tensor, *, epochs: int, seed: int
) -> list[float]:
    """Train in place by Adam on class-balanced cross-entropy; returns the mean loss of each epoch.

    Patches are mirrored at random along both axes; sizes vary by 5 %.
    """
    draw = torch.Generator().manual_seed(seed)
    count = torch.bincount(types, minlength=network.num_classes).float()
    weight = torch.where(count > 0, count.sum() / (count > 0).sum() / count.clamp(min=1), 0.0)
    criterion = nn.CrossEntropyLoss(weight)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3)
    batches = max(1, len(types) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=max(epochs * batches, 2))
    history = []
    network.train()
    for _ in range(epochs):
        order = torch.randperm(len(types), generator=draw)
        losses = []
        # batches of similar size, so that none has a single patch, which cannot be normalised
        for rows in torch.tensor_split(order, batches):
            batch = patches[rows]
            for axis in (2, 3):
                mirrored = torch.rand(len(rows), generator=draw) < 0.5
                batch = torch.where(mirrored[:, None, None, None], batch.flip(axis), batch)
            jitter = sizes[rows] + 0.1 * torch.randn(len(rows), 2, generator=draw)
            loss = criterion(network(batch, jitter), types[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        history.append(float(np.mean(losses)))
    network.eval()
    return history


def predict_probabilities(network: ObjectNetwork, patches: Tensor, sizes: Tensor) -> NDArray[np.float32]:
    """Return (N, num_classes) float32, rows sum to 1."""
    network.eval()
    parts: list[Any] = []
    with torch.no_grad():
        for at in range(0, len(patches), 8 * BATCH):
            rows = slice(at, at + 8 * BATCH)
            parts.append(network(patches[rows], sizes[rows]).softmax(dim=1).numpy())
    return np.concatenate([np.zeros((0, network.num_classes), np.float32), *parts])
