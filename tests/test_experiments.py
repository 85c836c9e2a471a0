"""Experiments: rows that resolve, and real tiles cut so that no ground is trained and tested on."""

import re
import signal
import sys
from pathlib import Path

import aerial_lidar
import dfc2015_baselines
import dynamicearthnet
import equal_steps
import eurosat_few_labels
import isprs_baselines
import isprs_segnet
import kuro_siwo
import numpy as np
import osm_joint_learning
import pytest
import real_tiles
import script
import seeds
import semantic3d_snapnet
from geotiff import write_geotiff
from made_up_datasets import make_dataset
from PIL import Image
from refusals import raises_naming
from safetensors.torch import load_file, save_file
from score_table import Outcome, Row

from deepnets4eo.cards import VOID, DatasetCard, Legend
from deepnets4eo.classification import classify_images
from deepnets4eo.classification.readers import ImageData, list_unlabelled
from deepnets4eo.errors import InputError, MissingExtraError
from deepnets4eo.files import read_json
from deepnets4eo.grid import Window
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.points import PointCloud
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmentation import SegNetEncoder
from deepnets4eo.segmentation.weights import conv_and_norm_names
from deepnets4eo.segmenters import create_model, load_run
from deepnets4eo.training import load_recipe

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
SCRIPTS = [
    path.stem
    for path in sorted(EXPERIMENTS.glob("*.py"))
    if any(
        call in path.read_text(encoding="utf-8")
        for call in ("run_seeds(", "run_rows(", "train(", ".fit(", "fit_model(")
    )
    and "def main" in path.read_text(encoding="utf-8")
]
ISPRS = [*isprs_baselines.rows("imagenet"), *isprs_baselines.rows(None, isprs_baselines.SMALL)]
CONTEST = [row for made_up in (True, False) for row in dfc2015_baselines.rows("imagenet", made_up=made_up)]
NETWORKS = [
    one for table in (isprs_segnet.rows, osm_joint_learning.rows) for size in (True, False) for one in table(small=size)
]
ON_TILES = [row for tile in real_tiles.READERS for row in real_tiles.tile_rows(tile, CONTEST)]


@pytest.mark.parametrize(
    "rows", [ISPRS, CONTEST, ON_TILES, [one.row for one in NETWORKS]], ids=["isprs", "dfc2015", "tiles", "networks"]
)
def test_every_row_resolves_to_a_recipe(rows: list[Row]) -> None:
    assert rows
    for row in rows:
        recipe, task = load_recipe(row.recipe, overrides=row.overrides)
        assert isinstance(recipe, task.recipe), row.name


def test_networks_of_the_rows_can_be_built() -> None:
    for one in NETWORKS:
        recipe, _ = load_recipe(one.row.recipe, overrides=one.row.overrides)
        model = recipe.model
        if "width" not in str(model.options) and model.network != "osmnet":
            continue  # the whole networks are those of the recipes' own tests
        bands = {"image": 3, "ndsm": 1, "osm": 4}
        network = create_model(
            str(model.network), in_channels=sum(bands[layer] for layer in model.layers), num_classes=6, **model.options
        )
        assert sum(parameter.numel() for parameter in network.parameters()) < 4_000_000, one.row.name


def test_rows_come_with_those_whose_runs_they_start_from() -> None:
    table = isprs_segnet.rows(small=True)
    names = [one.row.name for one in seeds.choose_rows(table, [isprs_segnet.CORRECTION])]
    assert names == [isprs_segnet.IMAGE, isprs_segnet.HEIGHTS, isprs_segnet.CORRECTION]


def test_an_ordering_is_reported_with_the_seeds_in_which_it_held() -> None:
    outcomes = {
        name: [Outcome(name, {"overall_accuracy": score}) for score in scores]
        for name, scores in {"a": (0.5, 0.7, 0.9), "b": (0.4, 0.8, 0.7)}.items()
    }
    text = seeds.Ordering("a", "b", "OA", seeds.accuracy).describe(outcomes)
    assert text == "- a > b in OA: held on average, +6.67 ± 15.28 points; in 2 of 3 seeds"
    assert "did NOT hold" in seeds.Ordering("b", "a", "OA", seeds.accuracy).describe(outcomes)
    assert "not measured" in seeds.Ordering("a", "c", "OA", seeds.accuracy).describe(outcomes)


