"""The legend of masks from what is in them, and when two recipes are the same: each result against values by hand."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.points.labelling import LabelJob
from deepnets4eo.training import same_recipe
from deepnets4eo.training.mask_legend import (
    MaskContent,
    _count,
    _free_value,
    _is_between,
    _proposed_name,
    _void_colour,
    describe_legend,
    key_text,
    legend_of_masks,
    read_masks,
)

GREEN, BLUE, RED = (0, 200, 0), (0, 0, 200), (200, 0, 0)


def content(pixels: dict[Any, int], **more: Any) -> MaskContent:
    return MaskContent(pixels, dict.fromkeys(pixels, "a.png"), **more)


def test_masks_are_colours_or_values_with_shares_of_all_pixels() -> None:
    colours = content({GREEN: 60, BLUE: 20}, hidden={0.0: 15}, masked=5)
    assert (colours.in_colours, colours.is_binary, colours.total) == (True, False, 100)
    assert (colours.share(GREEN), colours.share(RED)) == (0.6, 0)
    assert colours.hidden_note is not None
    assert "declare 0 (15.0% of the pixels) as nodata" in colours.hidden_note
    binary = content({(0,): 9, (255,): 1})
    assert (binary.in_colours, binary.is_binary, binary.hidden_note) == (False, True, None)
    assert not content({(0,): 9, (255,): 1, (1,): 1}).is_binary
    indices = content({(0,): 5, (1,): 3, (7,): 2}, palette={0: GREEN, 1: BLUE})
    assert indices.in_colours_of_palette().pixels == {GREEN: 5, BLUE: 3, (0, 0, 0): 2}
    assert binary.in_colours_of_palette() is binary


@pytest.mark.parametrize(
    ("key", "between"),
    [
        ((100, 100, 0), True), ((103, 100, 0), True), ((110, 100, 0), False), ((200, 0, 0), False), ((0, 0, 200), False), ((100, 0, 100), True), ((5,), False),
    ],
)  # fmt: skip
def test_a_blend_is_on_the_line_between_two_colours(key: Any, between: bool) -> None:
    assert _is_between(key, [(200, 0, 0), (0, 200, 0), (0, 0, 200), (3,)]) is between


def test_rare_blends_are_named_and_frequent_or_few_ones_are_not() -> None:
    def masks(rare: int, blends: int) -> MaskContent:
        between = {(200 - 20 * k, 20 * k, 0): rare for k in range(1, blends + 1)}
        return content({RED: 6000, GREEN: 4000 - sum(between.values())} | between)

    note = masks(29, 3).blended_note
    assert note is not None
    assert note.startswith("3 of the 5 colours in the masks have less than 0.3% of the pixels each (0.9% together)")
    assert "e.g. 180,20,0 in a.png" in note
    assert masks(30, 3).blended_note is None
    assert masks(29, 2).blended_note is None


def write(folder: Path, name: str, values: Any, **more: Any) -> str:
    return str(write_geotiff(folder / name, np.array(values, np.uint8), **more))


def test_colours_and_values_of_masks_are_counted_with_the_first_file_of_each(tmp_path: Path) -> None:
    one = write(tmp_path, "a.tif", [[[0, 1], [1, 1]]])
    two = write(tmp_path, "b.tif", [[[0, 255], [2, 1]]])
    found = read_masks([one, two])
    assert found.pixels == {(1,): 4, (0,): 2, (255,): 1, (2,): 1}
    assert list(found.pixels)[:2] == [(1,), (0,)]  # frequent ones first
    assert found.files == {(0,): one, (1,): one, (255,): two, (2,): two}
    colour = write(tmp_path, "c.tif", [[[1, 0]], [[2, 0]], [[3, 255]]])
    assert read_masks([colour]).pixels == {(1, 2, 3): 1, (0, 0, 255): 1}
    with raises_naming(InputError, "has values in one band", "colours in three"):
        read_masks([one, colour])
    hidden = write(tmp_path, "d.tif", [[[0, 0], [1, 7]]], nodata=0)
    declared = read_masks([hidden])
    assert (declared.pixels, declared.hidden, declared.masked) == ({(1,): 1, (7,): 1}, {0.0: 2}, 0)
    named = read_masks([hidden], nodata=7)
    assert (named.pixels, named.hidden, named.masked) == ({(0,): 2, (1,): 1}, {}, 1)
    void = write(tmp_path, "e.tif", [[[255, 255], [1, 0]]], nodata=255)
    assert (_count(void).hidden, _count(void).masked) == ({}, 2)  # 255 is void anyway
    empty = write(tmp_path, "f.tif", [[[0, 0]]], nodata=0)
    with raises_naming(InputError, "no pixel of the 1 masks is valid"):
        read_masks([empty])
    with raises_naming(InputError, "has 2 bands of uint8"):
        _count(write(tmp_path, "g.tif", [[[0, 1]], [[0, 1]]]))


def test_values_keep_their_numbers_and_256_of_them_are_no_classes(tmp_path: Path) -> None:
    most = write_geotiff(tmp_path / "a.tif", np.arange(255, dtype=np.int16).reshape(1, 15, 17))
    assert len(_count(str(most)).pixels) == 255
    more = write_geotiff(tmp_path / "b.tif", np.arange(256, dtype=np.int16).reshape(1, 16, 16))
    with raises_naming(InputError, "256 colours or values", "at most 255"):
        _count(str(more))
    half = write_geotiff(tmp_path / "c.tif", np.full((1, 2, 2), 0.5, np.float32))
    with raises_naming(InputError, "has fractions"):
        _count(str(half))
    whole = write_geotiff(tmp_path / "d.tif", np.full((1, 2, 2), 3, np.float32))
    assert _count(str(whole)).pixels == {(3,): 4}


@pytest.mark.parametrize(
    ("key", "pixels", "name"),
    [
        ((0,), {(0,): 1, (255,): 1}, "background"), ((255,), {(0,): 1, (255,): 1}, "foreground"), ((1,), {(0,): 1, (1,): 1}, "foreground"),
        ((0,), {(0,): 1, (2,): 1}, "class-0"), ((2,), {(0,): 1, (2,): 1}, "class-2"), ((-3,), {(-3,): 1, (2,): 1}, "class-minus-3"), (GREEN, {GREEN: 1}, "class-4"),
    ],
)  # fmt: skip
def test_classes_without_a_name_have_their_value_or_number(key: Any, pixels: dict[Any, int], name: str) -> None:
    assert _proposed_name(key, 4, content(pixels)) == name


def test_a_class_has_the_value_of_its_mask_or_a_free_one() -> None:
    classes: Any = [SimpleNamespace(value=0, color=GREEN), SimpleNamespace(value=2, color=BLUE)]
    masks = content({(1,): 1, (300,): 1})
    assert [_free_value(key, classes, masks) for key in ((5,), (254,), (2,), (300,), (-1,), GREEN)] == [5, 254, 3, 3, 3, 3]  # fmt: skip
    assert [_free_value(key, [], content({GREEN: 1})) for key in ((255,), GREEN)] == [0, 0]


def test_one_colour_is_void() -> None:
    start: Any = SimpleNamespace(void_color=RED)
    classes: Any = [SimpleNamespace(color=(0, 0, 0))]
    assert _void_colour(None, [], [], content({GREEN: 1})) == (0, 0, 0)
    assert _void_colour(None, [], classes, content({GREEN: 1})) == (255, 0, 255)  # black is a class
    assert _void_colour(None, [BLUE], classes, content({GREEN: 1})) == BLUE
    assert _void_colour(start, [], classes, content({GREEN: 1})) == RED
    assert _void_colour(start, [BLUE], classes, content({GREEN: 1})) == BLUE  # red is in no mask
    with raises_naming(InputError, "200,0,0 and 0,0,200 are to be void"):
        _void_colour(start, [BLUE], classes, content({RED: 1}))


def test_a_legend_is_made_of_answers_and_shown_as_a_table() -> None:
    masks = content({(0,): 50, (3,): 30, (300,): 15, (255,): 5})
    asked: list[str] = []
    answers = iter(["ground", "", "VOID"])
    legend = legend_of_masks(masks, "own", lambda question: asked.append(question) or next(answers))
    assert [(entry.value, entry.name) for entry in legend.classes] == [(0, "ground"), (3, "class-3")]
    assert legend.file_values == {300: 255}
    assert asked == [
        "Class of 0, 50.0% of the pixels (or: void) [class-0]", "Class of 3, 30.0% of the pixels (or: void) [class-3]",
        "Class of 300, 15.0% of the pixels (or: void) [class-300]",
    ]  # fmt: skip
    table = [line.split() for line in describe_legend(legend, masks).splitlines()]
    assert table == [
        ["value", "class", "in", "the", "masks", "pixels"], ["0", "ground", "0", "50.0%"], ["3", "class-3", "3", "30.0%"],
        ["255", "void,", "not", "learnt", "from", "20.0%"],
    ]  # fmt: skip
    plain = legend_of_masks(masks, "own", None)
    assert [entry.name for entry in plain.classes] == ["class-0", "class-3", "class-300"]
    assert plain.file_values == {300: 1}
    assert legend_of_masks(content({(0,): 1}, stated=legend), "own", None) is legend
    assert legend_of_masks(content({(9,): 1}, stated=legend), "own", None) is not legend
    xbd = Legend.load("xbd")
    known = {tuple(entry.color): 5 for entry in xbd.classes}
    catalog = [Legend.load(name).names for name in Legend.available()]
    assert legend_of_masks(content(known), "own", None).names in catalog  # recognised by its colours
    few = dict(list(known.items())[:2])
    assert legend_of_masks(content(few), "own", None).names not in catalog
    assert (key_text(GREEN), key_text((7,))) == ("0,200,0", "7")


def test_paths_of_a_recipe_are_absolute_and_names_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.tif", "b.tif", "xbd"):
        (tmp_path / name).touch()
    here = str(tmp_path)
    assert same_recipe._absolute("a.tif") == f"{here}/a.tif"
    assert same_recipe._absolute("a.tif, b.tif") == f"{here}/a.tif,{here}/b.tif"
    assert same_recipe._absolute("a.tif,absent.tif") == "a.tif,absent.tif"
    assert same_recipe._absolute("xbd") == "xbd"  # a name of a catalog
    assert same_recipe._absolute(f".{os.sep}xbd") == f"{here}/xbd"
    assert same_recipe._absolute({"name": "a.tif", "image": "a.tif"}) == {"name": "a.tif", "image": f"{here}/a.tif"}
    assert same_recipe._absolute(["a.tif", 3]) == (f"{here}/a.tif", 3)
    (tmp_path / "link.tif").symlink_to(tmp_path / "a.tif")
    linked = {
        "scenes": [f"{here}/link.tif", "link.tif"],
        "both": f"{here}/link.tif,{here}/b.tif",
        "mixed": f"{here}/link.tif,b.tif",
    }
    assert same_recipe._without_links(linked) == {"scenes": [f"{here}/a.tif", "link.tif"], "both": f"{here}/a.tif,{here}/b.tif", "mixed": f"{here}/link.tif,b.tif"}  # fmt: skip
    assert same_recipe._flat({"data": {"tile": 1}, "legend": "xbd"}) == {"data.tile": 1, "legend": "xbd"}


class Recipe:
    """A recipe of plain values."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def to_dict(self) -> dict[str, Any]:
        return {name: dict(value) if isinstance(value, dict) else value for name, value in self.values.items()}


