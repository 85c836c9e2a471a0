"""Every guard at every door: a small file for each guard, opened at each entrance of verbs and of Python that takes such a layer.

A cell opens the inputs of a job, and no more. It is refused with the reason, or accepted with what was put right and named. A file
and a door of one kind always have a cell; what is no cell has its reason in `NO_CELL`. A new guard needs a file, a new verb a door.
"""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import rioxarray
from doors import CLASSES, DOORS, LEGEND, WITHOUT_RASTERS, Entrance, Opened, Place, make_place
from refusals import raises_naming
from sklearn.linear_model import LogisticRegression
from source_trees import ROOT, nodes, source_files

import deepnets4eo
import deepnets4eo.xarray
from deepnets4eo.baselines import BaselineRecipe, PixelClassifier
from deepnets4eo.cards import VOID
from deepnets4eo.cli.main import PARTS, VERBS, main
from deepnets4eo.errors import InputError
from deepnets4eo.files import write_yaml
from deepnets4eo.prediction import open_scene
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.read_as import kinds
from deepnets4eo.read_as.assessment import ReadAs
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.training import DataSection, make_split, measure_inputs
from deepnets4eo.training.recipe import resolve
from deepnets4eo.training.scenes import open_scenes

pytestmark = [pytest.mark.core("every guard at every door"), pytest.mark.filterwarnings("ignore:lbfgs failed")]


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


def holds(layer: Layer, *values: int) -> bool:
    """Return whether a layer has these values and no others: categories are numbers as stored."""
    return np.unique(layer.read()[0]).tolist() == [*values]


