"""Files of a finished map found again, tables told apart, and what a worker of a job opens once."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

from deepnets4eo.damage.files import worker
from deepnets4eo.damage.network import stretches
from deepnets4eo.damage.products.shown_again import files_of
from deepnets4eo.damage.table.buildings import ASSESSED, hash_table
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import sha256
from deepnets4eo.jobs import Part, WorkerRefusedError

HOUSES = [shapely.box(0, 0, 8, 8), shapely.box(20, 0, 28, 8)]


def test_tables_differ_by_values_names_crs_order_and_outlines() -> None:
    table = gpd.GeoDataFrame({"use": ["a", "b"], "floors": [1, 2]}, geometry=HOUSES, crs="EPSG:32633")
    others = [
        table.assign(floors=[1, 3]),
        table.rename(columns={"use": "type"}),
        table.assign(floors=[1.0, 2.0]),
        table.set_crs("EPSG:32634", allow_override=True),
        table.iloc[::-1],
        table.set_geometry([HOUSES[0], shapely.box(20, 0, 28, 9)]),
        table.set_geometry([HOUSES[0], None]),
        table[["geometry"]],
        table[["geometry"]].iloc[::-1],
    ]
    assert hash_table(table) == hash_table(table.copy())
    assert hash_table(table) == hash_table(table.set_index(np.array([7, 3]))), "the index is no value of a file"
    assert len({hash_table(one) for one in (table, *others)}) == 1 + len(others)


def test_the_files_of_an_input_are_found_above_the_map_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "maps" / "map"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    (tmp_path / "images").mkdir()
    paths = []
    for number in (0, 1, 10, 2):
        path = tmp_path / "images" / f"{number}.tif"
        path.write_text(f"tile {number}")
        paths.append(path)
    inputs: dict[str, Any] = {f"mask_{path.stem}": {"path": f"images/{path.name}"} for path in paths}
    inputs |= {"mask_of": {"path": "other.tif"}}
    expected = [str(tmp_path / "images" / f"{number}.tif") for number in (0, 1, 2, 10)]
    assert files_of("mask", inputs, folder) == expected
    assert files_of("mask_1", inputs, folder) == expected[1:2]
    assert files_of("labels", inputs, folder) == []


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({}, ""),
        ({"bytes": None, "sha256": None}, ""),
        ({"bytes": 4}, "is another file by now"),
        ({"sha256": "0"}, "is another file by now"),
        ({"path": "gone.tif"}, "is not on this machine"),
    ],
)
def test_an_input_is_taken_if_its_size_and_content_are_those_of_the_map(
    change: dict[str, Any], refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("post.tif").write_text("pixels", encoding="utf-8")
    facts = {"path": "post.tif", "bytes": 6, "sha256": sha256(Path("post.tif"))} | change
    if refused:
        with pytest.raises(InputError, match=f"the post image of this map, {refused}"):
            files_of("post", {"post": facts}, tmp_path)
    else:
        (found,) = files_of("post", {"post": facts}, tmp_path)
        assert os.path.samefile(found, "post.tif")


@pytest.mark.parametrize("before", [True, False])
def test_images_are_stretched_for_the_run_that_finds_outlines_in_the_first_of_them(
    before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    run = SimpleNamespace(inputs=SimpleNamespace(layers={"image": "8 bits"}))
    monkeypatch.setattr(stretches, "load_run", lambda _: run)
    monkeypatch.setattr(stretches, "image_stretches", lambda *words: asked.append(words) or {"pre": "found", "post": "found"})  # fmt: skip
    pre, post = ("PRE" if before else None), "POST"
    found = stretches.stretches_of_job({"post": "graded"}, "run", pre, post)  # type: ignore[arg-type, dict-item]
    assert found == {"pre": "found", "post": "graded"}, "what grades decides"
    assert asked == [({"pre": "8 bits"}, "PRE", None) if before else ({"post": "8 bits"}, None, "POST")]
    assert stretches.stretches_of_job({"post": "graded"}, None, pre, post) == {"post": "graded"}  # type: ignore[arg-type, dict-item]

    def broken(_: str) -> Any:
        raise RunError("no run")

    monkeypatch.setattr(stretches, "load_run", broken)
    assert stretches.stretches_of_job({"post": "graded"}, "run", pre, post) == {"post": "graded"}  # type: ignore[arg-type, dict-item]
    assert len(asked) == 1


class Job:
    """A job of the key `name`; each opening is counted."""

    def __init__(self, grader: Any = None) -> None:
        self.opened, self.model = 0, SimpleNamespace(network=SimpleNamespace(grader=grader))

    def open_shared(self, scratch: Path) -> Any:
        self.opened += 1
        return SimpleNamespace(pre=None, post=f"{scratch.name} {self.opened}"), self.model


def test_a_worker_opens_the_inputs_of_a_job_once_and_keeps_only_the_last_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def cache(*_: Any) -> Any:
        yield

    monkeypatch.setattr(worker, "_open_jobs", {})
    monkeypatch.setattr(worker, "gdal_cache", cache)
    monkeypatch.setattr(worker, "block_function", lambda site, _, step: f"{site.post}: {step}")
    read: list[bool] = []
    first, second = Job(SimpleNamespace(read_network=lambda: read.append(True))), Job()
    done = []
    for job, key, step in ((first, "a", "edges"), (first, "a", "water"), (second, "b", "edges"), (first, "a", "edges")):
        with worker.open_step(job, tmp_path / "scratch", key, step) as function:
            done.append(function)
    assert done == ["scratch 1: edges", "scratch 1: water", "scratch 1: edges", "scratch 2: edges"]
    assert len(read) == 3, "the network is read before a block is graded"


def test_a_block_of_a_step_is_done_as_of_a_whole_job_of_which_every_building_may_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dataclasses import dataclass

    @dataclass
    class Work:
        part: Part | None = None
        finish: Any = None

    @dataclass
    class Site:
        inputs: Any
        work: Work
        buildings: Any = None

    sites: list[Site] = []

    def edges(site: Site) -> None:
        sites.append(site)
        assert site.work.finish("edges", ["1", "2"], lambda name: f"done {name}", [], None)

    frame = gpd.GeoDataFrame({"id": ["7", "8"]}, geometry=HOUSES)
    site: Any = Site(SimpleNamespace(footprints=SimpleNamespace(frame=frame)), Work(Part(2, 3)))
    model: Any = None
    monkeypatch.setattr(worker, "built_in_evidences", lambda _: [])
    monkeypatch.setattr(worker, "shared_steps", lambda _: {"edges": edges, "water": lambda _: None})
    assert worker.block_function(site, model, "edges")("2") == "done 2"  # type: ignore[comparison-overlap, func-returns-value]
    (seen,) = sites
    assert seen.work.part == Part.whole
    assert seen.buildings.frame["status"].tolist() == [ASSESSED] * 2
    assert seen.buildings.frame["id"].tolist() == ["7", "8"]
    with pytest.raises(WorkerRefusedError, match="no step water"):
        worker.block_function(site, model, "water")
