"""Labelled real images in the place of made-up pairs: classes by the colours of the masks, and what is not labelled teaches nothing."""

from pathlib import Path

import numpy as np
import pytest
from equal_steps import DUBAI
from PIL import Image

pytest.importorskip("torch")
from world.cover_network import WorldSection
from world.cover_training import with_real_images
from world.real_windows import RealImage
from world.windows import BACKGROUND, BORDER, BUILDING, WindowCutter

from deepnets4eo.cards.legend import Legend


def test_a_real_image_gives_windows_of_its_classes(tmp_path: Path) -> None:
    colours = {one.name: one.color for one in DUBAI.classes}
    mask = np.full((300, 300, 3), colours["water"], np.uint8)
    mask[:, :150] = colours["road"]
    mask[50:100, 20:80] = mask[50:100, 83:140] = colours["building"]  # 3 pixels apart
    mask[200:] = (155, 155, 155)
    for kind, suffix in (("images", "jpg"), ("masks", "png")):
        (tmp_path / "tile_1" / kind).mkdir(parents=True)
        Image.fromarray(mask).save(tmp_path / "tile_1" / kind / f"a.{suffix}")
    data = WorldSection(real=str(tmp_path), real_share=0.5)
    make = with_real_images(lambda seed: seed, data, tmp_path / "out")  # type: ignore[arg-type, return-value]
    drawn = [make(seed) for seed in range(40)]
    real = [one for one in drawn if isinstance(one, RealImage)]
    assert 10 < len(real) < 30
    assert len({one.gsd_m for one in real}) > 5
    assert all(0.5 <= one.gsd_m <= 1 for one in real)
    cut = WindowCutter(128, scales=(1.0, 1.0), varied_share=0.0)
    windows = [cut(one, np.random.default_rng(number)) for number, one in enumerate(real)]
    landcover = Legend.load("landcover")
    seen = {int(value) for one in windows for value in np.unique(one["mask"][one["valid"]])}
    assert seen == {landcover.value(name) for name in ("impervious", "building", "water")}
    kinds = {int(value) for one in windows for value in np.unique(one["buildings"][one["valid"]])}
    assert kinds == {BACKGROUND, BUILDING, BORDER}
    assert not all(one["valid"].all() for one in windows)
