"""The part of an image on which a date of a flood is measured."""

import numpy as np
import pytest

from deepnets4eo.floods.water_date import Sample
from deepnets4eo.rasters import Layer


@pytest.mark.parametrize(
    ("shape", "sampled"),
    [((100, 300), (100, 300)), ((2047, 40), (2047, 40)), ((4000, 600), (2048, 600)), ((2100, 2048), (2048, 2048))],
)
def test_short_axes_are_read_whole_and_long_ones_in_four_windows_no_pixel_twice(shape, sampled):
    numbers = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)
    sample = Sample(Layer.open(numbers))
    assert sample.values.shape == (1, *sampled)
    assert sample.valid.shape == sampled
    assert len(np.unique(sample.values)) == sample.values.size