READ_ALL_BANDS = (
    "train", "train, values", "PixelClassifier.fit", "SceneDataset", "InputSpec.measure", "superpixels", "cube",
)  # fmt: skip
BY_CAMERA = ("damage, pre", "damage, post")  # doors of images that a camera or a radar took
WATER = ("damage --water", "flood --permanent-water")
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
    "heights as an image": Case("image", "height_image.tif", ("refuse_heights",), ("--dsm-pre",), refused=True, doors=BY_CAMERA),
    "heights in feet as an image": Case("image", "feet.tif", ("refuse_heights",), ("its unit is ft",), refused=True, doors=BY_CAMERA),
    "heights without a name": Case("image", "unnamed_heights.tif", ("report_heights",), ("If they are heights",), doors=BY_CAMERA),
    "feet": Case(
        "heights", "feet.tif", ("convert_to_metres",), ("converted to metres",),
        mended=lambda layer: bool(np.nanmax(layer.read()[0]) < 10),
    ),
    "coordinates in feet": Case(
        "heights", "coordinates_in_feet.tif", ("convert_to_metres",), ("may have its heights in", "heights in metres"), refused=True
    ),
    "heights in centimetres without a unit": Case(
        "heights", "centimetres.tif", ("refuse_steep_heights",), ("expected heights in metres",), refused=True
    ),
    "heights without position": Case("heights", "unplaced_heights.tif", ("check_position",), ("not placed",), refused=True),
    "heights with a colour table": Case("heights", "palette.tif", ("check_colour_table",), ("colour table",), refused=True),
    "-9999": Case(
        "heights", "sentinel.tif", ("declare_usual_nodata",), ("-9999 in every band",),
        mended=lambda layer: not layer.read()[1][:, :38].any() or bool(np.isnan(layer.read()[0][0, :, :38]).all()),
    ),
    "scores with a colour table": Case("scores", "palette.tif", ("check_colour_table",), ("colour table",), refused=True),
    "scores without position": Case("scores", "unplaced_heights.tif", ("check_position",), ("not placed",), refused=True),
    "scores of -9999": Case(
        "scores", "unknown_scores.tif", ("declare_usual_nodata",), ("-9999",),
        mended=lambda layer: not layer.read()[1][:38].any(),
    ),
    "labels without position": Case("labels", "unplaced_labels.tif", ("check_position",), ("not placed",), refused=True),
    "a class that is nodata": Case("labels", "hidden.tif", ("hidden_class",), ("as nodata",)),
    "another order of classes": Case("labels", "other_order.tif", ("other_legend_note",), ("its own legend",), doors=GIVEN_LEGENDS),
    "labels with a scale": Case("labels", "scaled_labels.tif", (), ("",), mended=lambda layer: holds(layer, 0, 1, 2)),
    "mask with a scale": Case("mask", "scaled_mask.tif", (), ("",), mended=lambda layer: holds(layer, 0, 1)),
    "mask without position": Case("mask", "unplaced_mask.tif", ("check_position",), ("not placed",), refused=True),
    "0 is nodata": Case("mask", "zero_is_nodata.tif", ("check_zero_is_value",), ("declares 0 as nodata",), refused=True),
    "half of a surface model is 0": Case(
        "heights", "empty.tif", ("declare_empty_heights",), ("0 in every band",),
        mended=lambda layer: not layer.read()[1][:, :38].any() or bool(np.isnan(layer.read()[0][0, :, :38]).all()),
    ),
    "half of a surface model of whole metres is 0": Case(
        "heights", "empty_metres.tif", ("declare_empty_heights",), ("0 in every band",),
        mended=lambda layer: not layer.read()[1][:, :38].any() or bool(np.isnan(layer.read()[0][0, :, :38]).all()),
    ),
    "half of a surface model is -1": Case(
        "heights", "minus_one.tif", ("declare_empty_heights",), ("-1 in every band",),
        mended=lambda layer: not layer.read()[1][:, :38].any() or bool(np.isnan(layer.read()[0][0, :, :38]).all()),
    ),
    "half is 0 next to another nodata": Case(
        "heights", "empty_and_nodata.tif", ("declare_empty_heights",), ("expected one value without data",), refused=True
    ),
    "dry ground without data": Case(
        "mask", "dry_gaps.tif", ("check_dry_ground",), ("no data wherever it shows no water",), refused=True, doors=WATER
    ),
    "depths without dry ground": Case("depths", "depth_gaps.tif", ("check_dry_ground",), ("no data wherever it shows no water",), refused=True),
    "resampled classes as depths": Case(
        "mask", "resampled.tif", ("is_depth",), ("holds the values",), refused=True, doors=WATER
    ),
    "classes as a mask": Case("mask", "classes_as_mask.tif", ("check_mask_values",), ("holds the values", "values"), refused=True),
}  # fmt: skip
PLAIN = ("has a CRS, but no position",)
NAMED = {
    ("no position", door): PLAIN
    for door in ("train", "train, values", "InputSpec.measure", "superpixels", "cube")
} | {
    ("labels without position", door): PLAIN
    for door in ("train, labels", "evaluate, prediction", "evaluate, reference", "evaluate, classes of values")
} | {
    ("heights without position", door): PLAIN
    for door in ("train, dsm", "evaluate, values", "evaluate, true values")
}  # fmt: skip
EMPTY = (
    "half of a surface model is 0",
    "half of a surface model of whole metres is 0",
    "half of a surface model is -1",
)
REFUSED = {
    ("feet", "evaluate, values"): ("expected metres",),
    ("feet", "evaluate, true values"): ("expected metres",),
    ("scores of -9999", "review --confidence"): ("has no value at some pixels",),
    ("scores of -9999", "suspects, probabilities"): ("as bytes",),
    ("coordinates in feet", "predict, dsm"): ("does not overlap",),  # of another site
    ("coordinates in feet", "predict, dsm of a Scene"): ("does not overlap",),
} | {
    (name, door): words
    for name in EMPTY
    for door, words in {"heights, dsm": ("seem to be above the sea",), "heights, dtm": ("expected heights above ground",)}.items()
}  # fmt: skip
ANY_QUANTITY = "values of any quantity are compared, of which 0 may be one"
OTHER_UNIT = "heights are compared with those of training, in whatever unit"
NO_CELL = {
    ("heights in centimetres without a unit", "evaluate, values"): "no ground is shown: errors are as large as the values",
    ("heights in centimetres without a unit", "evaluate, true values"): "no ground is shown: errors are as large as the values",
    ("heights in centimetres without a unit", "train, dsm"): OTHER_UNIT,
    ("heights in centimetres without a unit", "predict, dsm"): OTHER_UNIT,
    ("heights in centimetres without a unit", "predict, dsm of a Scene"): OTHER_UNIT,
    ("half is 0 next to another nodata", "evaluate, values"): ANY_QUANTITY,
    ("half is 0 next to another nodata", "evaluate, true values"): ANY_QUANTITY,
    ("no position", "whole images"): "whole images have one label, and no place",
    ("collar", "whole images"): "no pixel of whole images is left out",
    ("collar", "pansharpen, image"): "the file has pixels as fine as the band: see `test_doors_of_verbs`",
    ("collar", "pansharpen, pan"): "the file has four bands: see `test_doors_of_verbs`",
    ("collar", "osm, target"): "only the grid is read",
    ("colour table", "osm, target"): "only the grid is read",
    ("collar", "coherence"): "pixels that are 0 in either image have no coherence, and are void",
    (
        "labels without position",
        "train, masks",
    ): "the folders are read before scenes are made of them, see `train, labels`",
} | {(name, door): ANY_QUANTITY for name in EMPTY for door in ("evaluate, values", "evaluate, true values")}  # fmt: skip


