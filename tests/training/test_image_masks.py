"""A folder of images and a folder of masks train as they are: names that match, a legend from colours or values, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from geotiff import write_geotiff
from interrupted import interrupted_at
from PIL import Image
from refusals import raises_naming
from safetensors.torch import load_file

from deepnets4eo.cards import Legend
from deepnets4eo.cli import output
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json
from deepnets4eo.segmenters import load_run
from deepnets4eo.training import ImageMaskFolders, load_recipe, splits
from deepnets4eo.training.data import TrainLoader
from deepnets4eo.training.mask_legend import MaskContent, read_masks

COLOURS = np.array([[60, 16, 152], [226, 169, 41], [155, 155, 155]], np.uint8)
SMALL = ["--set", "data.tile_px=32", "--set", "data.num_workers=0"]
FOREST = ["--set", "model.max_samples=500", "--set", "estimator.trees=2"]


def truth(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    return np.kron(rng.permutation(np.arange(64) % 3).reshape(8, 8), np.ones((16, 16), int)).astype(np.uint8)


def photo(labels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(9).integers(0, 30, (*labels.shape, 3))
    return (labels[..., None] * np.array([80, 40, 60]) + noise).astype(np.uint8)


def save_colours(path: Path, labels: np.ndarray) -> None:
    Image.fromarray(COLOURS[labels]).save(path)


def save_with_alpha(path: Path, labels: np.ndarray) -> None:
    Image.fromarray(np.dstack([COLOURS[labels], np.full_like(labels, 255)])).save(path)


def save_palette(path: Path, labels: np.ndarray) -> None:
    """Indices into a palette whose order differs from file to file, as programs that optimise it write."""
    order = np.roll(np.arange(3), int(path.stem[0]))
    image = Image.fromarray(np.argsort(order)[labels].astype(np.uint8))
    image.putpalette(COLOURS[order].ravel().tolist())
    image.save(path)


def folders(
    place: Path, save: Callable[[Path, np.ndarray], None] = save_colours, count: int = 2, kind: str = "jpg"
) -> Path:
    for name in ("images", "masks"):
        (place / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(photo(truth(number))).save(place / "images" / f"{number}_sat.{kind}")
        save(place / "masks" / f"{number}_mask.png", truth(number))
    return place


def train(place: Path, *more: str, recipe: str = "baselines/random-forest") -> int:
    words = [
        "train",
        recipe,
        "--images",
        str(place / "images"),
        "--masks",
        str(place / "masks"),
        "--out",
        str(place / "run"),
    ]
    return main([*words, *SMALL, *(FOREST if recipe.startswith("baselines") else []), *more])


def content(place: Path) -> MaskContent:
    return read_masks([str(path) for path in sorted((place / "masks").iterdir())])


@pytest.mark.core("the commonest folder")
@pytest.mark.parametrize("save", [save_colours, save_with_alpha, save_palette])
def test_masks_of_colours_train_and_their_legend_is_shown_and_kept_for_editing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    save: Callable[[Path, np.ndarray], None],
) -> None:
    caplog.set_level("INFO", "deepnets4eo")
    assert train(folders(tmp_path, save)) == 0
    legend = Legend.load(tmp_path / "run.legend.yaml")
    assert {entry.color for entry in legend.classes} == {tuple(colour) for colour in COLOURS.tolist()}
    assert load_run(tmp_path / "run").legend == legend
    assert capsys.readouterr().out == f"{tmp_path / 'run'}\n"
    assert "226,169,41" in caplog.text
    assert str(tmp_path / "run.legend.yaml") in caplog.text
    assert (
        read_json(tmp_path / "run" / "metrics.json")["overall_accuracy"] > 0.9
    )  # colours are those of their own pixels


def test_names_edited_in_the_legend_are_used_by_the_next_training(tmp_path: Path) -> None:
    assert train(folders(tmp_path)) == 0
    file = tmp_path / "run.legend.yaml"
    file.write_text(file.read_text().replace("class-1", "building"))
    assert train(tmp_path, "--overwrite") == 0
    assert "building" in load_run(tmp_path / "run").legend.names


@pytest.mark.parametrize(
    ("stored", "names", "values"),
    [
        ([0, 255, 255], ("background", "foreground"), {0, 1}),
        ([0, 1, 255], ("background", "foreground"), {0, 1}),
        ([3, 7, 255], ("class-3", "class-7"), {3, 7}),
        ([300, 7, 40_000], ("class-7", "class-300", "class-40000"), {7, 0, 1}),
    ],
)
def test_masks_of_values_keep_them_and_255_is_void_unless_it_is_the_only_other(
    tmp_path: Path, stored: list[int], names: tuple[str, ...], values: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    def save(path: Path, labels: np.ndarray) -> None:
        Image.fromarray(np.array(stored, np.uint16 if max(stored) > 255 else np.uint8)[labels]).save(path)

    assert train(folders(tmp_path, save)) == 0
    legend = load_run(tmp_path / "run").legend
    assert (legend.names, set(legend.values)) == (names, values)
    assert read_json(tmp_path / "run" / "metrics.json")["overall_accuracy"] > 0.9
    assert "as nodata" not in caplog.text


def test_georeferenced_images_and_masks_train_as_well(tmp_path: Path) -> None:
    for number in range(2):
        write_geotiff(
            tmp_path / "images" / "north" / f"{number}.tif",
            photo(truth(number)).transpose(2, 0, 1),
            origin=(300 * number, 0),
        )
        write_geotiff(tmp_path / "masks" / "north" / f"{number}.tif", truth(number), origin=(300 * number, 0))
    assert train(tmp_path) == 0
    assert load_run(tmp_path / "run").legend.names == ("class-0", "class-1", "class-2")


def test_files_without_a_partner_are_named(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "masks" / "1_mask.png").rename(tmp_path / "masks" / "one.png")
    with raises_naming(InputError, 2, "1_sat.jpg", "one.png"):
        ImageMaskFolders(tmp_path / "images", tmp_path / "masks").pairs()
    Image.fromarray(photo(truth(0))).save(tmp_path / "images" / "0_sat.png")
    with raises_naming(InputError, "0_sat.jpg", "0_sat.png"):
        ImageMaskFolders(tmp_path / "images", tmp_path / "masks").pairs()


def test_a_colour_that_the_legend_lacks_is_refused_with_the_file_to_edit_and_leaves_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders(tmp_path)
    mine = tmp_path / "mine.yaml"
    card = {
        "name": "mine",
        "classes": [
            {"value": value, "name": name, "color": COLOURS[value].tolist()} for value, name in enumerate("ab")
        ],
    }
    mine.write_text(yaml.safe_dump(card))
    assert train(tmp_path, "--set", f"legend={mine}") == 2
    error = capsys.readouterr().err
    for part in (str(mine), "155,155,155", "data.unknown_labels=void"):
        assert part in error
    assert not (tmp_path / "run").exists()
    assert train(tmp_path, "--set", f"legend={mine}", "--set", "data.unknown_labels=void") == 0
    assert load_run(tmp_path / "run").legend.names == ("a", "b")


def test_on_a_terminal_each_colour_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return {"60,16,152": "building", "155,155,155": "void"}.get(question.split()[2].rstrip(","), "")

    monkeypatch.setattr(output, "ask_on_terminal", lambda: answer)
    monkeypatch.setattr("deepnets4eo.cli.train.ask_on_terminal", lambda: answer)
    assert train(folders(tmp_path)) == 0
    assert len(asked) == 3
    legend = load_run(tmp_path / "run").legend
    assert (legend.names, legend.void_color) == (("building", "class-3"), (155, 155, 155))
    assert train(tmp_path, "--overwrite") == 0
    assert len(asked) == 3


def test_colours_of_a_legend_of_the_catalog_get_its_names(tmp_path: Path) -> None:
    isprs = Legend.load("isprs")
    folders(tmp_path, lambda path, labels: Image.fromarray(isprs.colors[1:4][labels]).save(path))
    assert train(tmp_path) == 0
    assert load_run(tmp_path / "run").legend.names == isprs.names


@pytest.mark.parametrize(
    ("save", "named"),
    [
        (lambda path, labels: Image.fromarray(photo(labels)).save(path), "--masks"),
        (lambda path, labels: Image.fromarray(COLOURS[labels]).resize((90, 90), Image.Resampling.BILINEAR).save(path.with_suffix(".jpg")), "JPEG"),
        (lambda path, labels: Image.fromarray(np.random.default_rng(0).random((8, 8)).astype(np.float32)).save(path.with_suffix(".tif")), "fractions"),
    ],
)  # fmt: skip
def test_images_in_place_of_masks_and_masks_as_jpeg_are_refused(
    tmp_path: Path, save: Callable[[Path, np.ndarray], None], named: str
) -> None:
    folders(tmp_path, save)
    with raises_naming(InputError, named, "0_mask"):
        content(tmp_path)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--images", "images"], "--masks"),
        (["--images", "images", "--masks", "masks", "--data", "x"], "--data"),
        (["--images", "images", "--masks", "nowhere"], "nowhere"),
    ],
)
def test_half_of_a_pair_of_folders_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], named: str
) -> None:
    monkeypatch.chdir(folders(tmp_path))
    assert main(["train", "unet-resnet34", *words]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_recipes_of_other_data_refuse_the_two_folders(tmp_path: Path) -> None:
    for name in ("change/fc-siam-diff", "images/eurosat"):
        recipe, _ = load_recipe(name)
        with raises_naming(InputError, "--images", recipe.task):
            ImageMaskFolders(tmp_path, tmp_path).overrides(recipe, set(), tmp_path / "x")


def test_ten_images_withhold_whole_ones_unless_the_split_was_chosen(tmp_path: Path) -> None:
    recipe, _ = load_recipe("unet-resnet34")
    data = ImageMaskFolders(folders(tmp_path, count=10) / "images", tmp_path / "masks")
    file = tmp_path / "run"
    assert "data.split=scenes" in data.overrides(recipe, set(), file)
    assert "data.split=scenes" not in data.overrides(recipe, {"data.split"}, file)


def test_masks_of_another_size_are_refused_with_both_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a georeference a mask of half the size would lie on a corner of its image."""
    place = folders(tmp_path, lambda path, labels: save_colours(path, labels[::2, ::2]))
    assert train(place) == 2
    said = capsys.readouterr().err
    assert all(text in said for text in ("128 × 128", "64 × 64", "0_sat.jpg", "0_mask.png", "2 times finer"))


