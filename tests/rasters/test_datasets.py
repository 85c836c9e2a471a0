"""What is read from an open dataset, against GDAL alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from deepnets4eo.rasters import datasets
from deepnets4eo.rasters.datasets import read_dataset


@pytest.mark.parametrize("shape", [(40, 30), (50, 41), (63, 60)])
def test_averaged_strip_by_strip_a_file_has_the_values_that_gdal_averages_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    monkeypatch.setattr(datasets, "STRIP_ROWS", 10)
    values = np.random.default_rng(0).normal(size=(3, 100, 120)).astype(np.float32)
    options = dict(
        driver="GTiff", count=3, height=100, width=120, dtype="float32", tiled=True, blockxsize=16, blockysize=16
    )
    with rasterio.open(tmp_path / "image.tif", "w", **options) as file:
        file.write(values)
    windows = []
    with rasterio.open(tmp_path / "image.tif") as file:
        expected = file.read(out_shape=(3, *shape), resampling=Resampling.average)
        whole_file = rasterio.io.DatasetReader.read

        class Counted:
            def __getattr__(self, name: str) -> object:
                return getattr(file, name)

            def read(self, bands: list[int], **how: object) -> object:
                windows.append(how.get("window"))
                return whole_file(file, bands, **how)

        data, valid = read_dataset(Counted(), None, [1, 2, 3], None, shape)  # type: ignore[arg-type]
    assert np.array_equal(data, expected)
    assert valid.all()
    assert len(windows) == {40: 10, 50: 10, 63: 1}[shape[0]]  # whole rows make whole rows in 20, 50 and 1 parts