def test_isprs_rows_stand_beside_those_of_the_papers() -> None:
    names = {row.name for row in ISPRS}
    vaihingen, potsdam = (DatasetCard.load(f"isprs_{dataset}").published for dataset in ("vaihingen", "potsdam"))
    assert len(names & vaihingen.keys()) == 4
    assert "RF IRRGB" in names & potsdam.keys()
    assert vaihingen["Superpixels + frozen AlexNet, 32 + 64 + 128 px"].overall_accuracy == 82.41


def test_the_contest_is_scored_with_and_without_borders(tmp_path: Path) -> None:
    make_dataset(
        tmp_path / "data", "isprs_vaihingen", ["1", "3", "5", "15"], ["image", "labels", "labels_eroded", "dsm"]
    )
    card = DatasetCard.load("isprs_vaihingen")
    few = card.model_copy(update={"splits": {"few": {"train": ("1", "3"), "test": ("5", "15")}}})
    scenes = isprs_baselines.contest(few, tmp_path / "data", None)
    assert set(scenes.test) == {"5", "15"}
    row = Row(
        "RF IRRGB",
        "baselines/random-forest",
        ("estimator.trees=3", "model.max_samples=300", *real_tiles.SPLIT, isprs_baselines.bands("isprs_vaihingen")),
    )
    text = isprs_baselines.whole_table([row], scenes, tmp_path / "out", few, "Few")
    assert "SegNet (JURSE 2017) | published" in text
    full, eroded = (read_json(tmp_path / "out" / folder / "table.json") for folder in (".", "eroded"))
    assert full["notes"]["reference"] == "full reference"
    assert eroded["notes"]["reference"] == "eroded reference, files given out"
    first, second = (one["ours"]["RF IRRGB"]["scores"]["inputs"][0]["reference"] for one in (full, eroded))
    assert "noBoundary" in second
    assert "noBoundary" not in first


def test_halves_are_cut_where_they_share_more_classes() -> None:
    labels = np.zeros((100, 120), np.uint8)
    labels[60:] = 1  # a class below: upper and lower halves would share one class, left and right share both
    labels[:, 55:65] = VOID
    tile = real_tiles.RealTile(Legend.load("isprs"), real_tiles.pixel_grid(labels), labels, {})
    assert real_tiles.halves(tile) == {"left": Window(0, 0, 100, 44), "right": Window(0, 76, 100, 44)}
    turned = real_tiles.RealTile(Legend.load("isprs"), real_tiles.pixel_grid(labels.T), labels.T, {})
    assert real_tiles.halves(turned) == {"upper": Window(0, 0, 44, 100), "lower": Window(76, 0, 44, 100)}


def test_quarters_share_no_pixel_and_keep_a_gap(tmp_path: Path) -> None:
    rows, cols = np.mgrid[:100, :120]
    numbers = (rows * 120 + cols).astype(np.int32)
    labels = np.zeros((100, 120), np.uint8)
    tile = real_tiles.RealTile(
        Legend.load("isprs"), real_tiles.pixel_grid(labels), labels, {"image": (numbers[None], ("number",))}
    )
    first, second = real_tiles.folds_of_quarters(tile, "site", tmp_path)
    assert (first.train, first.test) == (second.test, second.train)
    assert list(first.train) == ["site-upper-left", "site-lower-right"]
    trained, tested = (
        np.concatenate([Layer.open(one["image"]).read()[0].ravel() for one in part.values()])
        for part in (first.train, first.test)
    )
    assert len(np.unique(trained)) == len(np.unique(tested)) == 2 * 34 * 44
    apart = [
        np.abs(np.subtract.outer(*(np.divmod(part, 120)[axis][::7] for part in (trained, tested)))) for axis in (0, 1)
    ]
    assert np.maximum(*apart).min() > real_tiles.GAP_PX


