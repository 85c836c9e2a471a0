"""Frozen encoders see bands as their authors did: which files of encoders need it, and how it is done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from deepnets4eo.classification import training
from deepnets4eo.classification.frozen import FrozenImages


@pytest.mark.parametrize("dated", [True, False])
def test_bands_are_multiplied_and_shifted_as_published_before_the_encoder_sees_them(dated: bool) -> None:
    images, own = torch.full((1, 2, 2, 2), 3.0), torch.full((1, 2, 1, 1), 5.0)
    published = torch.tensor([[2.0, 4.0], [1.0, -1.0]])[:, None, :, None, None]
    seen = 5.0 if dated else 3.0
    for change, expected in ((published, [2 * seen + 1, 4 * seen - 1]), (None, [seen, seen])):
        model: Any = SimpleNamespace(encoder=lambda image: image.mean(dim=(2, 3)), _dated=dated, published=change, joined=None)  # fmt: skip
        assert FrozenImages._means(model, images, own).tolist() == [expected]


@pytest.mark.parametrize(
    ("dated", "high", "dtype", "changed"),
    [
        (True, (1.0, 1.0), "uint16", True),
        (True, (1.0, 1.0), "uint8", False),
        (True, (), "uint16", False),
        (False, (1.0, 1.0), "uint16", False),
    ],
)
def test_only_encoders_of_reflectance_get_their_way_back_to_published_values(
    dated: bool, high: Any, dtype: str, changed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = SimpleNamespace(is_dated=dated, to_dict=lambda: {"width": 8})
    monkeypatch.setattr(training.TransformerSizes, "of_file", lambda *_: sizes)
    monkeypatch.setattr(training, "published_change", lambda *_: (np.array([2.0, 3.0]), np.array([0.5, 0.0])))
    layer = SimpleNamespace(band_high=high, dtype=dtype, mean=(0, 0), std=(1, 1))
    recipe: Any = SimpleNamespace(model=SimpleNamespace(encoder="galileo.safetensors"))
    inputs: Any = SimpleNamespace(layers={"image": layer})
    found = training._encoder_of_file(recipe, inputs, ["B02", "B03"])
    published = {"published": [[2.0, 3.0], [0.5, 0.0]]} if changed else {}
    assert found == {"transformer": {"width": 8}} | published


def test_classes_without_a_training_image_are_named(caplog: pytest.LogCaptureFixture) -> None:
    training._warn_of_lacking(np.array([[True, False, False], [True, False, True]]), ("crop", "ice", "lake"))
    training._warn_of_lacking(np.ones((1, 2), bool), ("crop", "ice"))
    (message,) = caplog.messages
    assert message.startswith("No training image shows ice:")
