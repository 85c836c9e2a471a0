"""Every guard at every door: a small file for each guard, opened at each entrance of verbs and of Python that takes such a layer.

A cell opens the inputs of a job, and no more. It is refused with the reason, or accepted with what was put right and named. A file
and a door of one kind always have a cell; what is no cell has its reason in `NO_CELL`. A new guard needs a file, a new verb a door.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from doors import DOORS, WITHOUT_RASTERS, Entrance, Opened, Place, make_place

from deepnets4eo.cli.main import PARTS, VERBS
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import kinds
from deepnets4eo.read_as.assessment import ReadAs

pytestmark = pytest.mark.core("every guard at every door")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("doors"))


# files ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A file. kind : what it is read as; guards : of `read_as.kinds` or others; words : of the message; refused : by most doors."""

    kind: str
    file: str
    guards: tuple[str, ...]
    words: tuple[str, ...]
    refused: bool = False
    mended: Callable[[Layer], bool] | None = None
    doors: tuple[str, ...] = ()


READ_ALL_BANDS = (
    "train", "train, values", "PixelClassifier.fit", "SceneDataset", "InputSpec.measure", "superpixels", "cube",
)  # fmt: skip
GIVEN_LEGENDS = ("polygons", "objects", "train, labels", "PixelClassifier.fit, labels", "SceneDataset, labels")
CASES = {
    "colour table": Case("image", "palette.tif", ("check_colour_table",), ("colour table",), refused=True),
    "no position": Case("image", "unplaced.tif", ("check_position",), ("not placed on the ground",), refused=True),
    "collar": Case(
        "image", "collar.tif", ("declare_nodata",), ("where it has no data",),
        mended=lambda layer: not layer.read()[1][:, :40].any() and layer.read()[1][:, 44:].mean() > 0.99,
    ),
    "band of heights in feet": Case(
        "image", "height_band.tif", ("convert_height_bands",), ("converted to metres",),
        mended=lambda layer: bool(layer.read()[0][3].max() < 10), doors=READ_ALL_BANDS,
    ),
    "feet": Case(
        "heights", "feet.tif", ("convert_to_metres",), ("converted to metres",),
        mended=lambda layer: bool(np.nanmax(layer.read()[0]) < 10),
    ),
    "coordinates in feet": Case(
        "heights", "coordinates_in_feet.tif", ("convert_to_metres",), ("may have its heights in", "heights in metres"), refused=True
    ),
    "heights without position": Case("heights", "unplaced_heights.tif", ("check_position",), ("not placed",), refused=True),
    "heights with a colour table": Case("heights", "palette.tif", ("check_colour_table",), ("colour table",), refused=True),
    "-9999": Case(
        "heights", "sentinel.tif", ("declare_usual_nodata",), ("-9999 in every band",),
        mended=lambda layer: not layer.read()[1][:, :38].any() or bool(np.isnan(layer.read()[0][0, :, :38]).all()),
    ),
    "scores with a colour table": Case("scores", "palette.tif", ("check_colour_table",), ("colour table",), refused=True),
    "scores without position": Case("scores", "unplaced_heights.tif", ("check_position",), ("not placed",), refused=True),
    "labels without position": Case("labels", "unplaced_labels.tif", ("check_position",), ("not placed",), refused=True),
    "a class that is nodata": Case("labels", "hidden.tif", ("hidden_class",), ("as nodata",)),
    "another order of classes": Case("labels", "other_order.tif", ("other_legend_note",), ("its own legend",), doors=GIVEN_LEGENDS),
    "mask without position": Case("mask", "unplaced_mask.tif", ("check_position",), ("not placed",), refused=True),
    "0 is nodata": Case("mask", "zero_is_nodata.tif", ("check_zero_is_value",), ("declares 0 as nodata",), refused=True),
    "classes as a mask": Case("mask", "classes_as_mask.tif", ("check_mask_values",), ("holds the values", "values"), refused=True),
}  # fmt: skip
PLAIN = ("has a CRS, but no position",)
NAMED = {
    ("no position", door): PLAIN
    for door in ("train", "train, values", "InputSpec.measure", "superpixels", "cube")
} | {
    ("labels without position", door): PLAIN
    for door in ("train, labels", "evaluate, prediction", "evaluate, reference")
} | {
    ("heights without position", door): PLAIN
    for door in ("train, dsm", "evaluate, values", "evaluate, true values")
}  # fmt: skip
REFUSED = {
    ("feet", "evaluate, values"): ("expected metres",),
    ("feet", "evaluate, true values"): ("expected metres",),
    ("coordinates in feet", "predict, dsm"): ("does not overlap",),  # of another site
    ("coordinates in feet", "predict, dsm of a Scene"): ("does not overlap",),
}
NO_CELL = {
    ("no position", "whole images"): "whole images have one label, and no place",
    ("collar", "whole images"): "no pixel of whole images is left out",
    ("collar", "cube"): "its value without data is an argument of `Cube.open`; trainings look at cubes as at images",
    ("collar", "pansharpen, image"): "the pair is checked first, and the file has pixels as fine as the band",
    ("collar", "pansharpen, pan"): "one band is read, and the file has four",
    ("collar", "osm, target"): "only the grid is read",
    ("colour table", "osm, target"): "only the grid is read",
    ("collar", "coherence"): "complex images have no such collar",
    (
        "labels without position",
        "train, masks",
    ): "the folders are read before scenes are made of them, see `train, labels`",
}


