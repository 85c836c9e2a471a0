"""Networks of others as ONNX files are runs like any other: the labels are those of the network itself, and what is unknown is asked for once."""

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from geotiff import write_geotiff
from onnx_networks import FACTS, ChannelsLast, TwoDates, small, write_onnx
from refusals import raises_naming
from segmenters.test_onnx_graph import in_initializer
from torch import nn

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import read_yaml, write_yaml
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.prediction.clicked_scene import network_of
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import OnnxFacts, ensemble_run, load_run, with_card
from deepnets4eo.segmenters.onnx_options import card_path
from deepnets4eo.segmenters.onnx_segmenter import DYNAMIC_WORLD_BANDS
from deepnets4eo.segmenters.run import save_run

SIDE = 96


def photo(seed: int = 0, bands: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, (bands, SIDE, SIDE)).astype(np.uint8)


def labels_of(path: Path, image: Path, out: Path, facts: OnnxFacts | None = None) -> np.ndarray:
    predict(load_run(path, facts=facts), image, out, PredictOptions(overwrite=True))
    return Layer.open(out).read()[0][0]


@torch.no_grad()
def expected_labels(network: nn.Module, image: np.ndarray) -> np.ndarray:
    return network(torch.from_numpy(image.astype(np.float32) / 255)[None])[0].argmax(dim=0).numpy()


@pytest.mark.parametrize("form", ["first", "last", "fixed"])
def test_labels_are_those_of_the_network_in_either_layout_and_in_tiles(form: str, tmp_path: Path) -> None:
    network, image = small(), photo()
    write_geotiff(tmp_path / "city.tif", image)
    path = tmp_path / "roofs.onnx"
    if form == "last":
        write_onnx(path, ChannelsLast(network), last=True)
    else:
        write_onnx(path, network, fixed=form == "fixed")
    run = load_run(path, facts=OnnxFacts(**FACTS))
    assert (run.segmenter.facts.layout, run.segmenter.facts.side_px) == (
        "nhwc" if form == "last" else "nchw",
        64 if form == "fixed" else None,
    )
    assert run.tiling.halo_px == 8, "2 px, in steps of 8"
    labels = labels_of(path, tmp_path / "city.tif", tmp_path / "map.tif", OnnxFacts(**FACTS))
    inner = (slice(8, -8),) * 2  # at the edge the scene is mirrored, where a network alone sees zeros
    np.testing.assert_array_equal(labels[inner], expected_labels(network, image)[inner])
    assert Layer.open(tmp_path / "map.tif").legend.names == ("ground", "roof")


def test_pixels_without_data_are_void_and_reach_no_other_pixel(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "roofs.onnx", small())
    image = photo().astype(np.float32)
    image[:, 20:40, 30:50] = np.nan
    filled = np.nan_to_num(image)
    write_geotiff(tmp_path / "holes.tif", image, nodata=float("nan"))
    write_geotiff(tmp_path / "filled.tif", filled)
    with_holes = labels_of(path, tmp_path / "holes.tif", tmp_path / "map.tif", OnnxFacts(**FACTS))
    whole = labels_of(path, tmp_path / "filled.tif", tmp_path / "map.tif", OnnxFacts(**FACTS))
    hole = np.isnan(image[0])
    assert (with_holes[hole] == 255).all()
    np.testing.assert_array_equal(with_holes[~hole], whole[~hole])


def test_what_a_file_does_not_state_is_asked_for_once_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_onnx(tmp_path / "roofs.onnx", small())
    write_geotiff(tmp_path / "city.tif", photo())
    with raises_naming(InputError, str(path), "3", "nchw", "bands, legend, normalisation, activation", "models add"):
        load_run(path)
    words = [f"--set={name}={value}" for name, value in FACTS.items() if name != "legend"]
    assert main(["models", "add", str(path), "--legend", "ground,roof", *words]) == 0
    assert "halo of 8 px" in capsys.readouterr().out
    assert card_path(path).is_file()
    assert main(["predict", str(path), str(tmp_path / "city.tif"), "--out", str(tmp_path / "map.tif")]) == 0
    np.testing.assert_array_equal(
        Layer.open(tmp_path / "map.tif").read()[0][0], labels_of(path, tmp_path / "city.tif", tmp_path / "again.tif")
    )
    card_path(path).write_text(card_path(path).read_text() + "layouts: nhwc\n")
    with raises_naming(InputError, "layouts", str(card_path(path))):
        load_run(path)