FORMS = ("file", "tiles", "vrt", "array")
STATED = {  # cases of what files state, which a VRT of them does not repeat
    "colour table", "band of heights in feet", "heights in feet as an image", "feet", "heights with a colour table",
    "scores with a colour table", "another order of classes", "labels with a scale", "mask with a scale",
}  # fmt: skip
FILES_ONLY = {  # doors that take no array
    "train", "train, values", "train, dsm", "train, labels", "train, masks", "whole images", "review, image", "refine, image",
    "refine, scores", "coherence", "damage, prior", "change, cover", "flood, cover", "damage --water", "flood --permanent-water",
    "damage, prior of depths", "damage --water, depths",
}  # fmt: skip
ONE_FILE = {"train, masks", "whole images", "coherence"}  # doors that take no folder of tiles
NOT_IN_FORM = {
    "array": {
        "colour table",
        "heights with a colour table",
        "scores with a colour table",
        "labels with a scale",
        "mask with a scale",
    },  # arrays have no such table, and are scaled by whoever reads them
    "tiles": {
        "no position",
        "heights without position",
        "scores without position",
        "labels without position",
        "mask without position",
    },
}  # tiles without a position make no mosaic
MISSING: dict[tuple[str, str], str] = {}


def cells() -> Iterator[Any]:
    for name, case in CASES.items():
        for entrance, door in DOORS.items():
            reads = door.kind == case.kind and (not case.doors or entrance in case.doors)
            if not reads or (name, entrance) in NO_CELL:
                continue
            missing = MISSING.get((name, entrance))
            marks = [] if missing is None else [pytest.mark.xfail(strict=True, reason=missing)]
            for form in FORMS:
                other = {"array": FILES_ONLY, "tiles": ONE_FILE, "vrt": ONE_FILE, "file": set()}[form]
                left_out = CASES.keys() - STATED if form == "vrt" else NOT_IN_FORM.get(form, ())
                if entrance not in other and name not in left_out:
                    yield pytest.param(name, entrance, form, id=f"{name}-{entrance}-{form}", marks=marks)


def _open_or_refuse(door: Entrance, place: Place, case: Case, form: str) -> tuple[Opened | None, str]:
    """Return what was opened, or the reason why it was refused."""
    try:
        return door.open(place, place.in_form(case.file, form)), ""
    except InputError as error:
        return None, str(error)


@pytest.mark.parametrize(("name", "entrance", "form"), [*cells()])
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


NO_INPUT = {  # files of the package that open layers and assess none
    "floods/mud.py": "its own map",
    "catalogues/plan.py": "its own download", "change/cleansing.py": "its own maps",
    "change/products.py": "its own maps", "change/rasters.py": "its own maps", "change/series/dates.py": "only tags of dates", "change/series/embedding_map.py": "`ImageSeries` assesses it",
    "classification/inspection.py": "only sizes", "cli/demo.py": "its own images", "cli/layers.py": "its own bands",
    "cli/objects.py": "`extract_objects` assesses it", "cli/polygons.py": "`polygonize` assesses it",
    "damage/evidences/shakemap.py": "an array of its own", "damage/evidences/shown_water.py": "its own map",
    "damage/evidences/water.py": "its own maps", "damage/map.py": "a finished map",
    "damage/network/pairs.py": "synthetic pairs", "evaluation/pairs.py": "only grids and legends", "evaluation/withheld.py": "the split of a run",
    "floods/buildings.py": "its own map", "floods/permanent.py": "its own map", "floods/products.py": "its own maps", "floods/recognition.py": "its own map",
    "floods/relief.py": "its own mask", "hyperspectral/map_figure.py": "a finished map",
    "inspection/clouds.py": "an array of its own", "inspection/datasets.py": "`check` refuses nothing",
    "inspection/shadows.py": "an array of its own", "points/rubble/blocks.py": "an array of its own",
    "prediction/click_review.py": "its own maps", "prediction/clicked_scene.py": "its own clicks", "training/mask_legend.py": "scenes are made of the masks later",
}  # fmt: skip


def test_whoever_opens_a_layer_assesses_it_or_has_a_reason() -> None:
    package = ROOT / "deepnets4eo"
    files = {path: path.read_text(encoding="utf-8") for path in source_files("deepnets4eo")}
    opening = {
        path.relative_to(package).as_posix()
        for path, text in files.items()
        if any(
            isinstance(node, ast.Call) and ast.unparse(node.func) in ("Layer.open", "Layer.stack", "Scene.open")
            for node in nodes(path)
        )
        and "deepnets4eo.read_as" not in text
        and ".check_position(" not in text
        and path.parent.name != "read_as"
    }
    assert opening == {*NO_INPUT}


