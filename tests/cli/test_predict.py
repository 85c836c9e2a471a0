"""`deepnets4eo predict`: from a run folder and a raster to a label raster, and errors without stack traces."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from refusals import raises_naming
from sklearn.linear_model import LogisticRegression

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.jobs import RowJournal
from deepnets4eo.prediction import PredictOptions, named_layers, predict
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling


@pytest.fixture
def case(tmp_path):
    """A run and an image, as files."""
    image = np.random.default_rng(0).integers(1, 255, (3, 60, 50), dtype=np.uint8)
    scene = Scene.open(image=image, labels=(image[0] > 127).astype(np.uint8))
    segmenter = PixelClassifier(
        LogisticRegression(), InputSpec.measure([scene]), Legend.load("isprs"), tiling=Tiling(32, 0)
    )
    save_run(segmenter.fit([scene], max_pixels=500), tmp_path / "run")
    write_geotiff(tmp_path / "image.tif", image, crs=None)
    return tmp_path


def arguments(case, *more):
    return ["predict", str(case / "run"), str(case / "image.tif"), "--out", str(case / "labels.tif"), *more]


def test_it_prints_the_paths_it_wrote(case, capsys):
    assert main(arguments(case, "--entropy", str(case / "e.tif"), "--memory", "8GB", "--set", "threads=1")) == 0
    assert capsys.readouterr().out.split() == [str(case / "labels.tif"), str(case / "e.tif")]
    with rasterio.open(case / "labels.tif") as labels:
        assert set(np.unique(labels.read())) == {0, 1}


def test_resuming_what_is_complete_is_no_error(case, capsys):
    assert main(arguments(case)) == 0
    written = capsys.readouterr().out.split()
    before = [Path(path).read_bytes() for path in written]
    assert main(arguments(case, "--resume")) == 0
    assert "already complete, nothing is left to resume" in capsys.readouterr().err
    assert [Path(path).read_bytes() for path in written] == before
    assert main(arguments(case, "--resume", "--entropy", str(case / "e.tif"))) == 1  # which is not there yet


def test_dry_run_prints_the_plan_and_writes_nothing(case, capsys):
    assert main(arguments(case, "--dry-run", "--set", "tile_px=40")) == 0
    assert "60 x 50 px, 4 tiles of 40 px" in capsys.readouterr().out
    assert not (case / "labels.tif").exists()


def test_dry_run_says_what_an_interrupted_job_has_done_and_refuses_another(case, capsys):
    def stop(share):
        if share > 0.5:
            raise KeyboardInterrupt

    cpu = PredictOptions(device="cpu", threads=1, tile_px=16, block_px=16)
    with pytest.raises(KeyboardInterrupt):
        predict(case / "run", case / "image.tif", case / "labels.tif", cpu, progress=stop)
    record = RowJournal(case / "labels.tif")
    assert record.load()
    last = record.folder / f"{len(record.entries)}.npz"
    last.write_bytes(b"half an en")
    before = {path.name: path.read_bytes() for path in record.folder.iterdir()}
    dry = ("--dry-run", "--resume", "--device", "cpu", "--set", "threads=1")
    assert main(arguments(case, *dry, "--set", "tile_px=16")) == 0
    done = int(re.search(r"(\d+) of 16 tiles are done", capsys.readouterr().out)[1])
    assert 0 < done < 16
    assert main(arguments(case, *dry, "--set", "tile_px=32")) == 2
    assert "is of another job: tiling" in capsys.readouterr().err
    assert main(arguments(case, "--dry-run")) == 1
    assert "--resume to go on with it" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in record.folder.iterdir()} == before
    assert not (case / "labels.tif").exists()
    result = predict(case / "run", case / "image.tif", case / "labels.tif", replace(cpu, resume=True))
    assert result.computed == 16 - done


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "scores=logits"], "scores='logits' is unknown. Choose from probabilities"),
        (["--set", "halo_px=16"], "halo_px=16 leaves 0 pixels"),
        (["--precision", "float8"], "precision 'float8' is unknown"),
        (["--memory", "lots"], "--memory lots is not a size"),
        (["--augment", "spins"], "views 'spins' are unknown"),
        (["--set", "vote=most"], "vote 'most' is unknown. Choose mean or majority"),
        (["--set", "scales=big"], "--set: scales is 'big'"),
    ],
)
def test_wrong_options_are_explained_without_a_stack_trace(case, capsys, more, message):
    assert main(arguments(case, *more)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_layers_that_no_run_reads_are_reported(case, caplog):
    words = arguments(case)
    words[2:3] = [f"image={case / 'image.tif'}", f"dsm={case / 'image.tif'}"]
    assert main(words) == 0
    assert "No run reads the layers ['dsm']; they are ignored. The runs read ['image']." in caplog.text
    caplog.clear()
    assert main(arguments(case, "--overwrite")) == 0
    assert not caplog.records


def test_after_an_interrupt_it_prints_how_to_continue(case, capsys, monkeypatch):
    def interrupted(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr("deepnets4eo.prediction.file_job.load_run", interrupted)
    assert main(arguments(case)) == 130
    assert "continue with --resume" in capsys.readouterr().err


def test_views_and_votes_of_a_pixel_classifier_change_nothing_and_can_be_resumed(case, capsys):
    assert main(arguments(case)) == 0
    again = ["--ensemble", str(case / "run"), "--augment", "turns", "--set", "vote=majority", "--overwrite", "--resume"]
    with rasterio.open(case / "labels.tif") as file:
        plain = file.read()
    assert main(arguments(case, *again)) == 0
    with rasterio.open(case / "labels.tif") as file:
        np.testing.assert_array_equal(file.read(), plain)
        voted = file.tags()
    assert voted["SEGMENTER"] == "augmented"
    assert main(arguments(case, *again)) == 0
    with rasterio.open(case / "labels.tif") as file:
        assert file.tags()["RUN"] == voted["RUN"]


def test_folder_that_is_no_run_is_explained(case, capsys):
    assert main(["predict", str(case), str(case / "image.tif"), "--out", str(case / "labels.tif")]) == 2
    assert "has no card.json, so it is not a run" in capsys.readouterr().err


def test_a_layer_given_twice_is_refused():
    with raises_naming(InputError, "'image'"):
        named_layers(["a.tif", "image=b.tif"], ["image"])


def test_facts_of_an_onnx_file_are_refused_of_a_run_that_states_them_itself(case, capsys):
    assert main(arguments(case, "--legend", "background,building")) == 2
    error = capsys.readouterr().err
    assert f"{case / 'run'} is no ONNX file" in error
    assert not (case / "labels.tif").exists()
