"""A further method of change, as the documentation writes it: its text runs, decides a map and is stored (SYNTHETIC pair)."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documented import page_module
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.change import ChangeDetector, ChangeOptions, options
from deepnets4eo.change.classical import detector
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import load_run
from deepnets4eo.segmenters.run import save_run

SIDE = 96
CHANGED = np.s_[30:60, 40:80]
LogRatio: Any = page_module("pair_score", "log_ratio").LogRatio


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> dict[str, EntryPoint]:
    """The method of the page as another package installs it."""
    entries = {"log-ratio": EntryPoint("log-ratio", "log_ratio:LogRatio", "deepnets4eo.pair_scores")}
    for module in (options, detector):
        monkeypatch.setattr(module, "plugins_of", lambda group: entries if group == "pair_scores" else {})
    return entries


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Speckle of 16 looks that differs at both dates, where a part lost nine tenths of its intensity."""
    rng = np.random.default_rng(0)
    ground = np.where(np.arange(SIDE) < SIDE // 2, 0.02, 0.2)
    pre, post = (ground * rng.gamma(16, 1 / 16, (1, SIDE, SIDE)) for _ in range(2))
    post[0][CHANGED] *= 0.1
    return pre.astype(np.float32), post.astype(np.float32)


@pytest.mark.usefixtures("entries")
def test_a_further_method_decides_a_map(pair: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    for name, values in zip(("pre", "post"), pair, strict=True):
        write_geotiff(tmp_path / f"{name}.tif", values, gsd=10)
    words = ["change", *(str(tmp_path / f"{name}.tif") for name in ("pre", "post")), "--assume-registered"]
    assert main([*words, "--method", "log-ratio", "--no-refine", "--out", str(tmp_path / "out")]) in (0, 3)
    labels = Layer.open(tmp_path / "out" / "change.tif").read()[0][0]
    truth = np.zeros((SIDE, SIDE), bool)
    truth[CHANGED] = True
    assert ((labels == 1) == truth).mean() > 0.99
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["parameters"]["method"] == "log-ratio"


@pytest.mark.usefixtures("entries")
def test_its_score_is_the_log_ratio_and_comes_back_with_a_run(
    pair: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    scene = Scene.open(image_pre=pair[0], image_post=pair[1])
    fitted = ChangeDetector.of_scene(scene, "log-ratio")
    again = load_run(save_run(fitted, tmp_path / "run")).segmenter
    batch = fitted.inputs.prepare(scene.read())
    np.testing.assert_allclose(
        again.method.measure(batch), np.abs(np.log(pair[1][0] / pair[0][0])), rtol=1e-3, atol=1e-5
    )
    np.testing.assert_array_equal(again.predict_proba(batch[None]), fitted.predict_proba(batch[None]))


def test_without_the_package_the_refusal_lists_the_methods(pair: tuple[np.ndarray, np.ndarray]) -> None:
    with raises_naming(InputError, "log-ratio", "ir-mad"):
        ChangeOptions(method="log-ratio")
    with raises_naming(InputError, "log-ratio", "ir-mad"):
        ChangeDetector.of_scene(Scene.open(image_pre=pair[0], image_post=pair[1]), "log-ratio")


def test_an_entry_point_that_is_no_method_is_refused(entries: dict[str, EntryPoint]) -> None:
    entries["log-ratio"] = EntryPoint("log-ratio", "log_ratio:MIN_SHARE_OF_MEAN", "deepnets4eo.pair_scores")
    with raises_naming(InputError, "log_ratio:MIN_SHARE_OF_MEAN", "PairScore"):
        detector.pair_score("log-ratio")


def test_the_names_of_options_are_those_of_the_methods() -> None:
    assert set(options.METHOD_NAMES) == set(detector.METHODS)
