"""Clouds and shadows by a network: what it is given, which images suit it, what verbs do with its classes."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from PIL import Image
from refusals import raises_naming

from deepnets4eo.change import ChangeOptions
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.change.pair import open_pair
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.inspection import CloudClassification, cloud_finding, cloud_network, write_cloud_mask
from deepnets4eo.rasters import Layer

SIDE, GSD = 600, 10.0
BANDS = ["B2", "B3", "B4", "B8", "B11"]


class Thresholds:
    """A network that calls blue above 0.5 cloud, near infrared below 0.05 shadow; keeps what it was given."""

    side_px = 256

    def __init__(self) -> None:
        self.tiles: list[np.ndarray] = []

    def logits(self, reflectance: np.ndarray) -> np.ndarray:
        self.tiles.append(reflectance)
        return np.stack([np.full(reflectance.shape[1:], 0.5), reflectance[0] > 0.5, reflectance[3] < 0.05]).astype(
            np.float32
        )


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Thresholds:
    stub = Thresholds()
    monkeypatch.setattr(cloud_network.CloudNetwork, "load", staticmethod(lambda surface: stub))
    monkeypatch.setattr(cloud_network, "is_installed", lambda name: True)
    monkeypatch.setattr(cloud_network, "check_extra", lambda name: None)
    return stub


def scene(path: Path, scale: float = 10_000, gsd: float = GSD, bands: list[str] = BANDS) -> Path:
    """Ground of 0.2 with a cloud in rows 100–200 and its shadow in rows 300–340."""
    image = np.full((len(bands), SIDE, SIDE), 0.2)
    image[:, 100:200], image[:, 300:340] = 0.8, 0.02
    values = (image * scale).astype(np.uint16 if scale > 1 else np.float32)
    write_geotiff(path, values, gsd=gsd)
    with rasterio.open(path, "r+") as file:
        file.descriptions = bands
    return path


@pytest.mark.parametrize("scale", [10_000, 1])
def test_integers_and_reflectance_give_one_mask_in_cells_of_20_m(network, tmp_path: Path, scale: float) -> None:
    mask = CloudClassification.of(Layer.open(scene(tmp_path / "a.tif", scale))).mask
    assert mask is not None
    assert mask.shape == (300, 300)
    expected = np.zeros((300, 300))
    expected[50:100], expected[150:170] = 1, 2
    np.testing.assert_array_equal(mask.read()[0][0], expected)
    assert {tile.shape for tile in network.tiles} == {(4, 256, 256)}
    np.testing.assert_allclose(np.unique(network.tiles), [0.02, 0.2, 0.8], rtol=1e-3)


def test_a_clear_image_is_known_to_be_clear(network, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_geotiff(path, np.full((4, 300, 300), 2000, np.uint16), gsd=GSD)
    with rasterio.open(path, "r+") as file:
        file.descriptions = BANDS[:4]
    classified = CloudClassification.of(Layer.open(path))
    assert (classified.mask, classified.is_conclusive) == (None, True)


@pytest.mark.parametrize(
    ("gsd", "bands", "scale"), [(0.5, BANDS, 10_000), (GSD, ["B3", "B4", "B8"], 10_000), (GSD, BANDS, 60_000)]
)
def test_images_that_do_not_suit_the_network_stay_unknown(network, tmp_path, gsd, bands, scale) -> None:
    classified = CloudClassification.of(Layer.open(scene(tmp_path / "a.tif", scale, gsd, bands)))
    assert (classified.mask, classified.is_conclusive) == (None, False)
    with raises_naming(InputError, "a.tif", bands[0], "nir", "8 to 60 m"):
        write_cloud_mask(tmp_path / "a.tif", tmp_path / "mask.tif")


def test_without_the_extra_nothing_is_classified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_network, "is_installed", lambda name: False)
    assert not CloudClassification.of(Layer.open(scene(tmp_path / "a.tif"))).is_conclusive


def test_the_written_mask_is_on_the_grid_of_its_image(
    network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = Layer.open(scene(tmp_path / "a.tif"))
    assert main(["layers", "clouds", str(tmp_path / "a.tif"), "--out", str(tmp_path / "m.tif")]) == 0
    assert "clouds 16.7%, their shadows 6.7%" in capsys.readouterr().err
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.transform == image.grid.affine
        classes = file.read(1)
    assert (classes[100:200] == 1).all()
    assert (classes[300:340] == 2).all()
    assert np.bincount(classes.ravel()).tolist() == [SIDE * 460, SIDE * 100, SIDE * 40]


def test_change_hides_clouds_and_shadows_and_reports_both(network, tmp_path: Path) -> None:
    clear = tmp_path / "pre.tif"
    write_geotiff(clear, np.random.default_rng(0).integers(1000, 3000, (5, SIDE, SIDE)).astype(np.uint16), gsd=GSD)
    with rasterio.open(clear, "r+") as file:
        file.descriptions = BANDS
    pair = open_pair(clear, scene(tmp_path / "post.tif"), ChangeOptions(assume_registered=True))
    assert len(network.tiles) == 2 * 4  # each date once, although nothing is hidden of PRE
    hidden = ~pair.scene.layers[DateLayers.post].read()[1]
    assert hidden[100:200].all()
    assert hidden[300:340].all()
    assert hidden.sum() == SIDE * 140
    (finding,) = [finding for finding in pair.findings if finding.code == "clouds_post"]
    assert "clouds 17%" in finding.message
    assert "shadows 7%" in finding.message


@pytest.mark.parametrize(("words", "corrected"), [("S2A_MSIL2A_20200101", True), ("S2A_MSIL1C_20200101", False)])
def test_the_level_of_a_product_is_read_from_its_name(tmp_path: Path, words: str, corrected: bool) -> None:
    assert cloud_network.is_surface_reflectance(Layer.open(scene(tmp_path / f"{words}.tif"))) is corrected


def test_a_labelled_chip_of_sentinel_2(real_data: Path) -> None:
    """The same as in the table of the page: intersection over union of cloud .763."""
    pytest.importorskip("ukis_csmask", reason='the extra is absent: pip install "deepnets4eo[clouds]"')
    image = Layer.open(real_data / "cloud_s2" / "adwp.tif").with_names(BANDS[:4])
    mask = CloudClassification.of(image).mask
    assert mask is not None
    assert cloud_finding(mask, image, "post", "give_cloud_mask") is not None
    labels = np.asarray(Image.open(real_data / "cloud_s2" / "adwp_cloud.png"))
    truth = (labels[..., 0] if labels.ndim == 3 else labels) > 0
    cloud = mask.on(image.grid, "nearest").read()[0][0] == 1
    assert (cloud & truth).sum() / (cloud | truth).sum() == pytest.approx(0.763, abs=0.01)
