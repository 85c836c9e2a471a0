"""The report of a hyperspectral run: the figures of withheld pixels, spectra as counted otherwise, one page that works offline."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff
from made_up_cube import BANDS, LEGEND, make_cube, write_cube
from refusals import raises_naming

import deepnets4eo
from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.files import read_json
from deepnets4eo.hyperspectral import report, run_page
from deepnets4eo.hyperspectral.training import HyperspectralRecipe
from deepnets4eo.rasters import Layer
from deepnets4eo.training.recipe import resolve


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cube(tmp_path_factory.mktemp("cube"))


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    values = {
        "task": "hyperspectral",
        "data": {"layers": {"image": "image.tif", "labels": "labels.tif"}, "tile_px": 32, "num_workers": 0},
        "legend": LEGEND,
        "model": {"network": "hyperspectral/hamida", "options": {"patch_px": 5}},
        "train": {"epochs": 2, "batch_size": 64, "lr": 0.01},
    }
    recipe = resolve(values, kind=HyperspectralRecipe)
    return deepnets4eo.train(recipe, data / "run", data=data)


@pytest.fixture(scope="module")
def page(data: Path, run: Path) -> Path:
    return report(run, data / "report")


def test_the_page_has_scores_leakage_and_figures_and_loads_nothing(run: Path, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    metrics = read_json(run / "metrics.json")
    assert f"<td>{100 * metrics['kappa']:.2f}</td>" in text
    share = metrics["protocol"]["leakage"]["share_patch_overlaps"]
    assert share > 0  # the default buffer is half a patch
    assert f"patches (5 px) of {100 * share:.2f} % of the" in text
    for name, pixels in metrics["protocol"]["pixels"].items():
        assert f"<td>{name}</td><td>{pixels['train']:,}</td><td>{pixels['test']:,}</td>" in text
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', text)
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert {"map_1.png", "map_1.tif", "spectra.png", "confusion.png"} <= {path.name for path in page.parent.iterdir()}


def test_the_spectra_are_means_and_deviations_of_the_labelled_pixels(run: Path, page: Path) -> None:
    image, labels = make_cube()
    parts = Layer.open(run / "split" / "scene.tif").read()[0][0]
    rows = list(csv.DictReader((page.parent / "spectra.csv").open(encoding="utf-8")))
    assert len(rows) == 3 * 2 * BANDS
    for value, part, name, of_class in ((1, 1, "learnt", "grass"), (3, 2, "withheld", "water")):
        own = image[:, (labels == value) & (parts == part)].astype(np.float64)
        of_rows = [row for row in rows if row["class"] == of_class and row["part"] == name]
        assert int(of_rows[0]["pixels"]) == own.shape[1]
        for column, expected in (("mean", own.mean(axis=1)), ("deviation", own.std(axis=1))):
            np.testing.assert_allclose([float(row[column]) for row in of_rows], expected, rtol=1e-5)


def test_another_labels_file_is_refused_and_no_page_is_lost(data: Path, run: Path, page: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists"):
        report(run, page.parent)
    image, labels = make_cube()
    write_geotiff(tmp_path / "image.tif", image)
    write_geotiff(tmp_path / "labels.tif", np.roll(labels, 7, axis=1)[None])
    with pytest.raises(InputError, match="are not those of its training"):
        report(run, tmp_path / "report", data=tmp_path)


@pytest.mark.parametrize("damage", [lambda one: one.pop("protocol"), lambda one: one.update(protocol=3)])
def test_scores_without_their_values_are_refused_by_the_name_of_the_run(damage, run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    metrics = read_json(copy / "metrics.json")
    damage(metrics)
    (copy / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    with raises_naming(InputError, "card.json", "metrics.json"):
        report(copy, tmp_path / "report")


def test_the_map_of_a_run_scored_where_it_withheld_has_the_scores_of_the_run(
    data: Path, run: Path, tmp_path: Path
) -> None:
    """Also at the edges of the scene, which validation and prediction mirror alike."""
    from deepnets4eo.evaluation import Protocol, Withheld, evaluate
    from deepnets4eo.prediction import PredictOptions, predict

    metrics, rules = read_json(run / "metrics.json"), Protocol(withheld=Withheld.of_run(run))
    predict(run, str(data / "image.tif"), tmp_path / "map.tif", PredictOptions(precision="float32", device="cpu"))
    scored = evaluate(tmp_path / "map.tif", data / "labels.tif", deepnets4eo.load_run(run).legend, rules).to_dict()
    for score in ("overall_accuracy", "mean_f1", "mean_iou"):
        assert scored[score] == metrics[score]
    assert scored["kappa"] == metrics["kappa"]
    assert not any("computed in" in note for note in scored["notes"])


def test_the_verb_writes_the_page(run: Path, tmp_path: Path, capsys) -> None:
    from deepnets4eo.cli.main import main

    assert main(["export", str(run), "--page", str(tmp_path / "page")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "page" / "report.html")
    assert main(["export", str(run), "--page", str(run)]) == 1


def test_a_method_is_named_by_its_classifier_and_what_it_classifies() -> None:
    assert (
        run_page._method({"estimator": {"name": "rbf_svm"}, "model": {"method": "superpixels"}})
        == "rbf_svm on superpixels"
    )
