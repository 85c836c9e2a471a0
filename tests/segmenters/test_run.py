"""Run folders: what they hold, and that damage, foreign folders and scenes that do not fit are refused."""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from refusals import raises_naming
from sklearn.linear_model import LogisticRegression

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards import Legend
from deepnets4eo.errors import RunError
from deepnets4eo.files import read_yaml
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import Ensemble, InputSpec, NetworkSegmenter, load_run, open_sealed, plot_runs, seal
from deepnets4eo.segmenters.checksums import hash_of
from deepnets4eo.segmenters.history import read_log, write_log
from deepnets4eo.segmenters.run import save_run

LEGEND = Legend.load("isprs")
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (3, 64, 64), dtype=np.uint8)


def grid(gsd_m=0.5, crs="EPSG:32615"):
    return GeoBox((64, 64), Affine(gsd_m, 0, 500_000, 0, -gsd_m, 4_000_000), crs)


def scene(image=IMAGE, **where):
    return Scene({"image": Layer.open(image, grid=grid(**where))})


INPUTS = InputSpec.measure([scene()])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run of a small network, which no test changes."""
    segmenter = NetworkSegmenter(
        {"name": "unet", "encoder": "tu-test_resnet", "encoder_depth": 3, "decoder_channels": [8, 8, 8]}, INPUTS, LEGEND
    )
    folder = tmp_path_factory.mktemp("saved") / "run"
    return save_run(segmenter, folder, recipe={"train": {"epochs": 3}}, seed=7, notes={"scenes": 2})


@pytest.fixture
def folder(saved, tmp_path):
    """That run, to be changed."""
    return shutil.copytree(saved, tmp_path / "run")


def test_a_run_holds_all_that_prediction_needs_and_says_how_it_was_made(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"card.json", "legend.yaml", "recipe.yaml", "weights.safetensors"}
    run = load_run(folder)
    assert run.recipe == read_yaml(folder / "recipe.yaml") == {"train": {"epochs": 3}}
    assert run.card["recipe_sha256"] == hash_of({"train": {"epochs": 3}})
    assert run.card["recipe_sha256"] in (folder / "recipe.yaml").read_text().splitlines()[0]
    assert (run.card["seed"], run.card["notes"]) == (7, {"scenes": 2})
    assert {"python", "torch", "deepnets4eo"} <= run.card["versions"].keys()
    assert (run.legend, run.inputs) == (LEGEND, INPUTS)


def test_a_run_holds_no_user_and_no_signature_of_an_address(folder, tmp_path):
    address = "https://me:word@example.org/a.tif?sig=abc"
    recipe, notes = {"data": {"scenes": [{"image": address}]}}, {"scenes": {"a": {"image": address}}}
    run = load_run(save_run(load_run(folder).segmenter, tmp_path / "signed", recipe=recipe, notes=notes))
    assert run.card["notes"] == {"scenes": {"a": {"image": "https://example.org/a.tif"}}}
    for path in run.folder.iterdir():
        assert not [secret for secret in (b"word", b"sig=") if secret in path.read_bytes()]


def test_a_mix_transformer_is_opened_again_though_its_size_cannot_be_asked_without_values(tmp_path):
    pytest.importorskip("segmentation_models_pytorch")
    segmenter = NetworkSegmenter({"name": "unet", "encoder": "mit_b0"}, INPUTS, LEGEND)
    restored = load_run(save_run(segmenter, tmp_path / "run")).segmenter
    ours, theirs = (one.module.state_dict() for one in (segmenter, restored))
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_the_files_of_a_run_follow_the_umask(tmp_path):
    segmenter = NetworkSegmenter({"name": "patch-alexnet", "width": 1}, INPUTS, LEGEND)
    before = os.umask(0o027)
    try:
        for name, saved in (("one", segmenter), ("two", Ensemble([segmenter, segmenter]))):
            save_run(saved, tmp_path / name)
    finally:
        os.umask(before)
    for name, count in (("one", 4), ("two", 5)):
        files = list((tmp_path / name).iterdir())
        assert len(files) == count
        assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o640"}


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def edit_card(folder, **values):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | values))


def seal_with(folder, **values):
    """A card that is consistent in itself but says something else."""
    card = json.loads((folder / "card.json").read_text())
    seal(folder, {key: value for key, value in card.items() if key != "card_sha256"} | values, card["files"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: truncate(run / "weights.safetensors"), r"weights\.safetensors has \d+ bytes, its card says \d+: it is truncated"),
        (lambda run: flip_a_bit(run / "weights.safetensors"), r"weights\.safetensors was changed after the run was sealed"),
        (lambda run: flip_a_bit(run / "recipe.yaml"), r"recipe\.yaml was changed after the run was sealed"),
        (lambda run: (run / "legend.yaml").unlink(), r"legend\.yaml is missing from the run"),
        (lambda run: (run / "card.json").unlink(), r"has no card\.json, so it is not a run"),
        (lambda run: truncate(run / "card.json"), r"card\.json is not valid JSON.*truncated or damaged"),
        (lambda run: (run / "card.json").write_text('{"name": "resnet"}'), "does not describe a deepnets4eo run"),
        (lambda run: edit_card(run, seed=8), r"card\.json was changed after the run was sealed"),
        (lambda run: edit_card(run, format_version=99), "has format version 99"),
        (lambda run: seal_with(run, kind="oracle"), "segmenter of kind 'oracle'"),
        (lambda run: seal_with(run, kind="points-features"), "labels the points of a cloud .*deepnets4eo label-points CLOUD --model RUN"),
        (lambda run: seal_with(run, segmenter={"network": {"name": "no-such-net"}}), "cannot be rebuilt: network 'no-such-net'.*Train the run again"),
        (lambda run: seal_with(run, segmenter={"network": {"name": "fpn", "encoder": "resnet18"}}), "does not belong to the network"),
        (lambda run: seal_with(run, inputs={"layers": 3}), "describes its inputs"),
        (lambda run: seal_with(run, tiling={"tile": 3}), "cannot be rebuilt"),
    ],
)  # fmt: skip
def test_damaged_and_foreign_runs_are_refused(folder, damage, message):
    damage(folder)
    with pytest.raises(RunError, match=message):
        load_run(folder)


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(RunError, match="is not a folder. Give the run folder"):
        load_run(tmp_path / "nowhere")


def test_files_outside_the_run_are_not_read(folder):
    (folder.parent / "other.txt").write_text("x")
    card = json.loads((folder / "card.json").read_text())
    seal(
        folder, {key: card[key] for key in ("kind", "segmenter", "inputs", "tiling")}, [*card["files"], "../other.txt"]
    )
    with pytest.raises(RunError, match="is not inside the run"):
        load_run(folder)


def test_truncated_estimator_is_refused_also_with_a_matching_seal(tmp_path):
    labelled = Scene({**scene().layers, "labels": Layer.open((IMAGE[0] > 127).astype(np.uint8), grid=grid())})
    segmenter = PixelClassifier(LogisticRegression(), INPUTS, LEGEND).fit([labelled], max_pixels=500)
    folder = save_run(segmenter, tmp_path / "run")
    truncate(folder / "estimator.skops")
    seal_with(folder)
    with raises_naming(RunError, "estimator.skops"):
        load_run(folder)


def named(names):
    layer = INPUTS.layers["image"]
    return InputSpec({"image": dataclasses.replace(layer, bands=tuple(names))}, INPUTS.gsd_m)


class Renamed(Layer):
    """A layer whose file names its bands."""

    band_names = ["red", "green", "blue"]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (scene(IMAGE[:2]), r"layer 'image' \(array\) has 2 bands, training had 3"),
        (scene((IMAGE / 255).astype(np.float32)), r"has float32 values from 0\.\d+ to 0\.99.*, training had uint8 values from"),
        (scene(IMAGE.astype(np.uint16) * 40), r"has uint16 values from .*convert them to the same kind"),
        (scene(gsd_m=2.0), r"its pixels measure 2 m, those of training 0\.5 m \(more than a factor of 2\)"),
        (scene(gsd_m=0.1), r"its pixels measure 0\.1 m"),
        (Scene({"photo": Layer.open(IMAGE)}), r"layer 'image' is missing \(the scene has \['photo'\]\); give image=FILE"),
    ],
)  # fmt: skip
def test_scenes_that_do_not_fit_are_refused_with_the_difference(found, message):
    with pytest.raises(RunError, match=message):
        INPUTS.check(found)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("blue", "green", "red"), r"has bands in the order \(red, green, blue\), training had \(blue, green, red\)"),
        (("red", "green", "nir"), r"has bands named \(red, green, blue\), training had \(red, green, nir\)"),
    ],
)
def test_bands_in_another_order_are_refused(names, message):
    layer = Renamed(Layer.open(IMAGE, grid=grid())._source)
    with pytest.raises(RunError, match=message):
        named(names).check(Scene({"image": layer}))


@pytest.mark.parametrize(
    "found",
    [
        scene(),
        scene(gsd_m=0.9),
        scene(gsd_m=0.9, crs=None),
        scene(IMAGE.astype(np.uint16)),
        scene(IMAGE // 60),  # a dark scene of the same type
        Scene({"image": Layer.open(IMAGE), "dsm": Layer.open(IMAGE[:1])}),
    ],
)
def test_scenes_that_fit_pass(found):
    INPUTS.check(found)


def test_all_differences_are_named_at_once():
    with raises_naming(RunError, "'image'", "1"):
        INPUTS.check(scene(IMAGE[:1], gsd_m=5.0))


def test_scaling_gives_zero_mean_unit_variance_and_zero_where_invalid():
    sample = scene().read()
    sample["valid"] = RNG.random((64, 64)) > 0.3
    prepared = INPUTS.prepare(sample)
    whole = INPUTS.prepare(scene().read())
    np.testing.assert_allclose(whole.mean(axis=(1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(whole.std(axis=(1, 2)), 1, atol=1e-3)
    assert (prepared[:, ~sample["valid"]] == 0).all()
    np.testing.assert_array_equal(prepared[:, sample["valid"]], whole[:, sample["valid"]])


def test_described_inputs_come_back_equal():
    assert InputSpec.from_dict(json.loads(json.dumps(INPUTS.to_dict()))) == INPUTS


def seal_by_hand(folder, change):
    """A card that signs itself whatever it says, as an editor of runs would write it."""
    card = json.loads((folder / "card.json").read_text())
    card.pop("card_sha256")
    change(card)
    (folder / "card.json").write_text(json.dumps(card | {"card_sha256": hash_of(card)}))


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.pop("files"),
        lambda card: card.update(files=["weights.safetensors"]),
        lambda card: card["files"].update({"weights.safetensors": "x"}),
        lambda card: card["files"]["weights.safetensors"].update(bytes="many"),
        lambda card: card["files"]["weights.safetensors"].pop("sha256"),
    ],
)
def test_a_sealed_card_whose_list_of_files_is_none_is_refused(folder, change):
    seal_by_hand(folder, change)
    with raises_naming(RunError, "card.json"):
        load_run(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.update(segmenter=3),
        lambda card: card["segmenter"].update(network=["unet"]),
        lambda card: card["segmenter"]["network"].update(encoder_depth="deep"),
        lambda card: card.update(tiling=[64, 8]),
        lambda card: card["tiling"].update(tile_px="wide"),
        lambda card: card["tiling"].update(speed=1),
        lambda card: card["inputs"]["layers"]["image"].update(std=[0, 0, 0]),
        lambda card: card["inputs"]["layers"]["image"].update(mean=["a", "b", "c"]),
        lambda card: card["inputs"]["layers"]["image"].update(mean=[1.0]),
        lambda card: card["inputs"]["layers"]["image"].update(low=None),
        lambda card: card["inputs"]["layers"]["image"].update(dtype="uint7"),
        lambda card: card["inputs"].update(layers={}),
        lambda card: card["inputs"].update(gsd_m=-1),
    ],
)
def test_a_sealed_card_with_values_of_another_kind_is_refused(folder, change):
    seal_by_hand(folder, change)
    with pytest.raises(RunError):
        load_run(folder)


def test_a_sealed_recipe_that_is_no_mapping_is_refused(folder):
    (folder / "recipe.yaml").write_text("[1, 2]")
    seal_with(folder)
    with raises_naming(RunError, "recipe.yaml"):
        load_run(folder)


def test_a_card_that_describes_a_network_beyond_all_memory_is_refused_at_once(tmp_path):
    segmenter = NetworkSegmenter({"name": "segnet", "width": 2}, INPUTS, LEGEND)
    folder = save_run(segmenter, tmp_path / "run")
    assert load_run(folder).segmenter.network["width"] == 2
    seal_by_hand(folder, lambda card: card["segmenter"]["network"].update(width=5_000))
    with raises_naming(RunError, "weights.safetensors", "MB"):
        load_run(folder)


def sealed(folder: Path) -> Path:
    """A folder sealed over one file."""
    (folder / "a.txt").write_text("abc")
    return seal(folder, {"seed": 3}, ["a.txt"])


def test_a_seal_names_size_and_hash_of_every_file(tmp_path):
    card = json.loads(sealed(tmp_path).read_text())
    digest = hashlib.sha256(b"abc").hexdigest()
    assert card["files"] == {"a.txt": {"bytes": 3, "sha256": digest}}
    assert (card["format"], card["format_version"], card["seed"]) == ("deepnets4eo-run", 1, 3)
    own = {key: value for key, value in card.items() if key != "card_sha256"}
    text = json.dumps(own, sort_keys=True, separators=(",", ":"))
    assert card["card_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert open_sealed(tmp_path) == own


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "does not describe a deepnets4eo run"),
        ({"format_version": 2}, "has format version 2, this version of deepnets4eo reads 1"),
        ({"seed": 4}, "was changed after the run was sealed"),
        ({"card_sha256": None}, "was changed after the run was sealed"),
    ],
)
def test_a_card_with_one_thing_changed_is_refused(change, message, tmp_path):
    path = sealed(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RunError, match=message):
        open_sealed(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abd", r"a\.txt was changed .*SHA-256 differs"),
        ("ab", r"a\.txt has 2 bytes, its card says 3"),
        (None, "missing"),
    ],
)
def test_a_file_with_one_thing_changed_is_refused(text, message, tmp_path):
    sealed(tmp_path)
    (tmp_path / "a.txt").unlink()
    if text is not None:
        (tmp_path / "a.txt").write_text(text)
    with pytest.raises(RunError, match=message):
        open_sealed(tmp_path)


def test_the_recipe_in_a_run_is_readable_in_any_language(saved, tmp_path):
    save_run(load_run(saved).segmenter, tmp_path / "run", recipe={"title": "Gebäude – 建物"}, seed=5, notes={"a": 1})
    first, second = (tmp_path / "run" / "recipe.yaml").read_text(encoding="utf-8").splitlines()
    run = load_run(tmp_path / "run")
    assert first == f"# resolved recipe, sha256 {run.card['recipe_sha256']}"
    assert second == "title: Gebäude – 建物"
    assert (run.recipe, run.card["seed"], run.card["notes"]) == ({"title": "Gebäude – 建物"}, 5, {"a": 1})
    assert run.card["versions"].keys() >= {"python", "deepnets4eo", "numpy", "rasterio", "torch", "scikit-learn"}


HISTORY = [{"epoch": 1, "lr": 1e-3, "loss": 2.0}, {"epoch": 2, "lr": 1e-3, "loss": 1.5, "mean_f1": 0.25}]


@pytest.mark.parametrize(("kept", "marked"), [("best", ["kept epoch 2"]), ("last", [])])
def test_a_run_draws_the_curves_of_its_training(folder, kept, marked):
    import matplotlib.pyplot as plt

    write_log(folder / "log.csv", HISTORY)
    run = load_run(folder)
    losses, scores = dataclasses.replace(run, card=run.card | {"notes": {"best_epoch": 2, "kept": kept}}).plot()
    assert losses.figure is scores.figure
    assert (losses.get_ylabel(), scores.get_ylabel()) == ("loss", "score on validation")
    assert [line.get_label() for line in losses.lines] == ["loss", *marked]
    assert losses.lines[0].get_xydata().tolist() == [[1, 2.0], [2, 1.5]]
    assert scores.lines[0].get_xydata().tolist() == [[2, 0.25]]
    plt.close(losses.figure)


def test_runs_are_compared_in_one_figure_by_what_all_of_them_measured(tmp_path):
    import matplotlib.pyplot as plt

    other = [row | {"val_loss": 3.0, "mean_f1": 0.5, "kappa": 0.1} for row in HISTORY]
    for name, history in (("unet", HISTORY), ("segnet", other)):
        (tmp_path / name).mkdir()
        write_log(tmp_path / name / "log.csv", history)
    losses, scores = plot_runs([tmp_path / "unet", tmp_path / "segnet"])
    assert (losses.get_ylabel(), scores.get_ylabel()) == ("loss", "mean f1")
    assert [line.get_label() for line in losses.lines] == ["unet", "segnet"]
    assert [line.get_xydata().tolist() for line in scores.lines] == [[[2, 0.25]], [[1, 0.5], [2, 0.5]]]
    assert [line.get_color() for line in losses.lines] == [line.get_color() for line in scores.lines]
    plt.close(losses.figure)
    losses, scores = plot_runs([tmp_path / "segnet"])
    assert losses.get_ylabel() == "val loss"
    plt.close(losses.figure)
    with raises_naming(RunError, "log.csv"):
        plot_runs([tmp_path / "none"])


def test_a_log_comes_back_as_it_was_written(tmp_path):
    assert read_log(write_log(tmp_path / "log.csv", HISTORY)) == HISTORY


def test_a_run_without_a_log_of_its_training_says_so(folder):
    with raises_naming(RunError, "log.csv"):
        load_run(folder).plot()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"epoch,loss\n",
        b"epoch,loss\n1,low\n",
        b"epoch,loss\n1,2,3\n",
        b"loss\n1\n",
        b"\xff\xfe\n1\n",
        b"a\n\x00\n",
    ],
)
def test_a_log_that_holds_no_epochs_is_refused(tmp_path, content):
    (tmp_path / "log.csv").write_bytes(content)
    with raises_naming(RunError, "log.csv"):
        read_log(tmp_path / "log.csv")
