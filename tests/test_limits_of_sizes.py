"""Sizes that bound work: points of a tile, cells that an encoder describes, and what a search for buildings keeps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from deepnets4eo.damage.network import find_buildings
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.points import labelling
from deepnets4eo.points.labelling import LabelJob
from deepnets4eo.segmenters.dated_encoders import PRESTO, DatedEncoder
from deepnets4eo.segmenters.encoder_files import TransformerSizes


@pytest.mark.parametrize(("memory_bytes", "points"), [(25_000_000, 25_000), (1, 10_000), (10_000_999, 10_000)])
def test_a_tile_has_a_point_for_each_thousand_bytes_and_ten_thousand_at_least(
    memory_bytes: int, points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    shares: list[float] = []
    calls: list[str] = []
    done = SimpleNamespace(is_sorted=False, tile_folder="tiles", clear=lambda: calls.append("clear"), begin=lambda: calls.append("begin"))  # fmt: skip

    def sort(*_: Any, most_points: int, **__: Any) -> Any:
        asked.append(most_points)
        return iter((50, 200))

    monkeypatch.setattr(labelling, "LabelProgress", lambda *_: done)
    monkeypatch.setattr(labelling, "sort_in_tiles", sort)
    job: Any = SimpleNamespace(
        _neighbours=[], labeller=SimpleNamespace(halo_m=2.0), file=SimpleNamespace(point_count=200), orthophoto=None,
        options=SimpleNamespace(memory_bytes=memory_bytes),
    )  # fmt: skip
    scratch: Any = None
    steps: Any = lambda step, share: shares.append(share)  # noqa: E731
    assert LabelJob._sort(job, scratch, steps) is done
    assert (asked, shares, calls) == ([points], [0.25, 1.0], ["clear", "begin"])
    done.is_sorted = True
    LabelJob._sort(job, scratch, steps)
    assert len(asked) == 1


@pytest.mark.parametrize(("side", "cells"), [(8, 8), (16, 16), (17, 16), (64, 16)])
def test_an_image_that_presto_describes_by_one_vector_is_seen_in_16_cells_a_side(side: int, cells: int) -> None:
    seen: list[tuple[int, ...]] = []
    encoder: Any = SimpleNamespace(kind=PRESTO, maps=lambda images: seen.append(tuple(images.shape)) or images)
    image = torch.arange(side, dtype=torch.float32).expand(1, 2, 5, side)
    found = DatedEncoder.forward(encoder, image)
    assert seen == [(1, 2, 5, cells)]
    assert found[0].tolist() == pytest.approx([(side - 1) / 2] * 2)


@pytest.mark.parametrize(("side", "resized"), [(3, 4), (4, 4), (7, 7)])
def test_an_image_smaller_than_a_patch_is_enlarged_to_one(side: int, resized: int) -> None:
    seen: list[tuple[int, ...]] = []
    encoder: Any = SimpleNamespace(kind="galileo", patch_px=4, maps=lambda images: seen.append(tuple(images.shape)) or images)  # fmt: skip
    DatedEncoder.forward(encoder, torch.zeros(1, 2, side, 9))
    assert seen == [(1, 2, resized, 9)]


@pytest.mark.parametrize("with_pre", [True, False])
def test_buildings_are_found_in_the_first_image_and_unsure_ones_are_kept(
    with_pre: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def found(run: str, image: str, labels: str, *, options: Any, progress: Any, keep_unsure: bool) -> str:
        asked.append((run, image, labels, options.resume, options.scratch, keep_unsure))
        return "outlines"

    monkeypatch.setattr(find_buildings, "buildings_of", found)
    pair: Any = SimpleNamespace(pre="PRE" if with_pre else None, post="POST")
    settings: Any = SimpleNamespace(device="cpu", precision="float32", runtime="torch", segmenter="run")
    labels: Any = "labels.tif"
    assert find_buildings.find_footprints(pair, settings, labels, None) == "outlines"  # type: ignore[comparison-overlap]
    assert asked == [("run", "PRE" if with_pre else "POST", labels, True, True, True)]

    def fail(*_: Any, **__: Any) -> Any:
        raise RunError("no weights.")

    monkeypatch.setattr(find_buildings, "buildings_of", fail)
    with pytest.raises(InputError, match="the buildings cannot be found: no weights. Or give a run"):
        find_buildings.find_footprints(pair, settings, labels, None)


@pytest.mark.parametrize(
    ("changed", "sound"),
    [
        ({}, True),
        ({"patch_px": 1}, True),
        ({"patch_px": 64}, True),
        ({"patch_px": 65}, False),
        ({"patch_px": 0}, False),
        ({"width": 2, "heads": 1, "hidden": 1}, True),
        ({"hidden": 0}, False),
        ({"width": 0}, False),
        ({"width": 10}, False),  # of four heads
    ],
)
def test_encoders_have_patches_of_1_to_64_pixels_and_a_width_that_their_heads_share(
    changed: dict[str, int], sound: bool
) -> None:
    sizes = TransformerSizes(
        **{"kind": "vit", "width": 8, "depth": 2, "heads": 4, "hidden": 16, "patch_px": 8} | changed
    )  # type: ignore[arg-type]
    if sound:
        assert sizes._checked("a.safetensors") is sizes
    else:
        with pytest.raises(InputError, match="with sizes that no encoder has"):
            sizes._checked("a.safetensors")
