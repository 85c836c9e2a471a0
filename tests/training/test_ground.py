"""A split knows ground: what overlaps, or is one file under two names, is on one side, or the split is called leaky."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from geotiff import write_geotiff

from deepnets4eo.cards import SplitPart
from deepnets4eo.training import DataSection, DataSplit, make_split, open_layers, overlapping_pairs
from deepnets4eo.training.ground import ground_groups, twins_of
from deepnets4eo.training.statistics import _layer_input

SIDE = 64


def tile(folder: Path, name: str, row: int, col: int, **options: object) -> dict[str, str]:
    pixels = np.random.default_rng([row, col]).integers(1, 99, (SIDE, SIDE)).astype(np.uint8)
    path = write_geotiff(folder / f"{name}.tif", pixels, origin=(500_000 + col, 5_000_000 - row), **options)
    return {"name": name, "image": str(path)}


def split(scenes: list[dict[str, str]], **options: object) -> DataSplit:
    data = DataSection(scenes=tuple(scenes), **({"split": "scenes", "val_share": 0.25} | options))
    return make_split(open_layers(data, ["image"]), data)


def learnt_ground(one: DataSplit, side: int = 400) -> float:
    """The share of the validated ground that is learnt from, counted pixel by pixel."""
    ground = {part: np.zeros((side, side), bool) for part in (SplitPart.train, SplitPart.val)}
    for named, of_scene in zip(one.scenes, one.splits, strict=True):
        col, row = round(named.grid.affine.c - 500_000), round(5_000_000 - named.grid.affine.f)
        for part in of_scene.parts:
            mask = np.zeros((SIDE, SIDE), bool)
            for window in of_scene.windows(part, SIDE):
                mask[window.slices] = True
            ground[part][row : row + SIDE, col : col + SIDE] |= mask
    return float((ground[SplitPart.train] & ground[SplitPart.val]).sum() / ground[SplitPart.val].sum())


def test_tiles_in_one_chain_of_overlaps_are_leaky(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    at = [(row, col) for row in range(0, 97, 32) for col in range(0, 97, 32)]
    one = split([tile(tmp_path, f"{row}_{col}", row, col) for row, col in at])
    assert one.leaky
    assert one.describe()["leaky"] is True
    assert one.describe()["learnt_ground"] == pytest.approx(
        learnt_ground(one), abs=0.05
    )  # which counts ground that two tiles validate once
    assert "of the validated ground is learnt from in other scenes" in caplog.text


@pytest.mark.parametrize("seed", range(6))
def test_tiles_that_overlap_are_kept_together_where_others_are_apart(tmp_path: Path, seed: int) -> None:
    at = [(0, 0), (0, 32), (0, 200), (0, 230), (200, 0), (200, 200), (232, 232), (300, 100)]
    one = split([tile(tmp_path, f"{row}_{col}", row, col) for row, col in at], split_seed=seed)
    assert learnt_ground(one) == 0
    assert not one.leaky
    assert any(SplitPart.val in of_scene.parts for of_scene in one.splits)
    assert "learnt_ground" not in one.describe()


def test_tiles_that_touch_are_split_as_they_were(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scenes = [tile(tmp_path, f"{col}", 0, col) for col in range(0, 320, SIDE)]
    one = split(scenes)
    drawn = np.random.default_rng(0).permutation(5)[:1]
    assert [named.name for named, of in zip(one.scenes, one.splits, strict=True) if SplitPart.val in of.parts] == [
        one.scenes[drawn[0]].name
    ]
    assert not one.leaky
    assert not caplog.messages


def test_blocks_of_scenes_that_overlap_are_leaky_and_of_a_copy_are_the_same(tmp_path: Path) -> None:
    first, second = tile(tmp_path, "a", 0, 0), tile(tmp_path, "b", 0, 32)
    assert split([first, second], split="blocks", block_px=16, buffer_px=0).leaky
    shutil.copy(first["image"], tmp_path / "copy.tif")
    copied = split(
        [first, {"name": "copy", "image": str(tmp_path / "copy.tif")}], split="blocks", block_px=16, buffer_px=0
    )
    masks = [[of.mask(SplitPart.val, of.windows(SplitPart.train, SIDE)[0].clip((SIDE, SIDE))) for of in copied.splits]]
    np.testing.assert_array_equal(*masks[0])
    assert not copied.leaky


def test_one_file_under_two_names_is_on_one_side_also_without_a_place(tmp_path: Path) -> None:
    scenes = [tile(tmp_path, f"s{number}", number, number, crs=None, driver="PNG") for number in range(4)]
    shutil.copy(scenes[0]["image"], tmp_path / "again.tif")
    scenes.append({"name": "again", "image": str(tmp_path / "again.tif")})
    data = DataSection(scenes=tuple(scenes))
    opened = open_layers(data, ["image"])
    assert twins_of(opened) == ground_groups(opened) == [0, 1, 2, 3, 0]
    assert not overlapping_pairs(opened)
    for seed in range(5):
        one = split(scenes, split_seed=seed, val_share=0.4)
        assert (
            len(
                {
                    tuple(of.parts)
                    for named, of in zip(one.scenes, one.splits, strict=True)
                    if named.name in ("s0", "again")
                }
            )
            == 1
        )
        assert not one.leaky
    assert split(scenes, val_scenes=("again",)).leaky


def test_the_same_ground_in_two_projections_is_recognised(tmp_path: Path) -> None:
    first = tile(tmp_path, "utm31", 0, 0)
    pixels = np.ones((SIDE, SIDE), np.uint8)
    second = write_geotiff(tmp_path / "degrees.tif", pixels, crs="EPSG:4326", origin=(3.0, 45.1535), gsd=1e-5)
    opened = open_layers(DataSection(scenes=(first, {"name": "degrees", "image": str(second)})), ["image"])
    assert overlapping_pairs(opened) == [(0, 1)]


def test_made_up_places_lie_nowhere(tmp_path: Path) -> None:
    scenes = [tile(tmp_path, f"s{number}", 0, 0, tags={"SYNTHETIC": "made up"}) for number in range(2)]
    write_geotiff(tmp_path / "s1.tif", np.ones((SIDE, SIDE), np.uint8), tags={"SYNTHETIC": "made up"})
    assert not overlapping_pairs(open_layers(DataSection(scenes=tuple(scenes)), ["image"]))


def test_ranges_of_bands_are_percentiles_of_each_and_of_all() -> None:
    pixels = np.stack([np.linspace(0, 100, 1001), np.linspace(500, 900, 1001), np.full(1001, 7.0)]).astype(np.float32)
    layer = SimpleNamespace(
        band_names=["a", "b", "c"],
        dtype=np.dtype("uint16"),
        colour_positions={},
        colour_roles=None,
        band_nodata=[None] * 3,
        scaling=[None] * 3,
    )
    split: Any = SimpleNamespace(scenes=[SimpleNamespace(scene=SimpleNamespace(layers={"image": layer}))])
    moments: Any = SimpleNamespace(mean=pixels.mean(axis=1), std=pixels.std(axis=1))
    found = _layer_input(split, "image", moments, pixels)
    np.testing.assert_allclose(found.band_low, [1, 504, 7], rtol=1e-5)
    np.testing.assert_allclose(found.band_high, [99, 896, 7], rtol=1e-5)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(pixels, (1, 99))))
    assert found.constant == (2,)
