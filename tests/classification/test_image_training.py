"""The task `images` from files to a run that predicts, resumes and is scored apart from its test part."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from geotiff import write_geotiff
from refusals import raises_naming
from safetensors.torch import load_file

import deepnets4eo
from deepnets4eo.classification import classify_images, embed_images, list_images
from deepnets4eo.classification.readers import ImageData
from deepnets4eo.classification.recipe import ImageRecipe
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import load_run
from deepnets4eo.training import TrainOptions
from deepnets4eo.training.recipe import resolve

from .conftest import CLASSES, SIDE_PX, SMALL


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(SMALL), encoding="utf-8")
    return path


def test_a_trained_run_knows_the_classes_and_scores_the_test_part_once(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["protocol"] == {
        "name": "test images",
        "split": {"labelled": 12, "unlabelled": 0, "val": 6, "test": 6},
    }
    assert metrics["images"] == metrics["validation"]["images"] == 6
    assert metrics["macro_f1"] > 0.6, "three classes that differ in the mean of every band"
    assert (run / "confusion.csv").exists()
    seeds = json.loads((run.parent / "seeds.json").read_text(encoding="utf-8"))
    assert len(seeds["scores"]["macro_f1"]["values"]) == 2
    drawn = [
        json.loads((run.parent / name / "split.geojson").read_text(encoding="utf-8"))["images"]["test"]
        for name in seeds["runs"]
    ]
    assert drawn[0] != drawn[1], "other seeds draw other parts"
    assert load_run(run).card["notes"]["temperature"] > 0


def test_a_run_labels_images_and_slides_over_a_scene(run: Path, patches: Path, tmp_path: Path) -> None:
    loaded = load_run(run)
    images, _ = list_images(ImageData(folders=(str(patches),)))
    probabilities = classify_images(loaded, images)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert (probabilities.argmax(1) == images.targets.argmax(1)).mean() > 0.6
    order = [0, 8, 16, 1, 9, 17, 2, 10, 18]
    tiles = [images.read(row) for row in order]
    scene = np.concatenate([np.concatenate(tiles[at : at + 3], axis=2) for at in (0, 3, 6)], axis=1)
    deepnets4eo.predict(
        run, {"image": str(write_geotiff(tmp_path / "scene.tif", scene, gsd=10))}, tmp_path / "labels.tif"
    )
    labels = Layer.open(tmp_path / "labels.tif", labels=True).read()[0][0]
    middle = SIDE_PX + SIDE_PX // 2
    assert labels[middle, middle] == probabilities[order[4]].argmax(), "the patch in the middle, whole"
    wrong = images.take(np.arange(2))
    with raises_naming(InputError, "10", "000"):
        classify_images(
            loaded, type(images)(wrong.names, wrong.targets, lambda row: images.read(row) / 1e4, wrong.bands)
        )


@pytest.mark.parametrize("method", ["flexmatch", "fixmatch"])
def test_an_interrupted_training_ends_in_the_same_bits(
    method: str, patches: Path, recipe: Path, tmp_path: Path
) -> None:
    overrides = [
        f"unlabelled.method={method}",
        "data.labels_per_class=2",
        "unlabelled.ratio=2",
        "data.test_share=0",
        "train.average=0.9",
    ]
    overrides += ["train.epochs=2", "data.windows_per_epoch=8", "train.batch_size=4"]

    def train(name: str, **how: object) -> Path:
        options = TrainOptions(device="cpu", **how)
        return deepnets4eo.train(recipe, tmp_path / name, data=patches, overrides=overrides, options=options)

    whole = train("whole")
    train("parts", epochs=1)
    parts = train("parts", resume=True)
    first, second = (load_file(one / "weights.safetensors") for one in (whole, parts))
    assert first.keys() == second.keys()
    assert not any("consistency" in name for name in first)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_several_labels_are_learnt_and_no_method_that_chooses_one(archive: Path, tmp_path: Path) -> None:
    images = np.load(archive)["images"]
    labels = np.eye(3, dtype=np.uint8)[np.repeat([0, 1, 2], 8)]
    labels[:4, 1] = 1
    np.savez(tmp_path / "several.npz", images=images, labels=labels)
    legend = {
        "name": "three",
        "classes": [{"value": n, "name": one, "color": [n, 9, 9]} for n, one in enumerate(CLASSES)],
    }
    recipe = tmp_path / "several.yaml"
    section = {**SMALL["data"], "labels": "several"}  # type: ignore[dict-item]
    recipe.write_text(json.dumps(SMALL | {"legend": legend, "data": section}), encoding="utf-8")
    run = deepnets4eo.train(recipe, tmp_path / "run", data=tmp_path / "several.npz", options=TrainOptions(device="cpu"))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert {"macro_ap", "micro_ap", "macro_f1", "micro_f1", "ece"} <= metrics.keys()
    assert "confusion" not in metrics
    with pytest.raises(InputError, match="chooses one class an image"):
        deepnets4eo.train(
            recipe, tmp_path / "no", data=tmp_path / "several.npz", overrides=["unlabelled.method=fixmatch"]
        )
    overrides = ["unlabelled.method=fixmatch", "data.labels=one"]
    np.savez(tmp_path / "one.npz", images=images, labels=np.repeat([0, 1, 2], 8))
    with pytest.raises(InputError, match="fixmatch needs images without labels"):
        deepnets4eo.train(recipe, tmp_path / "no", data=tmp_path / "one.npz", overrides=overrides)


def test_a_network_learns_the_embeddings_of_a_teacher_that_sees_other_bands(
    recipe: Path, patches: Path, tmp_path: Path
) -> None:
    options, files = TrainOptions(device="cpu"), ["data.file_bands=[B02, B03, B04, B08]", "train.calibrate=false"]
    first, second = ["data.bands=[B08, B04]"], ["data.bands=[B03, B02]", f"teacher.run={tmp_path / 'teacher'}"]
    deepnets4eo.train(recipe, tmp_path / "teacher", data=patches, overrides=[*files, *first], options=options)
    several = [*files, *second, "data.labels_per_class=1", "train.epochs=8"]
    deepnets4eo.train(recipe, tmp_path / "student", data=patches, overrides=several, options=options)
    teacher, student = (load_run(tmp_path / name) for name in ("teacher", "student"))
    head, kept = (run.segmenter.module.head.state_dict() for run in (teacher, student))
    assert all(torch.equal(kept[name], value) for name, value in head.items())
    lists = [
        list_images(ImageData(folders=(str(patches),), file_bands=("B02", "B03", "B04", "B08"), bands=bands))[0]
        for bands in (("B08", "B04"), ("B03", "B02"))
    ]
    taught, learnt = embed_images(teacher, lists[0]), embed_images(student, lists[1])
    np.testing.assert_allclose(np.linalg.norm(learnt, axis=1), 1, atol=1e-5)
    apart, elsewhere = (((taught - one) ** 2).sum(axis=1).mean() for one in (learnt, learnt[::-1]))
    assert apart < 0.5 * elsewhere, "each is nearer to its own place"
    right = classify_images(student, lists[1]).argmax(axis=1) == lists[1].targets.argmax(axis=1)
    assert right.mean() > 0.8, "three labels, and the teacher's last layer"
    for wrong, match in (
        ("model.network=image-classifier", "embeddings of 128 numbers before a linear last layer, the network of 512"),
        ("unlabelled.method=fixmatch", "Leave one out"),
    ):
        with pytest.raises(InputError, match=match):
            deepnets4eo.train(recipe, tmp_path / "no", data=patches, overrides=[*files, *second, wrong])


def test_predict_labels_images_of_folders_tables_and_archives_into_a_table(
    run: Path, patches: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, table = tmp_path / "labels.csv", tmp_path / "few" / "images.csv"
    table.parent.mkdir()
    for number, name in enumerate(("field/0.tif", "water/17.tif")):
        shutil.copy(patches / name, table.with_name(f"{number}.tif"))
    table.write_text("image\n0.tif\n1.tif\n", encoding="utf-8")
    assert (
        main(["predict", str(run), str(patches), str(archive), str(table), "--out", str(out), "--device", "cpu"]) == 0
    )
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows[24:26] + rows[-2:]] == [
        "patches.npz#0", "patches.npz#1", "few/0.tif", "few/1.tif",
    ]  # fmt: skip
    expected = classify_images(load_run(run), list_images(ImageData(folders=(str(archive),)), load_run(run).legend)[0])
    found = [[float(row[name]) for name in CLASSES] for row in rows[24:48]]
    np.testing.assert_allclose(found, expected, atol=6e-5)
    assert [row["label"] for row in rows[24:48]] == [CLASSES[at] for at in expected.argmax(1)]
    assert rows[30]["probability"] == f"{expected[6].max():.4f}"
    assert "50 images labelled" in capsys.readouterr().err
    for words, status, message in (
        ([str(archive), "--out", str(out)], 1, "exists already"),
        ([str(archive), "--out", str(tmp_path / "labels.tif")], 2, "Name one: --out labels.csv"),
        ([str(archive), "--out", str(out), "--overwrite", "--dry-run"], 2, "is a table of whole images"),
    ):
        assert main(["predict", str(run), *words]) == status
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(("given", "labelled", "count"), [(0, 80, 512), (0, 9000, 9000), (64, 80, 64)])
def test_images_of_an_epoch_follow_from_the_labelled_ones(given: int, labelled: int, count: int) -> None:
    recipe = resolve({"task": "images", "data": {"windows_per_epoch": given}}, kind=ImageRecipe)
    assert recipe.with_images(labelled).data.windows_per_epoch == count
