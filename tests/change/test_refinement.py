"""Scores refined tile by tile, and on a device: against the whole image at once."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.change import Diffusion, guided_anisotropic_diffusion, refine_scores, refinement
from deepnets4eo.change.rasters import RANK, write_rasters
from deepnets4eo.change.refinement import grey_range, to_grey
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError, OtherJobError
from deepnets4eo.grid import Grid
from deepnets4eo.outputs import EventInfo
from deepnets4eo.rasters import Layer
from deepnets4eo.tiling import Packed

STEPS = Diffusion(steps=40)


def images(side: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """Two images with the same blocks and noise."""
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.uniform(0, 4000, (2, side // 16, side // 16)), np.ones((1, 16, 16)))
    first, second = (np.clip(blocks + rng.normal(0, 20, blocks.shape), 0, 65535) for _ in range(2))
    return first.astype(np.uint16), second.astype(np.uint16)


def rough_scores(side: int = 96) -> np.ndarray:
    """Probabilities in blobs, with noise."""
    rng = np.random.default_rng(1)
    scores = np.kron(rng.random((side // 8, side // 8)) > 0.6, np.ones((8, 8)))
    return np.clip(scores * 0.8 + rng.uniform(0, 0.2, scores.shape), 0, 1).astype(np.float32)


def test_tiles_do_not_show_in_refined_scores(tmp_path: Path) -> None:
    scores, guides = rough_scores(), [Layer.open(image) for image in images()]
    path = write_geotiff(tmp_path / "scores.tif", scores, crs=None)
    out = refine_scores(Layer.open(path), guides, tmp_path / "out.tif", diffusion=STEPS, device="cpu", tile_px=32).path
    grey = [to_grey(guide.read()[0], grey_range(guide)) for guide in guides]
    whole = guided_anisotropic_diffusion(scores[None], grey, diffusion=STEPS)[0]
    refined = Layer.open(out).read()[0][0]
    assert refined.dtype == np.float32
    assert np.abs(whole - scores).max() > 0.1
    np.testing.assert_allclose(refined, whole, atol=1e-3)


def test_the_device_computes_what_numpy_computes() -> None:
    pytest.importorskip("torch")
    from deepnets4eo.change.refinement import diffuse_on_device

    scores = np.stack([rough_scores(48), 1 - rough_scores(48)])
    guides = [image / 4096 * 255 for image in images(48)]
    valid = np.ones((48, 48), bool)
    valid[10:14, 20:30] = False
    for mask in (None, valid):
        expected = guided_anisotropic_diffusion(scores, guides, diffusion=STEPS, valid=mask)
        np.testing.assert_allclose(
            diffuse_on_device(scores, guides, diffusion=STEPS, valid=mask, device="cpu"), expected, atol=2e-5
        )


def test_packed_scores_stay_packed_and_nodata_stays_nodata(tmp_path: Path) -> None:
    scores = Packed.pack(rough_scores())
    scores[:20, :20] = 255
    path = write_geotiff(tmp_path / "scores.tif", scores, crs=None, nodata=255, tags={"PACKED_ONE": "254"})
    refine_scores(Layer.open(path), [Layer.open(images()[0])], tmp_path / "out.tif", diffusion=STEPS, device="cpu")
    refined = Layer.open(tmp_path / "out.tif")
    data, valid = refined.read()
    assert (refined.dtype, refined.nodata, refined.tags["PACKED_ONE"]) == (np.uint8, 255, "254")
    assert not valid[:20, :20].any()
    assert valid.sum() == scores.size - 400
    inside = scores != 255
    assert data[0][inside].sum() == pytest.approx(scores[inside].sum(), rel=0.01)


def test_a_warning_names_areas_that_leak_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scores = np.zeros((64, 64), np.float32)
    scores[30:34, 30:34] = 1
    flat = Layer.open(np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8))
    path = write_geotiff(tmp_path / "scores.tif", scores, crs=None)
    with caplog.at_level(logging.WARNING):
        result = refine_scores(Layer.open(path), [flat], tmp_path / "out.tif", diffusion=STEPS, device="cpu")
    assert (result.before, result.after, result.shrinks) == (16, 0, True)
    assert "shrank from 16 to 0 pixels" in caplog.text


def test_a_warning_counts_scores_that_no_image_shows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scores, half = rough_scores(), images()[0].astype(np.float32)
    half[:, 40:] = np.nan
    with caplog.at_level(logging.WARNING):
        refine_scores(
            Layer.open(scores), [Layer.open(half)], tmp_path / "out.tif", diffusion=STEPS, device="cpu", tile_px=48
        )
    assert f"{56 * 96} pixels with scores stay as they were" in caplog.text
    refined = Layer.open(tmp_path / "out.tif").read()[0][0]
    np.testing.assert_array_equal(refined[40:], scores[40:])
    assert (refined[:40] != scores[:40]).mean() > 0.9


def test_scores_and_images_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    scores, (first, second) = Layer.open(rough_scores()), images()
    with raises_naming(InputError, "2 bands"):
        refine_scores(Layer.open(first), [Layer.open(second)], tmp_path / "a.tif")
    with raises_naming(InputError, "[2, 1] bands"):
        refine_scores(scores, [Layer.open(first), Layer.open(second[:1])], tmp_path / "a.tif")
    nothing = Layer.open(np.full((96, 96), np.nan, np.float32))
    with raises_naming(InputError, "a.png", "'.png'"):
        refine_scores(scores, [Layer.open(first)], tmp_path / "a.png")
    with pytest.raises(InputError, match="no valid pixel"):
        refine_scores(scores, [nothing], tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["grey", "below", "last tile"])
def test_values_that_are_no_scores_are_refused_with_their_range(tmp_path: Path, kind: str) -> None:
    scores, found = rough_scores(), "from 0 to 2"
    if kind == "grey":
        scores, found = (scores * 0).astype(np.uint8), "from 0 to 255"
        scores[0, 0] = 255
    elif kind == "below":
        scores, found = np.where(scores > 0.5, 1, -3).astype(np.float32), "from -3 to 1"
    else:
        scores = np.round(scores)
        scores[-1, -1] = 2
    source = Layer.open(write_geotiff(tmp_path / "scores.tif", scores))
    guide = Layer.open(images()[0])
    with raises_naming(InputError, found, "0", "255"):
        refine_scores(source, [guide], tmp_path / "out.tif", diffusion=STEPS, device="cpu", tile_px=32)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.tif"]


def test_labels_are_no_scores_but_a_mask_of_0_and_1_is(tmp_path: Path) -> None:
    mask, guide = np.round(rough_scores()).astype(np.uint8), Layer.open(images()[0])
    legend = {"LEGEND": json.dumps(Legend.load("isprs").to_dict())}
    labels = write_geotiff(tmp_path / "labels.tif", mask, tags=legend)
    how = {"diffusion": STEPS, "device": "cpu"}
    with raises_naming(InputError, "labels.tif", "--probabilities"):
        refine_scores(Layer.open(labels), [guide], tmp_path / "out.tif", **how)
    plain = Layer.open(write_geotiff(tmp_path / "mask.tif", mask))
    assert refine_scores(plain, [guide], tmp_path / "out.tif", **how).before == mask.sum()


def test_the_verb_refines_one_band_of_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scores = rough_scores()
    write_geotiff(Path("proba.tif"), np.stack([1 - scores, scores]))
    write_geotiff(Path("image.tif"), images()[0])
    command = ["layers", "refine", "proba.tif", "image.tif", "--set", "band=2", "--set", "steps=10", "--device", "cpu",
               "--out", "out.tif"]  # fmt: skip
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == "out.tif"
    assert Layer.open("out.tif").read()[0].mean() == pytest.approx(scores.mean(), abs=1e-4)
    assert main(command) == 1
    assert "out.tif exists already" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert "already complete, nothing is left to resume" in capsys.readouterr().err
    assert main([*command, "--resume", "--set", "rate=0.2"]) == 2
    assert "rate 0.24 then, 0.2 now" in capsys.readouterr().err
    write_geotiff(Path("image.tif"), 255 - images()[0])  # the corrected image under the same name
    assert main([*command, "--resume"]) == 2
    assert "image.tif has changed" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--set", "rate=0.25"]) == 2
    assert "less than 0.25" in capsys.readouterr().err
    assert main(["layers", "refine", "image.tif", "proba.tif", "--set", "band=3", "--out", "b.tif"]) == 2
    assert "--set band=3 is not in image.tif, which has 2" in capsys.readouterr().err


@pytest.mark.parametrize("packed", [False, True])
def test_an_interrupted_job_goes_on_with_the_tiles_that_are_left_and_ends_in_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], packed: bool
) -> None:
    scores = Packed.pack(rough_scores()) if packed else rough_scores()
    tags = {"PACKED_ONE": "254"} if packed else {}
    source = Layer.open(write_geotiff(tmp_path / "scores.tif", scores, tags=tags))
    guides = [Layer.open(write_geotiff(tmp_path / f"{n}.tif", image)) for n, image in enumerate(images())]
    how = {"diffusion": STEPS, "device": "cpu", "tile_px": 32}
    whole = refine_scores(source, guides, tmp_path / "whole.tif", **how)
    calls: list[int] = []
    compute = refinement._refine_tile

    def stop_at_the_fourth(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return compute(*arguments)

    monkeypatch.setattr(refinement, "_refine_tile", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        refine_scores(source, guides, tmp_path / "out.tif", **how)
    assert not (tmp_path / "out.tif").exists()
    with pytest.raises(OtherJobError) as error:
        refine_scores(source, guides, tmp_path / "out.tif", **how | {"diffusion": Diffusion(steps=7)}, resume=True)
    assert error.value.differing == ("steps",)
    assert main(["layers", "refine", source.source, guides[0].source, "--out", str(tmp_path / "out.tif")]) == 1
    assert "--overwrite to begin again, --resume to go on" in capsys.readouterr().err
    result = refine_scores(source, guides, tmp_path / "out.tif", **how, resume=True)
    assert len(calls) == 4 + 9 - 3
    assert (result.before, result.after) == (whole.before, whole.after)
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert not list(tmp_path.glob(".partial*"))


@pytest.mark.parametrize(("model", "meaning"), [(None, RANK), ("a run", "probability of change")])
def test_the_score_says_whether_it_ranks_or_is_a_probability(model: str | None, meaning: str, tmp_path: Path) -> None:
    only = Layer.open(np.full((1, 20, 30), 20, np.uint8), grid=Grid((20, 30), Affine.scale(10, -10), "EPSG:32615"))
    products: Any = SimpleNamespace(score=tmp_path / "score.tif", labels=tmp_path / "change.tif")
    options: Any = SimpleNamespace(model=model, refines=False)
    scene: Any = SimpleNamespace(layers={})
    findings = write_rasters(only, products, scene, options, EventInfo())
    assert [one.code for one in findings] == ([] if model else ["few_changed"])
    with rasterio.open(products.score) as file:
        assert file.tags()["MEANING"] == f"{meaning}; value / {Packed.one}"
