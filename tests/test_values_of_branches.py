"""Values of short branches by hand: what is compared, counted, named and drawn in files, floods, points, networks and training."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from pyproj import CRS

from deepnets4eo.catalogues import plan as plans
from deepnets4eo.floods.recognition import write_without_flood
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER
from deepnets4eo.formats.category_legend import _rows
from deepnets4eo.points.files.las_crs import _is_elsewhere
from deepnets4eo.prediction import part_jobs
from deepnets4eo.rasters import Layer
from deepnets4eo.training import alike


def test_two_systems_with_axes_in_another_order_are_at_one_place() -> None:
    assert not _is_elsewhere(CRS("EPSG:4258"), CRS("OGC:CRS84"), (3.0, 45.0))


@pytest.mark.parametrize("flooded", [True, False])
def test_a_map_without_flood_is_not_written_again(flooded: bool, tmp_path: Path) -> None:
    labels = np.full((1, 8, 8), DRY, np.uint8)
    labels[0, 0], labels[0, 1] = NOT_SEEN, PERMANENT_WATER
    if flooded:
        labels[0, 2, 3] = FLOOD
    found = write_without_flood(Layer.open(labels, nodata=NOT_SEEN), tmp_path / "a.tif")
    assert (found is not None) is flooded
    if found is not None:
        assert (found.read()[0][0] != np.where(labels[0] == FLOOD, NOT_SEEN, labels[0])).sum() == 0


@pytest.mark.parametrize(
    ("names", "roles", "words"),
    [
        (["red", "nir"], ["r", "g"], "red, nir"),
        (["band_1", "band_2"], ["red", "green"], "red, green"),
        (["band_1"], None, ""),
    ],
)
def test_bands_without_names_are_listed_by_their_colours(names: list[str], roles: Any, words: str) -> None:
    layer: Any = SimpleNamespace(band_names=names, colour_roles=roles)
    assert alike._band_text(layer) == words


@pytest.mark.parametrize(
    ("colour", "known"), [((0, 255, 7), (0, 255, 7)), ((0, 256, 7), None), ((-1, 5, 7), None), ((300, 300, 300), None)]
)
def test_colours_of_an_attribute_table_are_bytes(colour: tuple[int, ...], known: tuple[int, ...] | None) -> None:
    fields = [("Value", 5), ("Name", 2), ("Red", 6), ("Green", 7), ("Blue", 8)]
    head = "".join(f"<FieldDefn><Name>{name}</Name><Usage>{usage}</Usage></FieldDefn>" for name, usage in fields)
    cells = "".join(f"<F>{value}</F>" for value in (4, "roof", *colour))
    table = ElementTree.fromstring(f"<Table>{head}<Row>{cells}</Row></Table>")
    assert [tuple(row) for row in _rows(table)] == [(4, "roof", known)]


def test_times_beyond_the_years_that_exist_are_the_first_and_the_last() -> None:
    now = datetime(2023, 2, 6, tzinfo=UTC)
    found = [plans._days_from(now, days) for days in (10**7, -(10**7), 2)]
    assert found == [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), datetime(2023, 2, 8, tzinfo=UTC)]  # fmt: skip


@pytest.mark.parametrize(
    ("products", "blends", "with_scores"),
    [({"labels"}, False, False), ({"labels"}, True, True), ({"labels", "probabilities"}, False, True)],
)
def test_processes_return_scores_for_products_of_scores_and_where_tiles_blend(
    products: set[str], blends: bool, with_scores: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    def task(*values: Any) -> Any:
        made.append(values[-1])
        return SimpleNamespace(check=lambda: None)

    monkeypatch.setattr(part_jobs, "TileTask", task)
    plan: Any = SimpleNamespace(lattice=SimpleNamespace(tiling=SimpleNamespace(blends=blends)), compute=None, batch_tiles=1)  # fmt: skip
    label_task: Any = SimpleNamespace(prepared=SimpleNamespace(labelled=None), segmenter=None)
    paths = dict.fromkeys(products, Path("a.tif"))
    assert part_jobs._remote_blocks(label_task, plan, paths, SimpleNamespace(executor="processes:2"), {}) == {}  # type: ignore[arg-type]
    assert made == [with_scores]
    assert part_jobs._remote_blocks(label_task, plan, paths, SimpleNamespace(executor=None), {}) == {}  # type: ignore[arg-type]
    assert len(made) == 1, "none without other processes"