SCENE_OF_OTHERS = {  # files whose public functions take a scene and assess none
    "baselines/parts/references.py": "`PartDetector.fit` assesses it", "damage/network/grader.py": "the images of its job",
    "damage/network/pairs.py": "`LabelledPair` opens it", "floods/mud.py": "the images of its job", "floods/recognition.py": "the images of its job",
    "prediction/checks.py": "`open_scene` assesses it", "prediction/job.py": "`LabelTask` assesses it",
    "prediction/dry_run.py": "`open_scene` assesses it", "prediction/plan.py": "`open_scene` assesses it",
}  # fmt: skip


def _public_names() -> set[str]:
    faces = [path for path in source_files("deepnets4eo") if path.name == "__init__.py"]
    keywords = [
        node for path in faces for node in nodes(path) if isinstance(node, ast.keyword) and node.arg == "public"
    ]
    return {node.value for keyword in keywords for node in ast.walk(keyword.value) if isinstance(node, ast.Constant)}


def _takes_scenes(node: ast.AST) -> bool:
    arguments = [*node.args.args, *node.args.kwonlyargs] if isinstance(node, ast.FunctionDef) else []
    kinds = [ast.walk(argument.annotation) for argument in arguments if argument.annotation]
    return any(isinstance(word, ast.Name) and word.id == "Scene" for words in kinds for word in words)


def test_whoever_takes_a_scene_of_a_user_assesses_it_or_has_a_reason() -> None:
    """Python entrances whose names are public: `Scene.open` itself judges only the position."""
    public, lacking = _public_names(), set()
    texts = {path: path.read_text(encoding="utf-8") for path in source_files("deepnets4eo")}
    for path, text in texts.items():
        if " Scene" not in text or any(call in text for call in ("assess_scene(", "open_scene(", "prepare_scene(")):
            continue
        tops = [node for node in ast.parse(text).body if getattr(node, "name", "") in public]
        if any(_takes_scenes(node) for top in tops for node in (top, *getattr(top, "body", ()))):
            lacking.add(path.relative_to(ROOT / "deepnets4eo").as_posix())
    assert lacking == {*SCENE_OF_OTHERS}


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


@pytest.mark.parametrize("form", ["file", "tiles"])
@pytest.mark.parametrize("stated", ["interpreted.tif", "by_wavelength.tif"])
def test_bands_that_state_their_colours_are_read_in_the_order_of_the_run(
    stated: str, form: str, place: Place, caplog: Any
) -> None:
    """By names in the run and colour interpretation or wavelengths in the scene, and the other way round."""
    usual = Layer.open(place.path("image.tif")).read()[0]
    with caplog.at_level(logging.WARNING):
        files = {"image": place.in_form(stated, form), "dsm": place.path("dsm.tif")}
        opened = open_scene(files, place.run)
    assert "its colours in another order" in caplog.text
    np.testing.assert_array_equal(opened.layers["image"].read()[0], usual)
    scene = Scene.open(image=place.path(stated), labels=place.path("labels.tif"))
    run = PixelClassifier(LogisticRegression(max_iter=5), InputSpec.measure([scene], ["image"]), LEGEND).fit(
        [scene], max_pixels=200
    )
    opened = open_scene(place.in_form("image.tif", form), run)
    np.testing.assert_array_equal(opened.layers["image"].read()[0], usual[[2, 1, 0, 3]])
    assert InputSpec.from_dict(run.inputs.to_dict()).layers["image"].colours[:3] == ("red", "green", "blue")


