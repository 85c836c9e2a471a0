"""How many pixels the networks of a damage job compute, per pixel of the scene."""

from collections import Counter

import numpy as np
import pytest
import torch

from deepnets4eo.damage import Settings, assess
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import NetworkSegmenter
from deepnets4eo.synthetic import City

SIDE_PX = 1250
MAX_PIXELS = 4.7  # pair 2 × 1.27 and POST alone 0.63 at 0.5 m, buildings 0.67 at 0.7 m, water 0.76 at 1 m, with halos

pytestmark = [pytest.mark.usefixtures("shipped_networks"), pytest.mark.beyond_core]


def test_the_networks_of_a_job_compute_few_pixels_beyond_the_scene(monkeypatch):
    pixels = Counter()

    def count(segmenter, batch, margin_px):
        tiles, bands, height, width = batch.shape
        pixels[segmenter.legend.name] += tiles * bands // 3 * height * width
        inner = height - 2 * margin_px, width - 2 * margin_px
        noise = np.random.default_rng(0).normal(size=(tiles, segmenter.legend.num_channels, *inner))
        return torch.from_numpy(noise.astype(np.float32))

    monkeypatch.setattr(NetworkSegmenter, "_logits", count)
    city = City(5, SIDE_PX, 0.5)
    pre, post = (Layer.open(date.image, grid=date.grid) for date in (city.pre, city.post))
    assess(pre, post, city.footprints(), settings=Settings(workers=1, precision="float32"))
    assert len(pixels) == 3
    assert 3 * SIDE_PX**2 < sum(pixels.values()) <= MAX_PIXELS * SIDE_PX**2