def test_facts_that_the_graph_contradicts_are_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "roofs.onnx", small(classes=3))
    with raises_naming(InputError, "3", "2", "ground, roof"):
        load_run(path, facts=OnnxFacts(**FACTS))
    with raises_naming(InputError, "3", "red, green", "2"):
        load_run(path, facts=OnnxFacts(**FACTS | {"bands": "red,green", "legend": "a,b,c"}))
    with raises_naming(InputError, "imagenet", "4"):
        four = write_onnx(tmp_path / "four.onnx", small(4), bands=4)
        load_run(four, facts=OnnxFacts(**FACTS | {"bands": "red,green,blue,nir", "normalisation": "imagenet"}))
    (tmp_path / "other.onnx").write_bytes(in_initializer().SerializeToString())
    with raises_naming(RunError, "another file"):
        load_run(tmp_path / "other.onnx", facts=OnnxFacts(**FACTS))
    whole = write_onnx(
        tmp_path / "whole.onnx", nn.Sequential(small(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), fixed=True
    )
    with raises_naming(RunError, "(1, 2)", "semantic segmentation"):
        load_run(whole, facts=OnnxFacts(**FACTS))


def test_one_score_is_the_second_of_two_classes_and_small_maps_are_enlarged(tmp_path: Path) -> None:
    network, image = nn.Sequential(small(classes=1), nn.Sigmoid()), photo()
    path = write_onnx(tmp_path / "roofs.onnx", network)
    write_geotiff(tmp_path / "city.tif", image)
    facts = OnnxFacts(**FACTS | {"activation": "probabilities"})
    labels = labels_of(path, tmp_path / "city.tif", tmp_path / "map.tif", facts)
    with torch.no_grad():
        expected = network(torch.from_numpy(image / np.float32(255))[None])[0, 0].numpy() > 0.5
    np.testing.assert_array_equal(labels[8:-8, 8:-8], expected[8:-8, 8:-8])
    half = write_onnx(tmp_path / "half.onnx", nn.Sequential(small(), nn.AvgPool2d(2)))
    assert labels_of(half, tmp_path / "city.tif", tmp_path / "map.tif", OnnxFacts(**FACTS)).shape == (SIDE, SIDE)


def test_deepness_metadata_state_classes_bands_and_size(tmp_path: Path) -> None:
    metadata = {
        "class_names": json.dumps({"0": "background", "1": "road"}),
        "resolution": "20.0",
        "model_type": '"Segmentor"',
    }
    run = load_run(write_onnx(tmp_path / "roads.onnx", nn.Sequential(small(), nn.Softmax(1)), **metadata))
    assert run.legend.names == ("background", "road")
    assert run.inputs.gsd_m == pytest.approx(0.2)
    assert run.inputs.layers["image"].bands == ("red", "green", "blue")


def test_a_network_of_others_votes_with_a_run_and_is_saved_like_one(tmp_path: Path) -> None:
    first, second = (write_onnx(tmp_path / f"{seed}.onnx", small(seed=seed)) for seed in (0, 1))
    runs = [load_run(path, facts=OnnxFacts(**FACTS | {"legend": write_legend(tmp_path)})) for path in (first, second)]
    both = ensemble_run(runs)
    batch = runs[0].inputs.prepare({"image": photo(), "valid": np.ones((SIDE, SIDE), bool)})[None]
    mean = sum(run.segmenter.predict_proba(batch) for run in runs) / 2
    np.testing.assert_allclose(both.segmenter.predict_proba(batch), mean, atol=1e-6)
    kept = load_run(save_run(runs[0].segmenter, tmp_path / "run"))
    np.testing.assert_array_equal(kept.segmenter.predict_raw(batch), runs[0].segmenter.predict_raw(batch))


def write_legend(folder: Path) -> str:
    classes = [{"value": n, "name": name, "color": [9, n, 9]} for n, name in enumerate(("ground", "roof"))]
    (folder / "legend.yaml").write_text(json.dumps({"name": "roofs", "classes": classes}))
    return str(folder / "legend.yaml")


def test_change_takes_a_network_of_two_dates(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "change.onnx", TwoDates(), inputs=2)
    with_card(path, OnnxFacts(**FACTS | {"legend": "no change,change"}))
    pre = np.full((3, SIDE, SIDE), 90, np.uint8) + photo(1) // 8
    post = pre.copy()
    post[:, 30:60, 30:60] = 230
    write_geotiff(tmp_path / "pre.tif", pre)
    write_geotiff(tmp_path / "post.tif", post)
    assert load_run(path).inputs.names == ["image_pre", "image_post"]
    words = ["change", str(path), str(tmp_path / "pre.tif"), str(tmp_path / "post.tif"), "--out", str(tmp_path / "map")]
    assert main(words) == 0
    assert list((tmp_path / "map").glob("*.tif")) != []


def test_the_normalisation_of_dynamic_world_is_the_published_one(tmp_path: Path) -> None:
    same = nn.Conv2d(9, 9, 1, bias=False)
    same.weight.data = torch.eye(9)[:, :, None, None]
    path = write_onnx(tmp_path / "world.onnx", same, bands=9)
    facts = OnnxFacts(
        legend="dynamic_world", bands=",".join(DYNAMIC_WORLD_BANDS), normalisation="dynamic_world", activation="logits"
    )
    segmenter = load_run(path, facts=facts).segmenter
    given = segmenter.predict_raw(np.full((1, 9, 32, 32), 1200, np.float32))[0, :, 5, 5]
    shift, scale = 1.7417268007636313, 2.023298706048351  # of blue, as printed in the repository's notebook
    grown = math.exp((math.log(0.005 * 1200 + 1) - shift) / scale * 5 - 1)
    assert given[0] == pytest.approx(grown / (grown + 1), rel=1e-5)
    assert len(set(given.round(5).tolist())) == 9, "each band has its own"


@pytest.mark.real_data
def test_dynamic_world_finds_the_water_of_a_real_flood(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "eo_weights" / "dynamicworld" / "dynamicworld.onnx"
    if not path.is_file():
        pytest.skip(f"Dynamic World is not at {path}")
    facts = OnnxFacts(
        legend="dynamic_world", bands=",".join(DYNAMIC_WORLD_BANDS), normalisation="dynamic_world", activation="logits"
    )
    series = real_data / "s2_flood_series"
    labels = labels_of(path, series / "S2" / "2017-09-18.tif", tmp_path / "map.tif", facts)
    truth = Layer.open(series / "segmentation" / "2017-09-18.tif").read()[0][0]
    clear, water = np.isin(truth, (1, 2)), labels == 0
    overlap = (water & (truth == 2))[clear].sum() / (water | (truth == 2))[clear].sum()
    assert overlap == pytest.approx(0.62, abs=0.02), "measured by a plain loop: .62; 450 pixels are NaN"
    assert (labels == 255).sum() == 450


class Numbers(nn.Module):
    """A network that returns the numbers of its classes, and perhaps one that its legend lacks."""

    def __init__(self, more: int = 0) -> None:
        super().__init__()
        self.network, self.more = small(), more

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image).argmax(dim=1) + self.more


def not_finite() -> nn.Module:
    network = small()
    with torch.no_grad():
        network[-1].weight.fill_(math.nan)
    return network


@pytest.mark.parametrize(
    ("network", "facts", "named"),
    [
        (Numbers(), {}, ("whole numbers", "activation=classes")),
        (not_finite(), {}, ("no finite number", "damaged")),
        (small(), {"activation": "probabilities"}, ("no probabilities", "activation=logits")),
        (small(), {"bands": "red,green,red"}, ("red, green, red", "twice")),
    ],
)
def test_outputs_that_are_not_as_stated_are_refused(
    network: nn.Module, facts: dict, named: tuple, tmp_path: Path
) -> None:
    with raises_naming(InputError, *named):
        load_run(write_onnx(tmp_path / "a.onnx", network), facts=OnnxFacts(**FACTS | facts))


def test_numbers_of_classes_that_the_legend_lacks_are_void(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "city.tif", photo())
    facts = OnnxFacts(**FACTS | {"activation": "classes"})
    inside = labels_of(write_onnx(tmp_path / "a.onnx", Numbers()), tmp_path / "city.tif", tmp_path / "a.tif", facts)
    beyond = labels_of(write_onnx(tmp_path / "b.onnx", Numbers(1)), tmp_path / "city.tif", tmp_path / "b.tif", facts)
    assert {0, 1} >= {*np.unique(inside).tolist()}
    np.testing.assert_array_equal(beyond, np.where(inside == 0, 1, 255))


@pytest.mark.parametrize(
    "entry",
    [
        {"bands": [{"red": "red"}, "green", "blue"]},
        {"bands": []},
        {"halo_px": -1},
        {"std": [1, 0, 1], "mean": [0, 0, 0]},
        {"mean": ["a"]},
    ],
)
def test_a_damaged_card_is_refused(entry: dict, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "a.onnx", small())
    card = read_yaml(with_card(path, OnnxFacts(**FACTS)).write(path))
    write_yaml(card_path(path), card | entry)
    with raises_naming(InputError, next(iter(entry)) if "std" not in entry else "deviation of 0"):
        load_run(path)


def test_graphs_that_take_or_return_no_images_of_numbers_are_refused(tmp_path: Path) -> None:
    tensor, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    text = onnx.helper.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.STRING)
    whole = onnx.helper.make_node("Cast", ["x"], ["y"], to=float32)
    shape = ["N", 3, "H", "W"]
    for name, node, taken, returned in (
        ("string", text, float32, onnx.TensorProto.STRING),
        ("uint8", whole, onnx.TensorProto.UINT8, float32),
    ):
        graph = onnx.helper.make_graph([node], "g", [tensor("x", taken, shape)], [tensor("y", returned, shape)])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, tmp_path / f"{name}.onnx")
        with raises_naming(InputError, name, "Export it so"):
            load_run(tmp_path / f"{name}.onnx", facts=OnnxFacts(**FACTS))


def test_clicks_refuse_a_file_whose_weights_cannot_follow_them(tmp_path: Path) -> None:
    write_onnx(tmp_path / "roofs.onnx", small())
    with raises_naming(InputError, "roofs.onnx", "trained", "QGIS"):
        network_of(load_run(tmp_path / "roofs.onnx", facts=OnnxFacts(**FACTS)))
