"""Virtual rasters state what their files state: `gdalbuildvrt` drops units and tags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from geotiff import write_geotiff
from rasterio.vrt import WarpedVRT
from refusals import raises_naming

from deepnets4eo.errors import GridError
from deepnets4eo.rasters import Layer

VALUES = np.arange(64, dtype=np.int16).reshape(1, 8, 8)


def _vrt(folder: Path, *files: str, band: str = "", source: str = "", kind: str = "Simple", number: str = "1") -> str:
    """Write a VRT of files next to each other; band, source : further elements; kind : of source; number : of the band of files."""
    sources = "".join(
        f'<{kind}Source><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>{number}</SourceBand>{source}'
        f'<SrcRect xOff="0" yOff="0" xSize="8" ySize="8"/><DstRect xOff="{8 * at}" yOff="0" xSize="8" ySize="8"/></{kind}Source>'
        for at, name in enumerate(files)
    )
    text = f'<VRTRasterBand dataType="Int16" band="1">{band}{sources}</VRTRasterBand>'
    place = "<GeoTransform>500000, 1, 0, 4000000, 0, -1</GeoTransform>"
    path = folder / "all.vrt"
    path.write_text(f'<VRTDataset rasterXSize="{8 * len(files)}" rasterYSize="8">{place}{text}</VRTDataset>')
    return str(path)


def _file(folder: Path, name: str, unit: str = "", scale: float = 1.0, tags: dict[str, str] | None = None) -> None:
    write_geotiff(folder / name, VALUES, gsd=1, tags=tags)
    with rasterio.open(folder / name, "r+") as file:
        file.units, file.scales = (unit,), (scale,)


def test_unit_scale_and_tags_of_the_files_are_those_of_the_virtual_raster(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        _file(tmp_path, name, "ft", 0.5, {"scale": "amplitude", "note": name})
    layer = Layer.open(_vrt(tmp_path, "a.tif", "b.tif"))
    assert layer.declared.unit == "ft"
    assert layer.tags["scale"] == "amplitude"
    assert "note" not in layer.tags  # which differs
    np.testing.assert_array_equal(layer.read()[0][0, :, 8:], 0.5 * VALUES[0])


def test_a_virtual_raster_overrides_its_files(tmp_path: Path) -> None:
    _file(tmp_path, "a.tif", "ft", 0.5)
    layer = Layer.open(_vrt(tmp_path, "a.tif", band="<UnitType>m</UnitType><Scale>2</Scale>"))
    assert layer.reader.declared.stored[0][:3] == (2, 0, "m")


@pytest.mark.parametrize(("unit", "scale"), [("m", 1.0), ("ft", 0.5)])
def test_files_whose_numbers_mean_different_things_are_refused(unit: str, scale: float, tmp_path: Path) -> None:
    _file(tmp_path, "a.tif", "ft"), _file(tmp_path, "b.tif", unit, scale)
    with raises_naming(GridError, "a.tif", "b.tif", "Give the files themselves"):
        Layer.open(_vrt(tmp_path, "a.tif", "b.tif"))


@pytest.mark.parametrize(
    "how", [{"kind": "Complex", "source": "<ScaleRatio>2</ScaleRatio>"}, {"number": "mask,1"}, {"number": "2"}]
)
def test_a_band_that_is_computed_or_not_there_states_nothing_of_its_files(how: dict[str, str], tmp_path: Path) -> None:
    _file(tmp_path, "a.tif", "ft", tags={"scale": "amplitude"})
    layer = Layer.open(_vrt(tmp_path, "a.tif", **how))
    assert (layer.declared.unit, layer.tags.get("scale")) == ("", None)


def test_a_warped_virtual_raster_and_one_of_another_have_the_unit_of_the_file(tmp_path: Path) -> None:
    _file(tmp_path, "a.tif", "ft")
    with rasterio.open(tmp_path / "a.tif") as file, WarpedVRT(file, crs="EPSG:32632") as warped:
        rasterio.shutil.copy(warped, tmp_path / "warped.vrt", driver="VRT")
    text = (tmp_path / "warped.vrt").read_text()
    (tmp_path / "warped.vrt").write_text(text.replace("<UnitType>ft</UnitType>", ""))
    assert "ft" not in (tmp_path / "warped.vrt").read_text()
    assert Layer.open(str(tmp_path / "warped.vrt")).declared.unit == "ft"
    assert Layer.open(_vrt(tmp_path, "warped.vrt")).declared.unit == "ft"