def test_recipes_differ_by_the_values_that_differ_and_those_that_the_data_chose_are_told_apart() -> None:
    one, two = Recipe(data={"tile": 1, "seed": 3}, legend="xbd"), Recipe(data={"tile": 2, "seed": 3}, legend="xbd", note="x")  # fmt: skip
    assert same_recipe.differing_keys(one, two) == ["data.tile", "note"]  # type: ignore[arg-type]
    assert same_recipe.differing_keys(one, one) == []  # type: ignore[arg-type]
    assert same_recipe.recipe_identity(one) != same_recipe.recipe_identity(two)  # type: ignore[arg-type]
    requested = Recipe(data={"windows": 0, "tile": 1}, legend=None)
    chosen = Recipe(data={"windows": 500, "tile": 1}, legend="xbd")
    values, by_data = same_recipe.as_requested(chosen, requested)  # type: ignore[arg-type]
    assert by_data == {"data.windows": 500, "legend": "xbd"}
    assert values == {"data": {"windows": 0, "tile": 1}, "legend": None}


def test_a_dry_run_of_labels_of_points_names_what_it_reads_and_writes() -> None:
    legend: Any = SimpleNamespace(classes=[SimpleNamespace(value=2, name="ground"), SimpleNamespace(value=6, name="building")])  # fmt: skip

    def job(crs: Any, *, replace: bool) -> Any:
        return SimpleNamespace(
            file=SimpleNamespace(path="a.laz", point_count=1_234_567, point_format="LAS 1.4, format 6", crs=crs),
            labeller=SimpleNamespace(legend=legend, halo_m=2.5), options=SimpleNamespace(neighbours=["b.laz"], replace=replace),
            output=SimpleNamespace(out="out.laz"),
        )  # fmt: skip

    lines = [
        "a.laz: 1,234,567 points, LAS 1.4, format 6, UTM 33N", "classes: 2 ground, 6 building", "halo: 2.5 m, 1 neighbouring files",
        "would write out.laz: pred_class, pred_prob, entropy, propagated",
    ]  # fmt: skip
    assert LabelJob.foresee(job(SimpleNamespace(name="UTM 33N"), replace=False)) == "\n".join(lines)
    placeless = LabelJob.foresee(job(None, replace=True))
    assert "format 6, no CRS, coordinates are read as metres\n" in placeless
    assert placeless.endswith("propagated, and the classification")