@pytest.mark.core("a training that was stopped is the reason for --resume")
def test_a_stopped_training_goes_on_by_the_same_command_and_refuses_an_edited_legend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders(tmp_path)
    monkeypatch.chdir(tmp_path)
    small = [
        "data.tile_px=32",
        "data.num_workers=0",
        "data.windows_per_epoch=8",
        "train.batch_size=4",
        "train.epochs=2",
        "model.options={width: 2}",
    ]
    words = ["train", "segnet", "--images", "images", "--masks", "masks"]
    words += [word for value in small for word in ("--set", value)]
    assert main([*words, "--out", "whole"]) == 0
    with interrupted_at(TrainLoader, 1):
        assert main([*words, "--out", "cut"]) == 130
    assert main([*words, "--out", str(tmp_path / "cut"), "--resume"]) == 0
    weights = [load_file(Path(run) / "weights.safetensors") for run in ("whole", "cut")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    with interrupted_at(TrainLoader, 1):
        assert main([*words, "--out", "cut", "--overwrite"]) == 130
    edited = Path("cut.legend.yaml")
    edited.write_text(edited.read_text(encoding="utf-8").replace("class-1", "building"), encoding="utf-8")
    capsys.readouterr()
    assert main([*words, "--out", "cut", "--resume"]) != 0
    assert "cut.legend.yaml: changed since the training" in capsys.readouterr().err


@pytest.mark.core("values that the data choose")
def test_a_value_that_the_data_choose_is_no_other_value_when_a_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "VIEWS", 0.1)
    monkeypatch.setattr(splits, "MIN_BATCHES", 1)
    words = ["--seeds", "2"]
    for value in ("data.windows_per_epoch=0", "train.epochs=1", "train.batch_size=2", "model.options={width: 2}"):
        words += ["--set", value]
    folders(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):  # all is written but the card
        patch.setattr("deepnets4eo.segmenters.run.seal", lambda *_: (_ for _ in ()).throw(RuntimeError))
        train(tmp_path, *words, recipe="segnet")
    assert train(tmp_path, *words, "--resume", recipe="segnet") == 0
    assert read_json(tmp_path / "run" / "seed-0" / "card.json")["notes"]["chosen"] == {"data.windows_per_epoch": 3}
    assert train(tmp_path, *words, "--resume", recipe="segnet") == 0
    words[words.index("data.windows_per_epoch=0")] = "data.windows_per_epoch=3"
    assert train(tmp_path, *words, "--resume", recipe="segnet") != 0


