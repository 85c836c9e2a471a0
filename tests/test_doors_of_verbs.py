"""One whole verb for each guard of `test_doors`: it refuses the file by name and writes nothing, or puts it right and says so."""

from __future__ import annotations

import json
import logging
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from doors import GSD, HEIGHTS, LEGEND, Place, make_place
from geotiff import write_geotiff
from test_doors import CASES

from deepnets4eo.cli.main import main
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import load_run

pytestmark = pytest.mark.core("one whole verb per guard")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("whole"))


def _verb(*words: object) -> int:
    return main([*map(str, words)])


WHOLE_VERBS = {  # of a case: the words of a verb that reads its file, {file}; {out} is the result
    "coordinates in feet": "layers heights {file} --out {out}",
    "heights in centimetres without a unit": "layers heights {file} --out {out}",
    "heights without position": "layers heights {file} --out {out}",
    "heights with a colour table": "layers heights {file} --out {out}",
    "half is 0 next to another nodata": "layers heights {file} --out {out}",
    "scores with a colour table": "layers refine {file} {image} --out {out}",
    "scores without position": "layers refine {file} {image} --out {out}",
    "mask without position": "change {pre} {image} --cloud-mask-post {file} --assume-registered --out {out}",
    "0 is nodata": "change {pre} {image} --cloud-mask-post {file} --assume-registered --out {out}",
    "classes as a mask": "change {pre} {image} --cloud-mask-post {file} --assume-registered --out {out}",
    "dry ground without data": "flood {pre} {image} --permanent-water {file} --out {out}",
    "resampled classes as depths": "flood {pre} {image} --permanent-water {file} --out {out}",
    "depths without dry ground": "damage - {image} {outlines} --prior flood:m={file} --out {out}",
    "heights as an image": "damage - {file} {outlines} --out {out}",
    "heights in feet as an image": "damage - {file} {outlines} --out {out}",
}


@pytest.mark.parametrize("name", WHOLE_VERBS)
def test_a_whole_verb_refuses_the_file_of_a_guard_and_writes_nothing(name: str, place: Place, capsys: Any) -> None:
    case, out, outlines = CASES[name], place.folder / "never.tif", place.folder / "outlines.gpkg"
    if not outlines.exists():
        boxes = [shapely.box(x, 4_999_950, x + 8, 4_999_958) for x in (500_010, 500_030)]
        gpd.GeoDataFrame({"id": ["a", "b"]}, geometry=boxes, crs="EPSG:32631").to_file(outlines)
    files = {"file": case.file, "image": "image.tif", "pre": "pre.tif"}
    paths = {key: place.path(file) for key, file in files.items()} | {"out": out, "outlines": outlines}
    assert _verb(*(word.format(**paths) for word in WHOLE_VERBS[name].split())) == 2
    reason = capsys.readouterr().err
    assert case.file in reason
    assert any(word in reason for word in case.words), reason
    assert not out.exists()


@pytest.mark.parametrize(
    ("file", "value", "words"),
    [
        ("sentinel.tif", "-9999", "layers heights {file} --out {out} --channels ndsm"),
        ("empty.tif", "0", "layers heights {file} --out {out} --channels ndsm"),
        ("empty_metres.tif", "0", "layers heights {file} --out {out} --channels ndsm"),
        ("minus_one.tif", "-1", "layers heights {file} --out {out} --channels ndsm"),
        ("unknown_scores.tif", "-9999", "layers refine {file} {image} --out {out} --set steps=1"),
    ],
)
def test_a_whole_verb_leaves_out_the_part_of_a_file_without_data(
    file: str, value: str, words: str, place: Place, caplog: Any
) -> None:
    out = place.folder / f"without_{file}"
    paths = {"file": place.path(file), "image": place.path("image.tif"), "out": out}
    with caplog.at_level(logging.WARNING):
        assert _verb(*(word.format(**paths) for word in words.split())) == 0
    assert f"{value} in every band" in caplog.text
    values, valid = Layer.open(out).read()
    known = valid & np.isfinite(values[0])
    hidden = known[:38] if file == "unknown_scores.tif" else known[:, :38]
    assert not hidden.any()
    assert known[44:, 44:].mean() > 0.99


def test_refine_refuses_scores_without_a_value(place: Place, capsys: Any) -> None:
    empty, out = (
        write_geotiff(place.folder / "no_scores.tif", np.full((1, 64, 64), np.nan, np.float32), gsd=GSD),
        place.folder / "never.tif",
    )
    assert _verb("layers", "refine", empty, place.path("image.tif"), "--out", out) == 2
    assert "the raster of scores" in (reason := capsys.readouterr().err)
    assert "no valid pixel" in reason
    assert not out.exists()


@pytest.mark.parametrize("name", ["coarse", "pan"])
def test_pansharpening_leaves_a_collar_of_either_image_out_and_names_it(name: str, place: Place, caplog: Any) -> None:
    files, gsd = (
        {"coarse": place.path("coarse.tif"), "pan": place.path("pan.tif")},
        {"coarse": 4 * GSD, "pan": GSD}[name],
    )
    values = Layer.open(files[name]).read()[0]
    values[:, : round(20 / gsd)] = 0  # 20 m
    files[name] = str(write_geotiff(place.folder / f"collar_of_{name}.tif", values, gsd=gsd))
    out = place.folder / f"sharp_without_{name}.tif"
    with caplog.at_level(logging.WARNING):
        assert _verb("layers", "pansharpen", files["coarse"], files["pan"], "--out", out) == 0
    assert "0 in every band where it has no data (31% of its pixels)" in caplog.text
    valid = Layer.open(out).read()[1]
    assert not valid[: round(18 / GSD)].any()
    assert valid[round(22 / GSD) :].all()


def test_a_training_reads_a_band_of_heights_in_feet_as_metres(place: Place, caplog: Any) -> None:
    layers = f"data.layers={{image: {place.path('height_band.tif')}, labels: {place.path('labels.tif')}}}"
    words = (
        "--set",
        layers,
        "--set",
        "legend=" + json.dumps(LEGEND.to_dict()),
        "--set",
        "model.features=[pixels]",
        "--set",
        "estimator.trees=3",
    )
    out = place.folder / "of_feet"
    with caplog.at_level(logging.WARNING):
        assert _verb("train", "baselines/random-forest", *words, "--set", "data.val_share=0", "--out", out) == 0
    assert "converted to metres" in caplog.text
    band = load_run(out).inputs.layers["image"].mean[3]
    assert band == pytest.approx(HEIGHTS.mean(), rel=0.05)


def test_every_guard_runs_in_a_whole_verb() -> None:
    elsewhere = {  # in tests of their own, here and in `test_doors`
        "colour table", "no position", "collar", "band of heights in feet", "feet", "-9999", "scores of -9999", "labels without position",
        "another order of classes", "a class that is nodata", "half of a surface model is 0",
            "half of a surface model of whole metres is 0", "half of a surface model is -1",
        "heights without a name",
    }  # fmt: skip
    assert {*WHOLE_VERBS} | elsewhere == {name for name, case in CASES.items() if case.guards}
