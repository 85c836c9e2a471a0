"""What every source of a layer has: what one does not say of itself is known to all who read it."""

from collections.abc import Sequence

import numpy as np
import pytest
from rasterio.io import DatasetReader

from deepnets4eo.arrays import Pixels
from deepnets4eo.formats import Declared, StoredValues
from deepnets4eo.formats.band_info import BandInfo
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters import Layer, Source
from deepnets4eo.rasters.values import valid_values

GRID = Layer.open(np.zeros((2, 4, 6), np.uint8)).grid


class Ramp(Source):
    """Numbers that grow from pixel to pixel, and nothing else."""

    def __init__(self, grid: Grid) -> None:
        self.name, self.grid, self.dtype = "ramp", grid, np.dtype(np.int32)
        self.bands, self.paths = [1, 2], []
        self.declared = Declared.plain("ramp", 2).with_bands(name=["low", "high"])

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        values = np.arange(24, dtype=np.int32).reshape(4, 6)[window.slices]
        data = np.stack([values + 100 * (band - 1) for band in bands])
        return data, valid_values(data, self.nodata)

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        raise NotImplementedError

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        raise NotImplementedError


def test_a_source_that_says_the_least_is_read_as_a_layer() -> None:
    layer = Layer(Ramp(GRID))
    data, valid = layer.read(Window(1, 2, 1, 2))
    assert data.tolist() == [[[8, 9]], [[108, 109]]]
    assert valid.all()
    assert (layer.band_nodata, layer.unmasked_band, layer.place_advice) == ([None, None], None, "")
    assert (layer.height_crs, layer.wavelengths_nm, layer.colour_roles) == (None, None, None)
    assert all(one.plain for one in layer.stored_values)


def test_a_value_without_data_makes_another_source_and_leaves_the_first() -> None:
    layer = Layer(Ramp(GRID), [1])
    declared = layer.with_nodata(8)
    assert declared.read(Window(1, 2, 1, 2))[1].tolist() == [[False, True]]
    assert (declared.nodata, declared.band_nodata) == (8, [8])
    assert layer.read(Window(1, 2, 1, 2))[1].all()
    assert layer.nodata is None


def test_views_of_a_source_hand_a_value_without_data_on() -> None:
    layer = Layer(Ramp(GRID)).with_names(["a", "b"]).with_factor(2.0, "m")
    declared = layer.with_nodata(8).subset([1])
    data, valid = declared.read(Window(1, 2, 1, 2))
    assert data.tolist() == [[[16, 18]]]
    assert valid.tolist() == [[False, True]]
    assert (declared.band_names, declared.stored_values[0].unit) == (["a"], "m")


def test_a_source_that_cannot_be_read_is_none() -> None:
    class Empty(Source):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Empty()  # type: ignore[abstract]


def test_what_a_source_states_of_its_bands_holds_over_what_is_stated_elsewhere() -> None:
    bands = (BandInfo("red", nodata=0.0), BandInfo(stored=StoredValues(0.5, 1.0, "K")), BandInfo())
    stated = [
        {"name": "b4", "nodata": 7, "scale": 0.1, "unit": "%"}, {"name": "b5", "nodata": 7, "scale": 0.1}, {"offset": -2.0},
    ]  # fmt: skip
    declared = Declared("a.tif", bands).with_stated(stated)
    assert declared.bands == (
        BandInfo("red", stored=StoredValues(0.1, 0.0, "%"), nodata=0.0),
        BandInfo("b5", stored=StoredValues(0.5, 1.0, "K"), nodata=7),
        BandInfo("", stored=StoredValues(1.0, -2.0, "")),
    )