def test_borders_blended_by_resampling_are_named_with_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def save_blended(path: Path, labels: np.ndarray) -> None:
        save_colours(path, labels)
        large = Image.open(path).resize((384, 384), Image.Resampling.NEAREST)
        pixels = np.asarray(large).copy()
        rows = np.flatnonzero((pixels[1:, :, 0] != pixels[:-1, :, 0]).any(axis=1))[:1]
        for row in rows:  # one border between rows, blended by thirds
            above, below = pixels[row - 1].astype(int), pixels[row + 2].astype(int)
            pixels[row], pixels[row + 1] = (2 * above + below) // 3, (above + 2 * below) // 3
        Image.fromarray(pixels).save(path)

    place = folders(tmp_path, save_blended)
    masks = content(place)
    rare = [key for key in masks.pixels if masks.share(key) < 0.003]
    assert len(rare) >= 3
    assert masks.blended_note is not None
    assert f"{len(rare)} of the {len(masks.pixels)} colours" in masks.blended_note
    assert "data.unknown_labels=void" in masks.blended_note
    assert content(folders(tmp_path / "clean")).blended_note is None


def nodata_masks(place: Path, values: int) -> list[str]:
    folders(place)
    for number in range(2):
        (place / "masks" / f"{number}_mask.png").unlink()
        write_geotiff(place / "masks" / f"{number}_mask.tif", truth(number) % values, nodata=0, crs=None)
    return [str(path) for path in sorted((place / "masks").iterdir())]


def test_what_masks_declare_as_nodata_counts_as_void_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    files = nodata_masks(tmp_path, 3)
    share = float(np.mean([truth(number) == 0 for number in range(2)]))
    masks = read_masks(files)
    assert masks.hidden == {0.0: round(share * masks.total)}
    assert sum(masks.share((value,)) for value in (1, 2)) == pytest.approx(1 - share)
    assert f"{share:.1%} of the pixels" in (masks.hidden_note or "")
    stated = read_masks(files, nodata=255)
    assert stated.hidden_note is None
    assert stated.share((0,)) == pytest.approx(share)


def test_masks_whose_second_class_is_nodata_are_refused_with_that_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodata_masks(tmp_path, 2)
    assert train(tmp_path) == 2
    assert "data.nodata={labels: 255}" in capsys.readouterr().err
    assert train(tmp_path, "--set", "data.nodata={labels: 255}") == 0
    assert set(Legend.load(tmp_path / "run.legend.yaml").values) == {0, 1}
