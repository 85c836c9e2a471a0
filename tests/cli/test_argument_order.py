"""Arguments in another order are recognised, and the right order is named."""

from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff

from deepnets4eo.cli.main import main
from deepnets4eo.errors import name_hint
from deepnets4eo.evaluation import evaluate


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A raster, and a folder that looks like a run."""
    monkeypatch.chdir(tmp_path)
    write_geotiff(tmp_path / "scene.tif", np.zeros((8, 8), np.uint8))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "card.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("predict scene.tif run --out o.tif", "The run comes first: deepnets4eo predict run scene.tif"),
        ("predict scene.tif dsm=d.tif buildings --out o.tif", "deepnets4eo predict buildings scene.tif dsm=d.tif"),
        ("clicks scene.tif run", "The run comes first: deepnets4eo clicks run scene.tif"),
        ("suspects scene.tif run --out s.csv", "The run comes first: deepnets4eo suspects run scene.tif"),
        ("evaluate scene.tif run", "run is a run, expected a reference"),
        ("objects car scene.tif --out o.gpkg", "then the class: deepnets4eo objects scene.tif car"),
        (
            "train run --out r",
            "The recipe comes first, the data are named by an option: deepnets4eo train RECIPE --data run",
        ),
    ],
)
def test_the_right_order_is_named(folder: Path, capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    assert main(words.split())
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_reference_that_a_run_made_is_said(folder: Path) -> None:
    made = write_geotiff(folder / "made.tif", np.ones((8, 8), np.uint8), tags={"RUN": "0123"})
    plain = write_geotiff(folder / "plain.tif", np.ones((8, 8), np.uint8))
    (note,) = evaluate(plain, made, "isprs").notes
    assert f"the prediction comes first, deepnets4eo evaluate {made} {plain}" in note
    assert not evaluate(made, plain, "isprs").notes


def test_names_that_begin_with_a_word_are_all_named() -> None:
    names = ["fusenet", "floods/unet", "unet-resnet34", "light-unet"]
    assert name_hint("unet", names) == "Did you mean one of floods/unet, unet-resnet34?"
    assert name_hint("light", names) == "Did you mean 'light-unet'?"
    assert name_hint("resnet34", names) == "Did you mean 'unet-resnet34'?"
    assert name_hint("fusnet", names) == "Did you mean 'fusenet'?"
