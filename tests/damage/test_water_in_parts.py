"""Whether water is searched for, which rows each process of a job labels, and what a job keeps from the search."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox

from deepnets4eo.damage.evidences import water
from deepnets4eo.damage.evidences.water import Water
from deepnets4eo.jobs import Part
from deepnets4eo.outputs import EventInfo

BLOCK_PX = 512


@dataclass
class Work:
    """The work of one process of a job; `finish` keeps the blocks that others would do."""

    home: Path | None
    part: Part | None = None
    finish: Any = None
    share: Part = Part.whole
    blocks: list[Any] = field(default_factory=list)

    def folder(self, name: str) -> Path | None:
        return None if self.home is None else self.home / name


def site_of(work: Work, **settings: Any) -> Any:
    chosen: dict[str, Any] = {"seeks_water": True, "water": None, "network": True, "workers": 4}
    return SimpleNamespace(work=work, settings=SimpleNamespace(**chosen | settings), event=EventInfo(), water=None)


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Part]]:
    """Workers and part of each search that was asked for; images show water."""
    asked: list[tuple[int, Part]] = []
    monkeypatch.setattr(water, "_shows_water", lambda *_: True)
    monkeypatch.setattr(water, "_label", lambda _, __, workers, part=Part.whole: asked.append((workers, part)))
    return asked


@pytest.mark.parametrize(("rows", "count"), [(1, 1), (BLOCK_PX, 1), (BLOCK_PX + 1, 2), (64 * BLOCK_PX, 64), (90 * BLOCK_PX, 64)])  # fmt: skip
def test_processes_share_bands_of_rows_as_high_as_a_block_and_at_most_64(
    rows: int, count: int, labelled: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grids: list[bool] = []

    def dates(_: Any, *, surfaces_alone: bool) -> Any:
        grids.append(surfaces_alone)
        return SimpleNamespace(grid=SimpleNamespace(shape=(rows, 100)))

    monkeypatch.setattr(water, "_dates", dates)
    asked: list[Any] = []
    work = Work(tmp_path, finish=lambda *words: asked.append(words))
    Water().share(site_of(work))
    ((step, names, label_band, done, _),) = asked
    assert (step, names, done) == (water.WATER, [f"{number}/{count}" for number in range(1, count + 1)], [])
    assert grids == [False], "a network also reads PRE"
    label_band(names[-1])
    assert labelled == [(1, Part(count, count))], "one thread: the other cores have other bands"
    Water().share(site_of(work, network=False))
    assert asked[1][3] == names[-1:], "a band that is done is not done again"
    assert grids[1:] == [True]


def test_a_part_of_a_job_labels_its_share_and_makes_no_map(labelled: list[Any], tmp_path: Path) -> None:
    site = site_of(Work(tmp_path, Part(2, 3), share=Part(2, 3)))
    assert Water().measure(site) is site
    assert labelled == [(4, Part(2, 3))]


@pytest.mark.parametrize("given", [{"seeks_water": False}, {"water": "water.tif"}])
def test_nothing_is_labelled_if_water_is_not_sought_or_was_given(
    given: dict[str, Any], labelled: list[Any], tmp_path: Path
) -> None:
    Water().share(site_of(Work(tmp_path), **given))
    with Water().ahead(site_of(Work(tmp_path), **given)):
        pass
    Water().share(site_of(Work(None)))
    assert not labelled


def test_finished_water_is_not_labelled_again(labelled: list[Any], tmp_path: Path) -> None:
    folder = tmp_path / Water.name
    folder.mkdir()
    for name in (water.SEEN, water.RECOGNITION):
        (folder / name).write_text(name)
        Water().share(site_of(Work(tmp_path)))
        water.KeptFiles(folder).note(name)
    assert len(labelled) == 2, "both files are needed"
    Water().share(site_of(Work(tmp_path)))
    assert len(labelled) == 2


@pytest.mark.parametrize(("workers", "searching"), [(1, 1), (3, 1), (8, 4)])
def test_the_search_beside_other_work_takes_half_of_the_threads(
    workers: int, searching: int, labelled: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(water, "_seen_water", lambda _, folder, count, __: asked.append((folder, count)))
    with Water().ahead(site_of(Work(tmp_path), workers=workers)):
        pass
    assert asked == [(tmp_path / Water.name, searching)]
    with Water().ahead(site_of(Work(tmp_path, finish=lambda *_: None))):
        pass  # other processes label the tiles later
    with Water().ahead(site_of(Work(None))):
        pass
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("name", "network", "shows", "expected"),
    [
        ("", False, True, True),
        ("Flood 2023", False, True, True),
        ("Tornado", False, True, False),
        ("Tornado", True, True, True),  # a network outweighs a name
        ("Flood 2023", True, False, False),
    ],
)
def test_a_dry_hazard_is_outweighed_by_a_network_only(
    name: str, network: bool, shows: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(water, "_shows_water", lambda *_: shows)
    site: Any = SimpleNamespace(settings=SimpleNamespace(network=network), event=EventInfo(name=name))
    assert water._may_show_water(site) is expected


@pytest.mark.parametrize(("gsd_m", "colours", "expected"), [(2.0, True, True), (2.01, True, False), (0.5, False, False)])  # fmt: skip
@pytest.mark.parametrize("role", ["pre", "post"])
def test_colour_images_of_two_metres_show_water(role: Any, gsd_m: float, colours: bool, expected: bool) -> None:
    date = SimpleNamespace(gsd_m=gsd_m, shows_colours=lambda sensor: colours and sensor == "optical")
    inputs = SimpleNamespace(before=date if role == "pre" else None, after=date if role == "post" else None)
    site: Any = SimpleNamespace(inputs=inputs, settings=SimpleNamespace(sensor="optical"))
    assert water._shows_water(site, role) is expected
    assert water._shows_water(site, "post" if role == "pre" else "pre") is False, "an image that is not there"


def test_given_water_is_2_in_a_flood_0_elsewhere_and_unknown_without_data(tmp_path: Path) -> None:
    grid = GeoBox((40, 40), Affine(1, 0, 5e5, 0, -1, 4e6), "EPSG:32633")
    mask = np.zeros((1, 40, 40), np.uint8)
    mask[:, :10], mask[:, 10:20] = 1, 255
    source = write_geotiff(tmp_path / "given.tif", mask, crs=grid.crs, transform=grid.affine, nodata=255)
    labels, valid = water._given_water(str(source), grid, tmp_path / "labels.tif").read()
    assert np.unique(labels[0, :10]).tolist() == [2]
    assert np.unique(labels[0, 20:]).tolist() == [0]
    assert not valid[10:20].any()
    assert valid[:10].all()
    assert valid[20:].all()


def test_pixels_of_a_search_grid_are_as_large_as_posts_by_their_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(water, "mean_gsd", lambda _: 0.5)
    post: Any = SimpleNamespace(shape=(300, 900))
    assert water._pixel_m(SimpleNamespace(shape=(100, 300)), post) == 1.5
    assert json.dumps(water._pixel_m(SimpleNamespace(shape=(600, 1800)), post)) == "0.25"


@pytest.mark.parametrize("network", [True, False])
def test_without_a_network_only_surfaces_are_searched_for_water(
    network: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, bool]] = []
    dates = SimpleNamespace(grid=None)
    monkeypatch.setattr(
        water, "_dates", lambda _, *, surfaces_alone: (asked.append(("dates", surfaces_alone)), dates)[1]
    )
    monkeypatch.setattr(water, "_pixel_m", lambda *_: 0.5)
    monkeypatch.setattr(water, "kept_run", lambda _, make: make())
    monkeypatch.setattr(
        water.WaterMapper, "of_scene", lambda _, *, gsd_m, surfaces_alone: asked.append(("mapper", surfaces_alone))
    )
    site = site_of(Work(tmp_path), network=network)
    site.post = None
    water._mapper_run(site, tmp_path)
    assert asked == [("dates", not network), ("mapper", not network)]


@pytest.mark.parametrize("shows", [True, False])
def test_a_given_flood_is_doubted_only_by_an_image_that_shows_water(
    shows: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(water, "_shows_water", lambda *_: shows)
    monkeypatch.setattr(water, "_dates", lambda *_, **__: SimpleNamespace(grid=None, layers={"post": None}))
    monkeypatch.setattr(water, "_pixel_m", lambda *_: 0.5)
    monkeypatch.setattr(water, "_given_water", lambda *_: "flood")
    monkeypatch.setattr(water, "write_seen_water", lambda flood, *_: f"{flood} that is seen")
    monkeypatch.setattr(water, "water_around", lambda visible, *_, **__: visible)
    around: Any = SimpleNamespace(doubted_by=lambda seen: f"doubted by the {seen}")
    site = site_of(Work(tmp_path))
    site.post, site.outlines, site.position = None, None, SimpleNamespace(reach_m=0.0)
    found = water._doubt_hidden_ground(around, site, "flood.tif", tmp_path)
    assert found == ("doubted by the flood that is seen" if shows else around)