FORMS = ("file", "tiles", "array")
FILES_ONLY = {  # doors that take no array
    "train", "train, values", "train, dsm", "train, labels", "train, masks", "whole images", "review, image", "refine, image",
    "refine, scores", "coherence", "damage, prior", "change, cover", "flood, cover", "damage --water", "flood --permanent-water",
}  # fmt: skip
ONE_FILE = {"train, masks", "whole images", "coherence"}  # doors that take no folder of tiles
NOT_IN_FORM = {
    "array": {"colour table", "heights with a colour table", "scores with a colour table"},  # arrays have no such table
    "tiles": {
        "no position",
        "heights without position",
        "scores without position",
        "labels without position",
        "mask without position",
    },
}  # tiles without a position make no mosaic
MISSING = {("classes as a mask", "damage --cloud-mask"): "masks of clouds take any value"}


def cells() -> Iterator[Any]:
    for name, case in CASES.items():
        for entrance, door in DOORS.items():
            reads = door.kind == case.kind and (not case.doors or entrance in case.doors)
            if not reads or (name, entrance) in NO_CELL:
                continue
            missing = MISSING.get((name, entrance))
            marks = [] if missing is None else [pytest.mark.xfail(strict=True, reason=missing)]
            for form in FORMS:
                other = {"array": FILES_ONLY, "tiles": ONE_FILE, "file": set()}[form]
                if entrance not in other and name not in NOT_IN_FORM.get(form, ()):
                    yield pytest.param(name, entrance, form, id=f"{name}-{entrance}-{form}", marks=marks)


def _open_or_refuse(door: Entrance, place: Place, case: Case, form: str) -> tuple[Opened | None, str]:
    """Return what was opened, or the reason why it was refused."""
    try:
        return door.open(place, place.in_form(case.file, form)), ""
    except InputError as error:
        return None, str(error)


@pytest.mark.parametrize(("name", "entrance", "form"), cells())
def test_a_cell(name: str, entrance: str, form: str, place: Place, caplog: pytest.LogCaptureFixture) -> None:
    case, cell = CASES[name], (name, entrance)
    refused = (case.refused and cell not in NAMED) or cell in REFUSED
    words = NAMED.get(cell) or REFUSED.get(cell) or case.words
    with caplog.at_level(logging.WARNING):
        opened, reason = _open_or_refuse(DOORS[entrance], place, case, form)
    if refused or reason:
        assert refused, f"refused: {reason}"
        assert any(word in reason for word in words), reason or "accepted"
        return
    assert opened is not None
    text = "\n".join([caplog.text, *opened.texts])
    assert any(word in text for word in words), text
    if case.mended is not None and opened.layer is not None:
        assert case.mended(opened.layer)


def test_every_verb_has_a_door_or_a_reason_to_have_none() -> None:
    verbs = {*VERBS} | {f"layers {part}" for part in PARTS["layers"]}
    used = {verb for door in DOORS.values() for verb in door.verbs}
    assert used <= verbs
    assert verbs - used == {*WITHOUT_RASTERS}


def test_every_guard_has_a_file_and_every_file_a_door() -> None:
    guards = {
        guard.__name__
        for kind in vars(kinds).values()
        if isinstance(kind, ReadAs)
        for guard in (*kind.stated, *kind.seen)
    }
    tested = {guard for case in CASES.values() for guard in case.guards}
    assert guards <= tested
    opened = {cell.values[0] for cell in cells()}
    assert opened == {*CASES}
    assert not NO_CELL.keys() & (NAMED.keys() | REFUSED.keys())
