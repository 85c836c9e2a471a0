"""The network that comes with the toolbox: when it decides, with which head, and the one line that says when not."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from geotiff import write_geotiff
from refusals import raises_naming
from scipy.special import logit
from small_grader import GSD_M, make_grader

from deepnets4eo.damage import DamageMap, Settings, assess
from deepnets4eo.damage.decision import network as decision_network
from deepnets4eo.damage.decision.decision import DecisionModel
from deepnets4eo.damage.decision.model import DamageModel
from deepnets4eo.damage.decision.network import DamageNetwork
from deepnets4eo.damage.network import grader as network_grader
from deepnets4eo.damage.table.columns import columns_of
from deepnets4eo.errors import InputError, MissingExtraError
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import checksums
from deepnets4eo.synthetic import City, Event

pytestmark = pytest.mark.usefixtures("labelled_once", "gathered_once")
NET = columns_of("network")
SHIPPED_FOLDER = (
    network_grader.shipped_folder
)  # as it is; all tests but those of this file see a toolbox without weights
WIDTH = 230


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_grader(tmp_path_factory.mktemp("shipped") / "run")


@pytest.fixture(scope="module")
def loaded(run: Path) -> network_grader.NetworkGrader:
    return network_grader.NetworkGrader.load(run)


@pytest.fixture
def ship_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path | None], None]:
    """A function that puts a run into the toolbox, or takes the one that is there out."""
    return lambda folder: monkeypatch.setattr(network_grader, "shipped_folder", lambda: folder)


@pytest.fixture(scope="module")
def city() -> City:
    return City(5, 320, GSD_M, event=Event(shift_px=(2.0, -3.0), rotation_deg=0.0))


def job(city: City, *, pre: bool = True, **keys: object) -> DamageMap:
    """The map of a city whose pre image shows its left part alone."""
    before = Layer.open(city.pre.image[:, :, :WIDTH], grid=city.pre.grid[:, :WIDTH])
    after = Layer.open(city.post.image, grid=city.post.grid)
    return assess(before if pre else None, after, city.footprints(), settings=Settings(**({"workers": 1} | keys)))


@pytest.fixture(scope="module")
def weight_free(city: City) -> DamageMap:
    """The map that no network had a part in."""
    return job(city, damaged_share=0.5, network=False)


def odds(buildings: pd.DataFrame) -> np.ndarray:
    return logit(np.clip(buildings["damage_prob"].to_numpy(float), 1e-4, 1 - 1e-4))


def test_both_heads_decide_with_their_skill_and_no_network_is_the_weight_free_way(city, run, ship_run, weight_free):
    ship_run(run)
    found, alone = job(city, damaged_share=0.5), weight_free
    frame = found.buildings
    assert not set(NET) & set(alone.buildings.columns)
    model = DamageModel.load("damage-evidence")
    for method, skill in (("pre_post", 0.6), ("post_only", 0.4)):
        rows = (frame["method"] == method).to_numpy()
        assert rows.any()
        network = frame.loc[rows, NET].to_numpy(float)
        np.testing.assert_allclose(network.sum(axis=1), 1, atol=1e-6)
        weight = 0.5 * skill
        own = logit(model.probabilities(alone.buildings[rows])[:, 2:].sum(axis=1).clip(1e-4, 1 - 1e-4))
        expected = (1 - weight) * own + weight * logit(network[:, 2:].sum(axis=1))
        assert np.corrcoef(expected, odds(frame[rows]))[0, 1] > 0.999  # fitted to a site of which nothing is known
    assert "network_not_used" not in {finding.code for finding in found.findings}
    assert found.parameters["network"] is True
    assert "stretch" not in found.parameters
    assert found.parameters["network_weight"] == pytest.approx(0.3)
    assert (alone.parameters["network"], alone.parameters["network_weight"]) == (False, 0.0)


def test_the_network_in_the_box_has_the_weight_that_is_given(city, run, ship_run, weight_free):
    ship_run(run)
    half, none = (job(city, damaged_share=0.5, network_weight=weight) for weight in (0.2, 0.0))
    assert half.parameters["network_weight"] == pytest.approx(0.2 * 0.6)
    np.testing.assert_array_equal(none.buildings["damage_prob"], weight_free.buildings["damage_prob"])
    assert none.buildings["damage_set"].tolist() == weight_free.buildings["damage_set"].tolist()


def test_without_a_pre_image_the_head_of_post_alone_decides(city, run, ship_run):
    ship_run(run)
    found = job(city, pre=False).buildings
    graded = (found["method"] == "post_only").to_numpy()
    assert graded.any()
    assert found.loc[graded, NET].notna().all(axis=None)


@pytest.mark.parametrize("unread", ["grey", "dark", "coarse"])
def test_a_pre_image_that_the_network_cannot_read_leaves_the_map_of_the_post_image(city, run, ship_run, unread):
    ship_run(run)
    image, grid = city.pre.image, city.pre.grid
    if unread == "coarse":  # eight times larger pixels: means of blocks
        rows, cols = (side // 8 for side in image.shape[1:])
        image = image.reshape(-1, rows, 8, cols, 8).mean(axis=(2, 4)).astype(np.uint8)
        grid = Grid((rows, cols), grid.affine * Affine.scale(8), grid.crs)
    elif unread == "grey":
        image = image[1:2]
    else:
        image = image // 12
    after = Layer.open(city.post.image, grid=city.post.grid)
    found, alone = (
        assess(
            pre, after, city.footprints(), settings=Settings(workers=1, align=False, assume_registered=pre is not None)
        )
        for pre in (Layer.open(image, grid=grid), None)
    )
    (said,) = [finding.message for finding in found.findings if finding.code == "pre_not_read"]
    assert said.startswith("Every building was assessed only from the post image")
    assert not {"network_not_used", "pre_coarse"} & {finding.code for finding in found.findings}
    assert found.buildings["method"].eq("post_only").sum() > 10
    assert found.buildings[NET].notna().any(axis=None)
    pd.testing.assert_frame_equal(
        pd.DataFrame(found.buildings.drop(columns="geometry")), pd.DataFrame(alone.buildings.drop(columns="geometry"))
    )


@pytest.mark.parametrize(
    ("pre_bands", "post_bands", "has_post_skill", "reads_pre", "codes"),
    [
        pytest.param(3, 3, True, True, [], id="both are read"),
        pytest.param(3, 3, False, True, [], id="both are read by the only head"),
        pytest.param(1, 3, True, False, ["pre_not_read"], id="post is read"),
        pytest.param(1, 3, False, None, ["network_not_used"], id="no head for what is read"),
        pytest.param(3, 1, True, None, ["network_not_used"], id="post is not read"),
    ],
)
def test_a_pre_image_that_is_not_read_leaves_the_network_if_its_head_of_post_has_a_skill(
    run, monkeypatch, pre_bands, post_bands, has_post_skill, reads_pre, codes
):
    grader = network_grader.NetworkGrader.load(run)
    if not has_post_skill:
        del grader.run.card["notes"]["post_alone"]["validation"]
    monkeypatch.setattr(decision_network, "open_shipped", lambda *_: (grader, None))
    image = np.random.default_rng(0).integers(60, 250, (3, 32, 32)).astype(np.uint8)
    network = DamageNetwork().with_shipped(Layer.open(image[:pre_bands]), Layer.open(image[:post_bands]))
    assert [finding.code for finding in network.findings] == codes
    assert (None if network.grader is None else network.reads_pre) == reads_pre


COLOURS = np.random.default_rng(0).integers(60, 250, (3, 32, 32)).astype(np.uint8)


@pytest.mark.parametrize(
    ("values", "gsd_m", "tags", "why"),
    [
        (COLOURS, 0.5, {}, None), (COLOURS[:2], 0.5, {}, "unread_bands"), (COLOURS, 0.2, {}, None), (COLOURS, 1.5, {}, None),
        (COLOURS, 0.19, {}, "unread_pixels"), (COLOURS, 1.51, {}, "unread_pixels"), (COLOURS, 0.5, {"OFF_NADIR": "30"}, None),
        (COLOURS, 0.5, {"OFF_NADIR": "-31"}, "unread_angle"), (np.repeat(COLOURS[:1], 3, axis=0), 0.5, {}, "unread_grey"),
        (COLOURS // 12, 0.5, {}, "unread_dark"), (np.full((3, 32, 32), 900, np.uint16), 0.5, {}, "unread_inputs"),
    ],
)  # fmt: skip
def test_what_the_network_does_not_read_is_named(loaded, values, gsd_m, tags, why):
    layer = Layer.open(
        values, grid=Grid(values.shape[1:], Affine(gsd_m, 0, 400_000, 0, -gsd_m, 5_000_000), "EPSG:32633")
    )
    layer.tags.update(tags)
    phrase = network_grader.why_unfit(loaded, "post", layer)
    assert (phrase and phrase.key) == why
    assert network_grader.why_unfit(loaded, "pre", None) is None
    if phrase is not None:
        finding = network_grader.not_used(phrase)
        assert (finding.code, finding.values["reason"]) == ("network_not_used", phrase)


def test_an_error_is_the_reason_without_its_full_stop():
    assert "not used: no weights. Only" in network_grader.not_used("no weights.").message


def reason(image: np.ndarray, *, gsd_m: float = GSD_M, **tags: str) -> str:
    """What the finding says where this image is both pre and post; '' where the network is heard."""
    grid = Grid(image.shape[1:], Affine(gsd_m, 0, 400_000, 0, -gsd_m, 5_000_000), "EPSG:32633")
    layer = Layer.open(image, grid=grid)
    layer.tags.update(tags)
    model = DamageNetwork().with_shipped(layer, layer)
    if not model.findings:
        assert model.grader is not None
        return ""
    assert model.grader is None
    (finding,) = model.findings
    assert finding.code == "network_not_used"
    return finding.message


def test_images_that_it_does_not_know_are_named_and_judged_without_it(city, run, ship_run, monkeypatch):
    ship_run(run)
    grader = network_grader.NetworkGrader.load(run, precision="auto")
    monkeypatch.setattr(
        network_grader.NetworkGrader, "load", lambda *_, **__: grader
    )  # read once: the images differ, not the run
    image = city.pre.image[:, :192, :192]
    assert reason(image) == ""
    assert reason(image, gsd_m=1.4) == ""
    assert "the post image has pixels of 0.15 m; the network was trained on 0.2 to 1.5 m" in reason(image, gsd_m=0.15)
    assert "the post image has pixels of 1.6 m" in reason(image, gsd_m=1.6)
    assert "has 1 band; the network was trained on red, green and blue" in reason(image[:1])
    assert "is grey, three bands with the same values" in reason(np.repeat(image[:1], 3, axis=0))
    assert reason(image.astype(np.uint16) * 40) == ""
    assert reason(image / np.float32(255)) == ""
    flat = "the post image does not fit: layer 'post' (array) has uint16 values from 900 to 900, training had uint8"
    assert flat in reason(np.full_like(image, 900, np.uint16))
    assert reason(image.astype(np.uint16)) == ""
    assert "as dark as at night" in reason(image // 12)
    assert "was taken 41 degrees off nadir" in reason(image, OFF_NADIR_ANGLE="41.2")
    assert reason(image, OFF_NADIR_ANGLE="-12") == ""


def test_images_of_16_bits_are_shown_to_it_each_by_its_own_percentiles_and_the_map_says_so(city, run, ship_run):
    ship_run(run)
    expected = network_grader.NetworkGrader.load(run).run.inputs.layers
    dates = {"pre": (city.pre, 5), "post": (city.post, 9)}
    wide = {role: (date.image[:3].astype(np.uint16) * factor + 200) for role, (date, factor) in dates.items()}
    images = {role: Layer.open(values, grid=dates[role][0].grid) for role, values in wide.items()}
    found = assess(images["pre"], images["post"], city.footprints(), settings=Settings(workers=1))
    for role, values in wide.items():
        stretch = found.parameters["stretch"][role]
        assert stretch["low"] == pytest.approx(np.percentile(values, 2, axis=(1, 2)), rel=0.05)
        assert stretch["high"] == pytest.approx(np.percentile(values, 98, axis=(1, 2)), rel=0.05)
        top = np.array(expected[role].mean) + 2 * np.array(expected[role].std)
        assert stretch["shown_high"] == pytest.approx(np.clip(top, 0, 255))
    codes = {finding.code for finding in found.findings}
    assert {"stretched_pre", "stretched_post"} <= codes
    assert Path(found.inputs["run"]).parent.samefile(run)
    assert "network_not_used" not in codes
    assert found.buildings[NET].notna().all(axis=1).any()


def test_a_file_of_four_bands_that_declares_its_colours_is_heard_with_them(city, run, ship_run, tmp_path):
    ship_run(run)
    colours = city.post.image[:3]
    path = write_geotiff(
        tmp_path / "nrgb.tif", np.concatenate([city.post.image[3:], colours]), crs=city.post.grid.crs,
        transform=city.post.grid.affine, alpha="NO",
    )  # fmt: skip
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("NIR", "R", "G", "B")
    four, three = Layer.open(path), Layer.open(colours, grid=city.post.grid)
    model = DamageNetwork().with_shipped(four, four)
    assert model.grader is not None
    outlines = shapely.box([20, 80, 140], 40, [50, 110, 170], 70)
    found, wanted = (
        model.grader.post_probabilities(image, outlines, None, None, "post", np.arange(3)) for image in (four, three)
    )
    assert found.notna().all(axis=None)
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)


def test_damaged_weights_and_no_pytorch_are_one_line_each(city, run, ship_run, tmp_path, monkeypatch):
    image = city.pre.image
    damaged = shutil.copytree(run, tmp_path / "run")
    weights = damaged / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    ship_run(damaged)
    assert "is truncated or was changed" in reason(image)
    weights.unlink()
    assert "is missing from the run" in reason(image)
    ship_run(make_grader(tmp_path / "poor", {"auc_major_or_worse": 0.5, "kappa": 0.0}))
    assert "its AUC is 0.50" in reason(image)
    ship_run(run)

    def missing(extra: str) -> None:
        raise MissingExtraError("PyTorch is not installed.")

    monkeypatch.setattr(network_grader, "check_extra", missing)
    alone = "The network was not used: PyTorch is not installed. Only the weight-free model decided."
    assert reason(image) == alone
    found = job(city)
    (message,) = [finding.message for finding in found.findings if finding.code == "network_not_used"]
    assert message == alone
    assert (found.parameters["network"], found.parameters["network_weight"]) == (False, 0.0)


def test_the_run_is_looked_for_among_the_models_and_nowhere_else(run, tmp_path, monkeypatch):
    monkeypatch.setattr(checksums.ShippedModel, "names", lambda: ["damage-network"])
    monkeypatch.setattr(checksums.ShippedModel, "folder", tmp_path)
    assert SHIPPED_FOLDER() is None
    monkeypatch.setattr(checksums.ShippedModel, "folder", run)
    assert SHIPPED_FOLDER() == run
    monkeypatch.setattr(checksums.ShippedModel, "names", lambda: ["damage-pairs"])
    assert SHIPPED_FOLDER() is None


def test_a_toolbox_without_weights_says_nothing(ship_run):
    ship_run(None)
    plain = DamageNetwork()
    layer = Layer.open(np.zeros((3, 8, 8), np.uint8))
    assert plain.with_shipped(None, layer) is plain


def test_the_networks_are_computed_as_the_settings_say(city, run, ship_run, tmp_path):
    ship_run(run)
    image = Layer.open(city.pre.image[:3], grid=city.pre.grid)
    for name in ("bfloat16", "float32"):
        shipped = DamageNetwork().with_shipped(image, image, device="cpu", precision=name)
        own = DecisionModel.load(str(run), device="cpu", precision=name).network
        for model in (shipped, own):
            weights = next(model.grader.run.segmenter.module.parameters())
            assert str(weights.dtype) == f"torch.{name}"
    assert own.grader.run.segmenter.compute.device == "cpu"
    asked = Settings(workers=1, precision="float16", device="cpu", align=False)
    with raises_naming(InputError, "float16", "GPUs"):  # of the user, so that the network is not left out in silence
        assess(None, image, city.footprints(), settings=asked)
    with raises_naming(InputError, "'half'"):
        Settings(precision="half")


def test_without_pytorch_no_runtime_is_asked_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job then goes on without the network, and says so."""

    def missing(*_: str) -> None:
        raise MissingExtraError("torch is not installed")

    monkeypatch.setattr(network_grader, "check_extra", missing)
    monkeypatch.setattr(network_grader, "load_run", lambda folder: pytest.fail("it needs PyTorch"))
    assert network_grader.shipped_runtime("cpu", 512**2) == "torch"
    assert network_grader.open_shipped("cpu")[0] is None


@pytest.mark.parametrize(("temperature", "warned"), [(1.0, False), (None, True)])
def test_a_coarse_pre_image_leaves_the_network_to_post_without_a_warning_that_it_is_not_used(
    temperature: float | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    fine, coarse = (
        Layer.open(np.zeros((3, side, side), np.uint8), grid=Grid((side, side), Affine.scale(64 / side), "EPSG:32633"))
        for side in (64, 8)
    )
    site: Any = SimpleNamespace(
        registered_pre=coarse, post=fine, registration=object(), position=SimpleNamespace(known=True),
        work=SimpleNamespace(run=lambda name, step: step()),
    )  # fmt: skip
    network = DamageNetwork(SimpleNamespace(post_temperature=temperature))  # type: ignore[arg-type]
    assert network.grade_pair(site) is None
    assert ("the network is not used" in caplog.text) is warned
