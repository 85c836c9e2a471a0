"""Scenes of one training are of one kind, or the training says which are not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.training import DataSection, make_split, measure_inputs, open_layers

SIDE = 48


def values(seed: int = 0, bands: int = 4, high: float = 3000, kind: str = "uint16") -> np.ndarray:
    return (np.random.default_rng(seed).random((bands, SIDE, SIDE)) * high).astype(kind)


def measure(folder: Path, *scenes: dict[str, Any], layer: str = "image") -> None:
    """Write scenes beside each other, split them as a whole and measure the training part."""
    listed = []
    for number, scene in enumerate(scenes):
        names, wavelengths = scene.pop("names", None), scene.pop("wavelengths", ())
        units = scene.pop("units", None)
        origin = scene.pop("origin", (500_000 + 100_000 * number, 5_000_000))
        path = write_geotiff(folder / f"s{number}.tif", scene.pop("values"), origin=origin, **scene)
        with rasterio.open(path, "r+") as file:
            if names:
                file.descriptions = names
            if units:
                file.units = units
            for band, length in enumerate(wavelengths, start=1):
                file.update_tags(band, wavelength=str(length), wavelength_units="nanometers")
        listed.append({"name": path.stem, layer: str(path)})
    data = DataSection(scenes=tuple(listed), val_share=0)
    measure_inputs(make_split(open_layers(data, [layer]), data), [layer])


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({}, {"values": values(1, high=255, kind="uint8"), "alpha": "NO"}, ["(uint8)", "s1", "uint16 values", "s0"]),
        ({}, {"values": values(1, high=1, kind="float32")}, ["(s1)", "(s0)", "two units"]),
        ({}, {"gsd": 30.0}, ["(s0) have pixels of 1 m", "(s1) of up to 30 m"]),
        (
            {"names": ["red", "green", "blue", "nir"]},
            {"names": ["blue", "green", "red", "nir"]},
            ["red, green, blue, nir in 1 scene (s0)", "blue, green, red, nir in 1 scene (s1)"],
        ),
        (
            {"wavelengths": [450, 550, 650, 850]},
            {"wavelengths": [450, 550, 650, 1650]},
            ["band 4", "850 nm in s0", "1650 nm in s1"],
        ),
        ({"units": ["m"] * 4}, {"units": ["ft"] * 4}, ["m in s0", "ft in s1"]),
    ],
    ids=["bytes", "unit", "pixel", "order", "wavelengths", "feet"],
)
def test_scenes_of_two_kinds_are_refused_by_name(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], named: list[str]
) -> None:
    with raises_naming(InputError, *named):
        measure(tmp_path, {"values": values()} | first, {"values": values(1)} | second)


@pytest.mark.parametrize(
    ("second", "named"),
    [
        ({"gsd": 4.0}, ["of 1 m", "4 m"]),
        ({"gsd": 14.0}, ["of 1 m", "14 m"]),
        ({"values": values(1, high=200)}, ["15 times larger in every band"]),
        ({"names": ["one", "two", "three", "four"]}, ["a, b, c, d", "one, two, three, four"]),
    ],
    ids=["pixel", "coarse", "dark", "names"],
)
def test_what_may_be_another_kind_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, second: dict[str, Any], named: list[str]
) -> None:
    """Values of up to 3000 and 200 are 15 times apart."""
    measure(tmp_path, {"values": values(), "names": ["a", "b", "c", "d"]}, {"values": values(1)} | second)
    (message,) = (text for text in caplog.messages if "s1" in text)
    assert [text for text in [*named, "s0"] if text not in message] == []


def places() -> Sequence[tuple[str, tuple[dict[str, Any], dict[str, Any]], str]]:
    """Pairs that differ as places and products of one kind do."""
    water = values(1)
    water[1:] //= 40
    flat = values(1, bands=1, high=0.2, kind="float32")
    return [
        ("water", ({"values": values()}, {"values": water}), "image"),
        ("display", ({"values": values(high=255, kind="uint8")}, {"values": values(1, high=255)}), "image"),
        ("heights", ({"values": values(bands=1, high=60, kind="float32")}, {"values": flat}), "ndsm"),
        (
            "satellites",
            (
                {"values": values(), "wavelengths": [492, 559, 832.8, 2202]},
                {"values": values(1), "wavelengths": [492, 559, 833, 2186]},
            ),
            "image",
        ),
        (
            "degrees",
            (
                {"values": values(), "gsd": 10.0},
                {"values": values(1), "crs": "EPSG:4326", "gsd": 1e-4, "origin": (9, 45)},
            ),
            "image",
        ),
    ]


@pytest.mark.parametrize(("pair", "layer"), [pytest.param(*one[1:], id=one[0]) for one in places()])
def test_other_places_are_no_other_kind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pair: tuple[dict[str, Any], ...], layer: str
) -> None:
    measure(tmp_path, *(dict(scene) for scene in pair), layer=layer)
    assert not caplog.messages


def test_darker_and_darker_scenes_are_of_one_unit_and_a_gap_between_them_is_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    highs = 10_000 / np.array([1, 4, 9, 30, 90])  # from a cloud to a lake
    measure(tmp_path, *({"values": values(number, high=high)} for number, high in enumerate(highs)))
    assert not caplog.messages
    with raises_naming(InputError, "3 scenes", "s0", "s1", "s2", "2 scenes", "s3", "s4"):
        measure(tmp_path, *({"values": values(n, high=high)} for n, high in enumerate([*highs[:3], 60, 110])))


def test_a_scene_that_is_only_validated_on_is_looked_at_too(tmp_path: Path) -> None:
    for number, kind in enumerate(("float32", "float32")):
        write_geotiff(
            tmp_path / f"s{number}.tif",
            values(number, high=(3000, 0.3)[number], kind=kind),
            origin=(500_000 + number * 1000, 0),
        )
    listed = tuple({"name": f"s{number}", "image": str(tmp_path / f"s{number}.tif")} for number in range(2))
    data = DataSection(scenes=listed, split="scenes", val_scenes=("s1",))
    with raises_naming(InputError, "two units", "s0", "s1"):
        measure_inputs(make_split(open_layers(data, ["image"]), data), ["image"])
