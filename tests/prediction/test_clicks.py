"""Clicks of a person: discs drawn without the truth, networks that learn with them, weights that follow and go back."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from geotiff import write_geotiff
from refusals import raises_naming

import deepnets4eo
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.prediction import Adaptation, ClickSession
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import Run, load_run
from deepnets4eo.segmenters.clicks import Clicks, draw_clicks, with_clicks
from deepnets4eo.training import Recipe
from deepnets4eo.training.recipe import resolve

SIDE_PX = 96
LEGEND = {
    "name": "two",
    "classes": [
        {"value": 3, "name": "left", "color": [255, 0, 0]},
        {"value": 7, "name": "right", "color": [0, 0, 255]},
    ],
}


@pytest.fixture(scope="module")
def clicked_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A network that learnt with clicks on an image that shows nothing of its labels."""
    folder, rng = tmp_path_factory.mktemp("clicks"), np.random.default_rng(0)
    labels = np.where(np.kron(rng.integers(0, 2, (6, 6)), np.ones((16, 16))) > 0, 7, 3).astype(np.uint8)
    image = rng.integers(90, 110, (1, SIDE_PX, SIDE_PX)).astype(np.uint8)
    layers = {
        "image": write_geotiff(folder / "image.tif", image),
        "labels": write_geotiff(folder / "labels.tif", labels),
    }
    recipe = resolve(
        {
            "legend": LEGEND,
            "data": {"layers": {name: str(path) for name, path in layers.items()}, "val_share": 0.0, "tile_px": 32,
                     "num_workers": 0, "windows_per_epoch": 96},
            "model": {"network": "unet", "encoder": "tu-test_resnet", "options": {"decoder_channels": [16, 8, 8, 8, 8]}},
            "train": {"epochs": 2, "batch_size": 16, "lr": 0.01, "clicks": 6, "photometric": 0.0},
            "predict": {"tile_px": 64, "halo_px": 16},
        },
        kind=Recipe,
    )  # fmt: skip
    return load_run(deepnets4eo.train(recipe, folder / "run"))


def prepared(run: Run) -> np.ndarray:
    image = Layer.open(run.folder.parent / "image.tif")
    return run.inputs.prepare({"image": image.read()[0], "valid": np.ones((SIDE_PX, SIDE_PX), bool)})


def test_discs_are_full_whatever_lies_below_and_cut_at_the_edge() -> None:
    clicks = Clicks.none().with_click(20, 20, 1).with_click(0, 0, 0)
    channels = clicks.channels(2, Window(0, 0, 40, 40))
    assert channels[1, 20, 20] == 255
    assert (channels[1] > 0).sum() == (channels[1, 15:26, 15:26] > 0).sum() == 69
    np.testing.assert_array_equal(channels[1], channels[1].T)
    assert channels[0, 0, 0] == 255
    assert (channels[0] > 0).sum() == 22
    np.testing.assert_array_equal(clicks.channels(2, Window(18, 10, 8, 9)), channels[:, 18:26, 10:19])
    assert clicks.mask(Window(18, 18, 4, 4))[2, 2] == 1


def test_clicks_of_training_are_drawn_on_labels_alone_and_left_out_at_times() -> None:
    mask = np.full((20, 20), 255, np.uint8)
    mask[5:9] = 1
    drawn = [draw_clicks(mask, 4, np.random.default_rng(seed)) for seed in range(200)]
    assert 0.2 < np.mean([len(one) == 0 for one in drawn]) < 0.4
    assert max(map(len, drawn)) == 4
    assert all(((one.rows >= 5) & (one.rows < 9)).all() and (one.classes == 1).all() for one in drawn)
    assert len(draw_clicks(np.full((4, 4), 255, np.uint8), 4, np.random.default_rng(1))) == 0


def test_a_layer_of_clicks_is_added_once_with_a_channel_for_each_class(clicked_run: Run) -> None:
    segmenter = clicked_run.segmenter
    added = segmenter.inputs.layers["clicks"]
    assert list(added.bands) == list(segmenter.legend.names)
    with raises_naming(InputError, "clicks"):
        with_clicks(segmenter.inputs, segmenter.legend)


