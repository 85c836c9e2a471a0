"""Views and ensembles: averages against ones by hand, votes with ties, halos, whole scenes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import Ensemble, InputSpec, NetworkSegmenter, TestTimeAugmentation as Augmented
from deepnets4eo.tiling import Tiling

LEGEND = Legend("three", tuple(LegendClass(v, n, (v, v, 1)) for v, n in [(2, "low"), (5, "middle"), (9, "high")]))
RNG = np.random.default_rng(0)
SCENE = Scene.open(image=np.kron(RNG.integers(0, 256, (3, 19, 17)), np.ones((1, 8, 8))).astype(np.uint8))
INPUTS = InputSpec.measure([SCENE])


def network(seed: int = 0, legend: Legend = LEGEND, tiling: Tiling | None = None) -> NetworkSegmenter:
    torch.manual_seed(seed)
    spec = {"name": "segnet", "width": 2}
    return NetworkSegmenter(spec, INPUTS, legend, tiling=tiling or Tiling(64, 8))


class Fixed:
    """A member that says the same of each pixel, whatever it sees."""

    kind = "fixed"
    inputs, legend, tiling, halo_px = INPUTS, LEGEND, Tiling(64, 8), 8

    def __init__(self, *proba: float) -> None:
        self.proba = np.asarray(proba, np.float32)

    def predict_proba(self, batch: np.ndarray, *, margin_px: int = 0) -> np.ndarray:
        height, width = batch.shape[2] - 2 * margin_px, batch.shape[3] - 2 * margin_px
        return np.broadcast_to(self.proba[:, None, None], (len(batch), 3, height, width)).copy()


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    prepared = INPUTS.prepare(SCENE.read())
    return np.ascontiguousarray(np.stack([prepared[:, :48, :64], prepared[:, 50:98, 40:104]]))


def test_flips_average_the_four_mirror_images(batch: np.ndarray) -> None:
    plain, total = network(), 0.0
    for axes in ((), (2,), (3,), (2, 3)):
        total = total + np.flip(plain.predict_proba(np.flip(batch, axes).copy()), axes)
    np.testing.assert_allclose(Augmented(plain, "flips").predict_proba(batch), total / 4, atol=1e-6)


def test_a_half_turn_is_averaged_with_the_image_as_it_is(batch: np.ndarray) -> None:
    plain = network()
    turned = np.flip(plain.predict_proba(np.flip(batch, (2, 3)).copy()), (2, 3))
    mean = (plain.predict_proba(batch) + turned) / 2
    np.testing.assert_allclose(Augmented(plain, "half-turn").predict_proba(batch), mean, atol=1e-6)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_with_all_turns_a_turned_image_is_labelled_the_same_turned(batch: np.ndarray, turns: int) -> None:
    every = Augmented(network(), "turns")
    turned = np.ascontiguousarray(np.rot90(batch, turns, (2, 3))[..., ::-1])
    back = np.rot90(every.predict_proba(turned)[..., ::-1], -turns, (2, 3))
    np.testing.assert_allclose(back, every.predict_proba(batch), atol=1e-6)


def test_scales_leave_what_looks_the_same_at_all_of_them_alone(batch: np.ndarray) -> None:
    """A member that says what the pixel shows: of a smooth image, scales change next to nothing."""

    class Shows(Fixed):
        def predict_proba(self, batch: np.ndarray, *, margin_px: int = 0) -> np.ndarray:
            return batch[:, :, margin_px : batch.shape[2] - margin_px, margin_px : batch.shape[3] - margin_px]

    rows = np.linspace(0, 1, 64, dtype=np.float32)[:, None] * np.ones((64, 96), np.float32)
    ramp = np.stack([rows, 1 - rows, 0 * rows])[None]
    scaled = Augmented(Shows(), "none", scales=(0.5, 0.75, 2.0)).predict_proba(ramp)
    np.testing.assert_allclose(scaled[:, :, 4:-4, 4:-4], ramp[:, :, 4:-4, 4:-4], atol=1e-3)


def test_the_mean_of_members_is_their_mean(batch: np.ndarray) -> None:
    members = [network(0), network(1), network(2)]
    expected = np.mean([member.predict_proba(batch) for member in members], axis=0)
    np.testing.assert_allclose(Ensemble(members).predict_proba(batch), expected, atol=1e-6)


def test_two_hesitant_votes_outweigh_a_certain_one_and_ties_go_to_the_greater_mean(batch: np.ndarray) -> None:
    hesitant, certain, other = Fixed(0.5, 0.4, 0.1), Fixed(0, 1, 0), Fixed(0.1, 0, 0.9)
    assert (Ensemble([hesitant, hesitant, certain], "mean").predict_classes(batch) == 1).all()
    majority = Ensemble([hesitant, hesitant, certain], "majority")
    assert (majority.predict_classes(batch) == 0).all()
    expected = (np.array([2, 1, 0]) + np.array([1, 1.8, 0.2]) / 3) / 4
    np.testing.assert_allclose(majority.predict_proba(batch)[0, :, 0, 0], expected, atol=1e-6)
    assert (Ensemble([hesitant, other], "majority").predict_classes(batch) == 2).all()


def test_the_halo_is_the_widest_and_grows_with_small_scales() -> None:
    assert Augmented(network(), "turns").tiling == Tiling(64, 8)
    assert Augmented(network(), scales=(0.5, 1)).halo_px == 40  # 8 / 0.5 and interpolation, in steps of 32
    wide = Ensemble([network(), network(tiling=Tiling(128, 32))])
    assert wide.halo_px == 40
    assert wide.tiling.core_px == 48
    assert wide.tiling.tile_px % 32 == 0


def test_a_scene_has_the_same_bits_however_it_is_cut(tmp_path: Path) -> None:
    small = Scene.open(image=SCENE.read()["image"][:, :90, :70])
    members = [Augmented(network(0), "none", scales=(0.5, 1)), network(1)]
    segmenter, found = Ensemble(members, "majority", tiling=Tiling(96, 24, 8)), []
    for workers, further in ((1, {}), (3, {"block_px": 32, "strip_px": 32})):
        out = tmp_path / f"labels{workers}.tif"
        options = PredictOptions(device="cpu", precision="float32", threads=1, workers=workers, **further)
        predict(segmenter, small, out, options)
        found.append(Layer.open(out).read(Window(0, 0, 90, 70))[0])
    np.testing.assert_array_equal(*found)


def test_what_cannot_be_is_refused() -> None:
    other_legend = Legend("two", LEGEND.classes[:2])
    fewer = InputSpec({"image": INPUTS.layers["image"]}, gsd_m=0.3)
    stranger = network()
    stranger.inputs = fewer
    for make, message in (
        (lambda: Ensemble([]), "needs at least one member"),
        (lambda: Ensemble([network()], "median"), "vote 'median' is unknown"),
        (lambda: Ensemble([network(), network(legend=other_legend)]), "member 2 of the ensemble has legend 'two'"),
        (lambda: Ensemble([network(), stranger]), "member 2 of the ensemble has another gsd_m"),
        (lambda: Augmented(network(), "spins"), "Choose from none, half-turn, flips, turns"),
        (lambda: Augmented(network(), scales=()), "one or more from 0.25"),
        (lambda: Augmented(network(), scales=(0.1,)), r"scales \[0.1\]"),
    ):
        with pytest.raises(InputError, match=message):
            make()
