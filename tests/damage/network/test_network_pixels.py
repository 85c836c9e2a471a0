"""How many pixels the networks of a damage job compute, per pixel of the scene."""

from collections import Counter

import pytest

from deepnets4eo.damage import Settings, assess
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import NetworkSegmenter
from deepnets4eo.synthetic import City

SIDE_PX = 1250
# At 0.5 m 4.18: pair 2 × 1.27, POST alone 0.21 around the 4 buildings that PRE does not show, buildings 0.67 at 0.7 m, water 0.76 at 1 m, with
# halos. At 2,500² 4.16. More in scenes below some 1,200² and where water is new, as PRE is then searched for water as well.
MAX_PIXELS = 2.1 * 2

pytestmark = [pytest.mark.usefixtures("shipped_networks"), pytest.mark.beyond_core]


def test_the_networks_of_a_job_compute_few_pixels_beyond_the_scene(monkeypatch):
    pixels, compute = Counter(), NetworkSegmenter.predict_raw

    def count(segmenter, batch, *, margin_px=0):
        tiles, bands, height, width = batch.shape
        pixels[segmenter.legend.name, bands // 3] += tiles * (bands // 3) * height * width
        return compute(segmenter, batch, margin_px=margin_px)

    monkeypatch.setattr(NetworkSegmenter, "predict_raw", count)
    city = City(5, SIDE_PX, 0.5)
    pre, post = (Layer.open(date.image[:3], grid=date.grid) for date in (city.pre, city.post))
    found = assess(pre, post, city.footprints(), settings=Settings(workers=1))
    assert (found.buildings["method"] == "post_only").any()
    assert set(pixels) == {("xbd", 2), ("xbd", 1), ("buildings", 1), ("water-and-mud", 1)}
    assert pixels["xbd", 2] > 2 * SIDE_PX**2
    assert sum(pixels.values()) <= MAX_PIXELS * SIDE_PX**2