def test_a_network_that_learnt_with_clicks_follows_them(clicked_run: Run) -> None:
    session = ClickSession(clicked_run.segmenter, prepared(clicked_run), Adaptation(steps=0))
    before = session.probabilities.copy()
    other = 1 - int(session.labels[48, 48])
    assert session.click(48, 48, other)[48, 48] == session.probabilities[:, 48, 48].argmax() == other
    assert (
        np.abs(session.probabilities - before)[:, 44:53, 44:53].mean()
        > 5 * np.abs(session.probabilities - before).mean()
    )
    session.undo()
    np.testing.assert_array_equal(session.probabilities, before)


def test_weights_follow_clicks_stay_near_the_start_and_go_back(clicked_run: Run) -> None:
    image = prepared(clicked_run)
    weights = {name: value.clone() for name, value in clicked_run.segmenter.module.state_dict().items()}  # type: ignore[attr-defined]
    moved = {}
    for hold in (0.0, 30.0):
        session = ClickSession(clicked_run.segmenter, image, Adaptation(steps=6, lr=0.02, hold=hold))
        before = session.probabilities.copy()
        session.click(48, 48, 1 - int(session.labels[48, 48]))
        session.click(10, 10, int(session.labels[10, 10]))
        moved[hold] = np.abs(session.probabilities - before)[:, 70:].mean()
        session.undo()
        session.undo()
        np.testing.assert_array_equal(session._predict(), before)
    assert moved[30.0] < moved[0.0]
    for name, value in clicked_run.segmenter.module.state_dict().items():  # type: ignore[attr-defined]
        np.testing.assert_array_equal(value.numpy(), weights[name].numpy())
    with pytest.raises(InputError, match="Click inside"):
        session.click(96, 0, 0)
    with raises_naming(InputError, "9 channels"):
        ClickSession(clicked_run.segmenter, np.zeros((9, 32, 32), np.float32))


def points(run: Run, path: Path, places: list[tuple[int, int]], classes: list[object]) -> Path:
    grid = Layer.open(run.folder.parent / "image.tif").grid
    xy = [grid.affine * (col + 0.5, row + 0.5) for row, col in places]
    gpd.GeoDataFrame({"class": classes}, geometry=shapely.points(xy), crs=str(grid.crs)).to_file(path)
    return path


def test_points_drawn_in_qgis_correct_a_label_map(clicked_run: Run, tmp_path: Path) -> None:
    scene, plain = str(clicked_run.folder.parent / "image.tif"), tmp_path / "plain.tif"
    assert main(["predict", str(clicked_run.folder), scene, "--out", str(plain)]) == 0
    before = Layer.open(plain).read()[0][0]
    places = [(20, 20), (70, 30)]
    wanted = [10 - int(before[place]) for place in places]
    file = points(clicked_run, tmp_path / "clicks.gpkg", places, ["left" if value == 3 else "7" for value in wanted])
    out = tmp_path / "corrected.tif"
    assert main(["predict", str(clicked_run.folder), scene, "--clicks", str(file), "--out", str(out)]) == 0
    after = Layer.open(out).read()[0][0]
    assert [int(after[place]) for place in places] == wanted
    assert (after == before).mean() > 0.5


@pytest.mark.parametrize(
    ("place", "name", "message"),
    [((200, 3), "left", "lie outside the scene"), ((3, 3), "middle", "'middle'; expected one of left")],
)
def test_clicks_that_fit_nothing_are_refused(
    place: tuple[int, int],
    name: str,
    message: str,
    clicked_run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scene = str(clicked_run.folder.parent / "image.tif")
    file = points(clicked_run, tmp_path / "clicks.gpkg", [place], [name])
    assert (
        main(["predict", str(clicked_run.folder), scene, "--clicks", str(file), "--out", str(tmp_path / "x.tif")]) == 2
    )
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "x.tif").exists()