def test_gaps_between_points_are_filled_by_the_nearest() -> None:
    heights = np.array([[1, np.nan, np.nan, np.nan, 9]], np.float32)
    assert real_tiles.fill_nearest(heights)[0, [0, 1, 3, 4]].tolist() == [1, 1, 9, 9]
    classes = np.array([[2, 0, 0, 0, 0, 6]], np.uint8)
    assert real_tiles.fill_classes(classes, 1).tolist() == [[2, 2, 0, 0, 6, 6]]


def test_tiles_of_points_are_skipped_where_their_reader_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "laspy", None)  # imports of it fail

    def cloud(folder: Path) -> real_tiles.RealTile:
        real_tiles.grid_points([folder / "cloud.laz"], 1.0)
        raise AssertionError("read without a reader")

    (tmp_path / "cloud").mkdir()
    monkeypatch.setattr(real_tiles, "READERS", {"cloud": ("cloud", cloud)})
    assert real_tiles.tile_folds(tmp_path, tmp_path / "out") == {}
    assert 'cloud is skipped: laspy is not installed. Install it: pip install "deepnets4eo[points]"' in caplog.text


def test_clouds_are_neither_cut_nor_written_without_the_extra_and_the_message_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "laspy", None)  # imports of it fail
    with raises_naming(MissingExtraError, "deepnets4eo"):
        semantic3d_snapnet.write_halves(tmp_path / "cloud.las", tmp_path)
    with raises_naming(MissingExtraError, "deepnets4eo"):
        semantic3d_snapnet.write_city(0, tmp_path, 64)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["vaihingen", "ign", "delft"])
def test_real_tiles_are_cut_with_ground_between(name: str, real_data: Path, tmp_path: Path) -> None:
    if name in ("ign", "delft"):
        pytest.importorskip("laspy")
    if not (real_data / real_tiles.READERS[name][0]).is_dir():
        pytest.skip(f"the sample of {name} is not in {real_data}")
    legend, (first, second) = real_tiles.tile_folds(real_data, tmp_path, [name])[name]
    assert first.train == second.test
    assert second.train == first.test
    boxes = []
    for sources in (*first.train.values(), *first.test.values()):
        scene = Scene.open(None, **sources)
        labels = scene.read(Window(0, 0, *scene.shape), ["labels"])["labels"]
        assert set(np.unique(labels)) <= {*legend.values, VOID}
        assert (labels != VOID).mean() > 0.3
        boxes.append(scene.grid.extent.boundingbox)
    pixel = abs(scene.grid.affine.a)
    apart = (boxes[1].left - boxes[0].right, boxes[0].bottom - boxes[1].top)
    assert max(apart) == pytest.approx(real_tiles.GAP_PX * pixel)


def published_rows() -> dict[str, seeds.NetworkRow]:
    return {one.row.name: one for one in isprs_segnet.rows(small=False, published=True, vgg="vgg.safetensors")}


def test_the_published_protocol_is_set_in_every_row() -> None:
    rows = published_rows()
    assert len(rows) == 7
    for one in rows.values():
        recipe, _ = load_recipe(one.row.recipe, overrides=one.row.overrides)
        data, train, tiles = recipe.data, recipe.train, recipe.predict
        assert (data.val_share, data.sampling, data.scaling, data.tile_px) == (0, "scenes", "unit", 256), one.row.name
        assert (data.windows_per_epoch, train.batch_size, train.epochs) == (10_000, 10, 50)
        assert (train.optimizer, train.lr, train.momentum, train.weight_decay) == ("sgd", 0.01, 0.9, 5e-4)
        assert (train.schedule, train.step_epochs, train.step_factor) == ("step", (25, 35, 45), 0.1)
        assert (train.flips, train.rotations, train.photometric, train.keep) == (True, False, 0, "last")
        assert (train.encoder_lr_factor, train.decay, train.precision) == (1, "all", "float32")
        assert (tiles.tile_px, tiles.halo_px, tiles.overlap_px) == (256, 0, 224)
        assert (tiles.scores, tiles.blending) == ("log-probabilities", "uniform")
        assert "conv-relu-bn" in str(recipe.model.options)