@pytest.mark.parametrize("entrance", ["change, pre", "series"])
@pytest.mark.parametrize("stated", ["interpreted_before.tif", "by_wavelength_before.tif"])
def test_dates_of_two_colour_orders_are_compared_in_one(stated: str, entrance: str, place: Place, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        opened = DOORS[entrance].open(place, place.path(stated))
    assert "its colours in another order" in caplog.text
    assert opened.layer is not None
    np.testing.assert_array_equal(opened.layer.read()[0], Layer.open(place.path("pre.tif")).read()[0])


@pytest.mark.parametrize("stated", ["interpreted.tif", "by_wavelength.tif"])
def test_scenes_of_two_colour_orders_are_not_learnt_from_together(stated: str, place: Place) -> None:
    names = ("image.tif", stated)
    scenes = [{"name": name, "image": place.path(name), "labels": place.path("labels.tif")} for name in names]
    split = make_split(open_scenes(DataSection(scenes=tuple(scenes)), ["image"], LEGEND), DataSection(split="scenes"))
    with raises_naming(InputError, "blue, green, red", "red, green, blue"):
        measure_inputs(split, ["image"])


# one whole verb for each guard -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(place: Place) -> str:
    """A run folder that learnt from the usual files."""
    values = {
        "task": "baseline", "legend": LEGEND.to_dict(), "model": {"method": "pixels", "features": ["pixels"], "layers": ["image", "dsm"]},
        "data": {"layers": {name: place.path(f"{name}.tif") for name in ("image", "dsm", "labels")}, "val_share": 0.0, "num_workers": 0},
        "estimator": {"name": "lda"},
    }  # fmt: skip
    return str(deepnets4eo.train(resolve(values, [], kind=BaselineRecipe), place.folder / "run"))


def _verb(*words: object) -> int:
    return main([*map(str, words)])


def _labels_of(run: str, place: Place, name: str, **files: str) -> np.ndarray:
    layers = {"image": "image.tif", "dsm": "dsm.tif"} | files
    out = place.folder / f"{name}.tif"
    assert _verb("predict", run, *(f"{layer}={place.path(file)}" for layer, file in layers.items()), "--out", out) == 0
    return np.asarray(Layer.open(out).read()[0][0])


def test_predict_leaves_a_collar_out_and_reads_feet_and_colours_right(run: str, place: Place) -> None:
    usual = _labels_of(run, place, "usual")
    assert (usual == CLASSES).mean() > 0.6
    np.testing.assert_array_equal(_labels_of(run, place, "in_feet", dsm="feet.tif"), usual)
    np.testing.assert_array_equal(_labels_of(run, place, "ordered", image="interpreted.tif"), usual)
    collar = _labels_of(run, place, "collared", image="collar.tif")
    assert (collar[:, :40] == VOID).all()
    assert (collar[:, 40:] != VOID).all()


@pytest.mark.parametrize("file", ["palette.tif", "unplaced.tif"])
def test_predict_refuses_indices_of_colours_and_a_crs_without_position(
    file: str, run: str, place: Place, capsys: Any
) -> None:
    out = place.folder / "refused.tif"
    assert _verb("predict", run, f"image={place.path(file)}", f"dsm={place.path('dsm.tif')}", "--out", out) == 2
    assert file in capsys.readouterr().err
    assert not out.exists()


def test_a_training_refuses_indices_of_colours(place: Place, capsys: Any) -> None:
    layers = f"data.layers={{image: {place.path('palette.tif')}, labels: {place.path('labels.tif')}}}"
    words = ("--set", layers, "--set", "legend=" + json.dumps(LEGEND.to_dict()), "--out", place.folder / "never")
    assert _verb("train", "baselines/random-forest", *words) == 2
    assert "colour table" in capsys.readouterr().err


def test_polygons_refuses_labels_without_position_and_names_another_legend(
    place: Place, capsys: Any, caplog: Any
) -> None:
    out, other = place.folder / "p.gpkg", place.folder / "three.yaml"
    assert _verb("polygons", place.path("unplaced_labels.tif"), "--out", out) == 2
    assert "not placed on the ground" in capsys.readouterr().err
    write_yaml(other, LEGEND.to_dict())
    with caplog.at_level(logging.WARNING):
        assert _verb("polygons", place.path("other_order.tif"), "--legend", other, "--out", out) == 0
    assert "the same names in another order" in caplog.text


def test_a_class_that_masks_declare_as_nodata_is_counted_as_void_and_named(place: Place, caplog: Any) -> None:
    with caplog.at_level(logging.INFO):
        DOORS["train, masks"].open(place, place.path("hidden.tif"))
    share = f"{(CLASSES == 0).mean():.1%}"
    assert f"0 ({share} of the pixels) as nodata" in caplog.text
    assert "data.nodata={labels: 255}" in caplog.text


def test_a_collar_that_fills_whole_blocks_of_a_lazy_array_is_left_out_as_from_the_file(place: Place) -> None:
    scene = Scene.open(image=place.path("image.tif"), labels=place.path("labels.tif"))
    run = PixelClassifier(LogisticRegression(max_iter=5), InputSpec.measure([scene], ["image"]), LEGEND).fit(
        [scene], max_pixels=200
    )
    array = rioxarray.open_rasterio(place.path("collar.tif"), chunks={"x": 32, "y": 32})
    for data in (array, array.to_dataset(name="image")):
        labels = data.eo.predict(run).compute().values
        assert (labels[:, :40] == VOID).all()
        assert (labels[:, 40:] != VOID).all()
