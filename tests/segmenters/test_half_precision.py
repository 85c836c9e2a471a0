"""Runs with weights in half precision: half the size, nearly the same scores, and damage is noticed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter, load_run, open_sealed, seal
from deepnets4eo.segmenters.run import save_run

INPUTS = InputSpec({"image": LayerInput(("red", "green", "blue"), (0.0,) * 3, (1.0,) * 3, 0.0, 255.0)}, 0.5)
NETWORK = {"name": "light-unet", "decoder_channels": [16, 8, 8]}
BATCH = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)


def make_segmenter(stored: str) -> NetworkSegmenter:
    torch.manual_seed(0)
    return NetworkSegmenter(NETWORK, INPUTS, Legend.load("buildings"), stored=stored)


def test_half_precision_halves_the_file_and_hardly_moves_the_scores(tmp_path: Path) -> None:
    whole = make_segmenter("float32")
    sizes = []
    for stored in ("float32", "float16"):
        folder = save_run(make_segmenter(stored), tmp_path / stored)
        sizes.append((folder / "weights.safetensors").stat().st_size)
        run = load_run(folder)
        assert next(run.segmenter.module.parameters()).dtype == torch.float32
        assert run.segmenter.stored == stored
        assert np.allclose(run.segmenter.predict_raw(BATCH), whole.predict_raw(BATCH), atol=2e-2)
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.02)


def test_weights_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    segmenter = make_segmenter("float16")
    with torch.no_grad():
        next(segmenter.module.parameters())[0, 0, 0, 0] = 1e6
    with raises_naming(RunError, "1e", "06", "float16", "65504"):
        save_run(segmenter, tmp_path / "run")


def test_an_unknown_precision_is_refused() -> None:
    with raises_naming(InputError, "float32", "float16"):
        make_segmenter("int8")


def test_a_card_that_claims_whole_precision_for_halved_weights_is_refused(tmp_path: Path) -> None:
    folder = save_run(make_segmenter("float16"), tmp_path / "run")
    card = open_sealed(folder)
    del card["segmenter"]["stored"]
    seal(folder, card, card["files"])
    with pytest.raises(RunError, match="does not belong to the network"):
        load_run(folder)