def test_first_weights_are_vggs_or_those_of_the_two_segnets() -> None:
    rows = published_rows()
    two = (isprs_segnet.IMAGE, isprs_segnet.HEIGHTS)
    for name, one in rows.items():
        first = load_recipe(one.row.recipe, overrides=one.row.overrides)[0].model.first_weights
        from_runs = name in (isprs_segnet.AVERAGE, isprs_segnet.CORRECTION, isprs_segnet.VIRTUAL)
        assert one.streams == (two if from_runs else ())
        assert first == ([] if from_runs else ["vgg.safetensors"] * (2 if name == isprs_segnet.FUSE else 1)), name


@pytest.fixture
def contest(tmp_path: Path) -> Path:
    card = DatasetCard.load("isprs_vaihingen")
    tiles = [tile for part in card.splits["deepnetsforeo"].values() for tile in part]
    make_dataset(tmp_path / "data", card.name, tiles, ["image", "labels", "labels_eroded", "dsm", "ndsm"])
    return tmp_path / "data"


def run_script(script: object, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [script.__name__, *map(str, arguments)])  # type: ignore[attr-defined]
    script.main()  # type: ignore[attr-defined]


def test_the_protocol_runs_from_one_command(
    contest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, vgg = tmp_path / "out", tmp_path / "vgg.safetensors"
    encoder = SegNetEncoder(3, width=2)
    state = {
        f"features.{2 * number + part}.{key}": value
        for number, names in enumerate(conv_and_norm_names(encoder))
        for part, name in enumerate(names)
        for key, value in encoder.get_submodule(name).state_dict().items()
    }
    save_file(state, vgg)
    run_script(
        isprs_segnet, monkeypatch, "--out", out, "--data", contest, "--protocol", "deepnetsforeo", "--smoke", "--width", 2,
        "--vgg", vgg, "--rows", isprs_segnet.AVERAGE,
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert "these figures mean NOTHING" in printed
    seed = out / "seed-0"
    average = seed / "averaging" / "run"
    assert not list((average / "checkpoints").glob("*.safetensors"))  # nothing was learnt
    assert read_json(average / "card.json")["notes"]["seconds"] == 0
    kept, members = load_file(average / "weights.safetensors"), [seed / "segnet", seed / "segnet-heights"]
    for number, member in enumerate(members):
        own = load_file(member / "run" / "weights.safetensors")
        of_stream = [
            value for name, value in kept.items() if f".{number}." in name[:14] and name.endswith("stages.0.0.weight")
        ]
        assert any(np.array_equal(own["encoder.stages.0.0.weight"], value) for value in of_stream)
    assert read_json(seed / "segnet" / "run" / "metrics.json")["protocol"]["name"] == "not validated"
    composite = Scene.open(None, composite=str(out / "composite" / "1.tif"), ndsm=str(out / "smoke" / "1" / "ndsm.tif"))
    sample = composite.read()
    assert np.array_equal(sample["composite"][1], sample["ndsm"][0])  # the dataset's, not one of ours


def test_all_training_tiles_are_those_of_the_notebook(contest: Path) -> None:
    scenes = isprs_baselines.contest(DatasetCard.load("isprs_vaihingen"), contest, "deepnetsforeo")
    assert list(scenes.train) == ["1", "3", "7", "11", "13", "17", "23", "26", "28", "32", "34", "37"]
    assert list(scenes.test) == ["5", "15", "21", "30"]
    assert "ndsm" in scenes.train["1"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_that_trains_can_be_tried(script: str) -> None:
    text = (EXPERIMENTS / f"{script}.py").read_text(encoding="utf-8")
    assert "add_smoke(parser)" in text or "contest_options(" in text


def test_a_script_starts_after_all_of_its_functions() -> None:
    for path in EXPERIMENTS.rglob("*.py"):
        after = path.read_text(encoding="utf-8").partition('\nif __name__ == "__main__":\n')[2]
        assert not re.findall(r"(?m)^(?:def|class) \w+", after), path.name


def test_a_smoke_row_takes_two_steps() -> None:
    for row in [*isprs_baselines.rows(), *(one.row for one in NETWORKS)]:
        short = script.shorten(row)
        recipe, _ = load_recipe(short.recipe, overrides=short.overrides)
        assert recipe.train.epochs * recipe.data.windows_per_epoch // recipe.train.batch_size == 2, row.name


def test_what_is_not_there_is_one_line_that_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.laz").touch()
    (tmp_path / "a.laz").touch()
    assert [path.name for path in script.require_files(tmp_path, "*.las", "*.laz")] == ["a.laz", "b.laz"]
    for folder, patterns, message in (
        (tmp_path / "typo", ["*.laz"], "there is no such folder"),
        (tmp_path, ["*.las"], "it has no *.las"),
        (tmp_path, ["joplin", "loveda"], "it has none of joplin, loveda"),
    ):
        with pytest.raises(SystemExit) as ended, script.plain_errors():
            script.require_files(folder, *patterns)
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith(f"Error: {folder}: {message}. Give the folder")
    with pytest.raises(InputError, match="it has no post"):
        script.require_all(tmp_path, ("b.laz", "post"))


def test_aerial_lidar_refuses_an_empty_folder_and_folds_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["aerial_lidar.py", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    with raises_naming(InputError, "ahn3_delft"):
        aerial_lidar.main()
    assert not (tmp_path / "out").exists()
    city = aerial_lidar.Fold([], PointCloud(np.zeros((1, 3))), 0)
    assert aerial_lidar.choose_folds("minicity", [city], None) == [city]
    with raises_naming(InputError, "--folds", "no fold 99", "0 to 0"):
        aerial_lidar.choose_folds("minicity", [city], [99])


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_experiment_that_is_stopped_says_how_to_go_on(
    stop: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    # A shell starts what runs in its background with SIGINT ignored, and Python then leaves it so.
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as ended, script.plain_errors():
            signal.raise_signal(stop)
    finally:
        signal.signal(signal.SIGINT, interrupt)
    assert ended.value.code == 130
    assert (
        capsys.readouterr().err
        == "Interrupted. Finished rows and runs are kept: call it again with the same --out to go on.\n"
    )
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("program", sorted(path.name for path in EXPERIMENTS.glob("*.py") if "add_argument" in path.read_text(encoding="utf-8")))  # fmt: skip
def test_experiments_take_their_data_by_data_and_write_where_out_says(program: str) -> None:
    text = (EXPERIMENTS / program).read_text(encoding="utf-8")
    assert not re.search(r'"--(samples|cube|nyu|folder|ign|sun|tabletop|joplin|xbd|bright|cloud|clouds)"', text)
    assert not re.search(r'"--out", (?!.*(required=True|default=None))', text), (
        "where an experiment writes is never guessed"
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,Forest\n", "1 missing ids, e.g. 1"),
        ("0,Forest\n0,River\n1,River\n", "1 double ids, e.g. 0"),
        ("0,Forest\n1,River\n2,River\n", "1 unknown ids, e.g. 2"),
        ("0,Forest\n1,Glacier\n", "the class 'Glacier'"),
        ("0,Forest,1\n1,River\n", "line 2 has 3 cells"),
    ],
)
def test_a_submission_of_few_labels_is_checked(rows: str, message: str, tmp_path: Path) -> None:
    legend = Legend.load("eurosat")
    path = eurosat_few_labels.write_submission(
        tmp_path / "submission.csv", ["Forest", "River"], legend.names, ["0", "1"]
    )
    assert path.read_text(encoding="utf-8") == "Id,Category\n0,Forest\n1,River\n"
    path.write_text(f"Id,Category\n{rows}", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        eurosat_few_labels.check_submission(path, ["0", "1"], legend.names)


def test_ids_and_numbers_of_classes_follow_the_sample_of_the_challenge(tmp_path: Path) -> None:
    sample = tmp_path / "sampleSubmission.csv"
    assert eurosat_few_labels.read_sample(sample, 2) == (["0", "1"], False)
    sample.write_text("Id,Category\nimg_7,3\nimg_2,0\n", encoding="utf-8")
    assert eurosat_few_labels.read_sample(sample, 2) == (["img_7", "img_2"], True)
    with raises_naming(InputError, "sampleSubmission.csv", "2 rows"):
        eurosat_few_labels.read_sample(sample, 3)


def test_the_archives_of_the_challenge_are_learnt_from_and_a_submission_is_written(tmp_path: Path) -> None:
    """A small copy: ten classes that differ in their colour, under the challenge's names, one archive as a folder of images."""
    rng, legend = np.random.default_rng(0), Legend.load("eurosat")
    colours = rng.integers(40, 215, (10, 3))

    def write(name: str, of: np.ndarray, **arrays: np.ndarray) -> np.ndarray:
        images = (colours[of][:, None, None] + rng.normal(0, 6, (len(of), 16, 16, 3))).clip(0, 255).astype(np.uint8)
        np.savez(tmp_path / f"{name}.npz", images=images, **arrays)
        return images

    labels = np.arange(40) % 10
    write("eurosat_train", labels, labels=labels)
    write("eurosat_valid", labels[:20], labels=labels[:20])
    write("eurosat_unsup", labels)
    write("bigearthnet_rgb", labels)
    for number, image in enumerate(write("test", labels[:12])):
        write_geotiff(tmp_path / "test" / f"{number:05d}.png", np.moveaxis(image, 2, 0), driver="PNG", crs=None)
    (tmp_path / "test.npz").unlink()
    out = tmp_path / "out"
    path = eurosat_few_labels.enter_challenge(tmp_path, out, "none", eurosat_few_labels.SMOKE)
    rows = path.read_text(encoding="utf-8").splitlines()
    assert rows[0] == "Id,Category"
    assert [row.split(",")[0] for row in rows[1:]] == [str(number) for number in range(12)]
    listed = ImageData(folders=(str(tmp_path / "test"),), file_bands=eurosat_few_labels.RGB)
    chosen = classify_images(load_run(out / "none"), list_unlabelled(listed)).argmax(axis=1)
    assert [row.split(",")[1] for row in rows[1:]] == [legend.names[index] for index in chosen]
    assert eurosat_few_labels.enter_challenge(tmp_path, out, "none").read_text(encoding="utf-8").splitlines() == rows
    assert eurosat_few_labels.test_accuracy(tmp_path, out) is None
    np.savez(tmp_path / "test.npz", images=np.zeros(12), labels=np.where(np.arange(12) < 9, chosen, 9 - chosen))
    assert eurosat_few_labels.test_accuracy(tmp_path, out) == 0.75
    (tmp_path / "eurosat_unsup.npz").unlink()
    with raises_naming(InputError, "eurosat_unsup.npz", "eurosat_unsup", "eurosat_unsup.csv"):
        eurosat_few_labels.enter_challenge(tmp_path, out, "none")


def test_a_recipe_and_the_plain_loop_learn_and_are_scored_alike(tmp_path: Path) -> None:
    """Two steps of a small U-Net each; scores of a labelling are counted by hand, beyond the padding and without void."""
    legend = equal_steps.DUBAI
    rng = np.random.default_rng(0)
    for name in ("learnt", "tested"):
        labels = np.kron(rng.integers(1, 3, (5, 5)), np.ones((32, 32), int)).astype(np.uint8)
        labels[:4] = 0
        image = (labels * 60 + rng.integers(0, 30, (3, 160, 160))).astype(np.uint8)
        write_geotiff(tmp_path / name / "image.tif", image, gsd=1.0)
        write_geotiff(tmp_path / name / "labels.tif", labels, gsd=1.0)
    parts = [{n: {k: str(tmp_path / n / f"{k}.tif") for k in ("image", "labels")}} for n in ("learnt", "tested")]
    small = ("model.network=light-unet", "model.encoder=null", "data.val_share=0", "train.precision=float32")
    fold = equal_steps.Fold("made up", legend, *parts, network=("light-unet",), tile_px=32, overrides=small)
    ours = equal_steps.by_recipe(fold, (), 0, 2, tmp_path / "run")
    plain = equal_steps.scores_of(equal_steps.by_plain_loop(fold, 0, 2))
    assert ours.keys() == {"best", "last"}
    assert all(0 <= score <= 100 for way in (*ours.values(), plain) for score in way.values())
    for way, least in zip(
        equal_steps.SUPERPIXELS, (60, 90), strict=True
    ):  # two classes of other colours; regions of SLIC cross them
        assert equal_steps.score(fold, way, 0, 2, tmp_path / "run")["last"]["overall_accuracy"] > least, way
    figures: equal_steps.Figures = {}
    for half, score in enumerate((60.0, 80.0), 1):
        equal_steps.merge(figures, {"way": {"last": {f"potsdam, half {half}": {"mean_iou": [score, score + 1]}}}})
    assert figures["way"]["last"]["potsdam"] == figures["way"]["last"]["all halves"] == {"mean_iou": [70, 71]}
    pixels = fold.read(fold.test)
    scores = equal_steps.scores_of(
        equal_steps.matrix_of(lambda image: np.zeros(image.shape[1:], np.uint8), pixels, legend.num_classes)
    )
    truth = pixels[0][1][4:]
    assert scores["overall_accuracy"] == pytest.approx(100 * (truth == 0).mean())


def test_masks_of_dubai_are_read_by_colour_palettes_too(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)
    colours = np.array([[155, 155, 155], *(one.color for one in equal_steps.DUBAI.classes)], np.uint8)
    (tmp_path / "tile_1" / "masks").mkdir(parents=True)
    Image.fromarray(colours[labels]).save(tmp_path / "tile_1" / "masks" / "colours.png")
    palette = Image.fromarray(labels)
    palette.putpalette(colours.tobytes())
    palette.save(tmp_path / "tile_1" / "masks" / "palette.png")
    parts = equal_steps.dubai_tiles(tmp_path, tmp_path / "out")
    assert sorted(parts) == ["tile_1-colours", "tile_1-palette"]
    for files in parts.values():
        np.testing.assert_array_equal(Layer.open(files["labels"], labels=True).read()[0][0], labels)


def test_months_of_dynamicearthnet_follow_the_published_lists_and_snow_is_void(tmp_path: Path) -> None:
    classes = np.array([[0, 1, 2], [3, 4, 5], [6, 6, 0]])
    bands = np.where(np.arange(7)[:, None, None] == classes, 255, 0).astype(np.uint8)
    bands[:, 2, 2] = 0  # no class
    lines = []
    for month in ("2018-02", "2018-01"):
        write_geotiff(tmp_path / "planet" / "a" / "PF-SR" / f"{month}-01.tif", np.ones((4, 3, 3), np.uint16))
        write_geotiff(tmp_path / "labels" / "a_33N" / "Raster" / f"a-33N-{month.replace('-', '_')}_01.tif", bands)
        lines.append(f"/planet/a/PF-SR /labels/a_33N/Raster {month}")
    (tmp_path / "train.txt").write_text("\n".join(lines))
    legend = dynamicearthnet.six_classes()
    (months,) = dynamicearthnet.published_months(tmp_path, "train", tmp_path / "out", legend).values()
    assert [Path(one["image"]).stem for one in months] == ["2018-01-01", "2018-02-01"]
    labels = Layer.open(months[1]["labels"], labels=True)
    assert labels.as_stored().read(Window(0, 0, 3, 3))[0][0].tolist() == [[0, 1, 2], [3, 4, 5], [255, 255, 255]]
    assert labels.legend == legend
    assert legend.num_classes == 6
    (tmp_path / "test.txt").write_text("/planet/a/PF-SR 2018-01")
    with raises_naming(InputError, "test.txt", "2 words"):
        dynamicearthnet.published_months(tmp_path, "test", tmp_path / "out", legend)


def test_water_of_both_kinds_is_merged_from_the_same_counts() -> None:
    """Of 8 wet pixels 2 are called the other kind of water and 2 dry; no dry one is called wet."""
    counts = ConfusionMatrix.from_matrix(np.array([[8, 0, 0], [1, 2, 1], [1, 1, 2]]))
    dry, permanent, flood, water = kuro_siwo.f1_of(counts)
    assert (permanent, flood) == (pytest.approx(4 / 7), pytest.approx(4 / 7))
    assert dry == pytest.approx(16 / 18)
    assert water == pytest.approx(12 / 14)


def test_names_of_rows_that_a_table_lacks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script.check_names(["a"], ["a", "b"])
    script.check_names(None, ["a"])
    for program, name in ((isprs_baselines, "RF, pixel"), (isprs_segnet, "SegNett"), (dfc2015_baselines, "RGB/SVN")):
        monkeypatch.setattr(sys, "argv", [program.__name__, "--out", str(tmp_path), "--rows", name])
        with pytest.raises(InputError, match="Did you mean"):
            program.main()
