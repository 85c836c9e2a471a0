"""The verb `evaluate`: keys, files, streams and refusals as a user meets them."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.metrics import ConfusionMatrix

ISPRS = Legend.load("isprs")


def save(path, labels, top=5_000_000):
    return str(write_geotiff(path, labels, origin=(500_000, top)))


@pytest.fixture
def files(tmp_path):
    generator = np.random.default_rng(0)
    reference = np.kron(generator.integers(0, 5, (10, 10)), np.ones((9, 9), int)).astype(np.uint8)
    prediction = np.where(generator.random(reference.shape) < 0.2, 1, reference).astype(np.uint8)
    paths = save(tmp_path / "labels.tif", prediction), save(tmp_path / "reference.tif", ISPRS.decode(reference))
    return *paths, ConfusionMatrix(6).update(reference, prediction)


def test_json_has_the_promised_keys(files, tmp_path, capsys):
    prediction, reference, counts = files
    target = tmp_path / "scores.json"
    assert main(["evaluate", prediction, reference, "--legend", "isprs", "--erode", "3", "--json", str(target)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{target}\n"
    assert "full reference" in err
    found = json.loads(target.read_text())
    for key in ("overall_accuracy", "kappa", "average_accuracy", "mean_f1", "mean_iou", "fw_iou"):
        assert found[key] == pytest.approx(getattr(counts, key), abs=1e-12)
        assert isinstance(found["eroded"][key], float)
    for key in ("f1", "iou", "precision", "recall"):
        assert list(found[key]) == list(found["eroded"][key]) == list(ISPRS.names)
    assert found["confusion"] == counts.matrix.tolist()
    assert found["legend"] == "isprs"
    assert found["protocol"]["erode_px"] == 3
    assert found["f1"]["clutter"] is None
    assert found["absent_classes"] == ["clutter"]


def test_without_files_the_table_goes_to_stdout(files, capsys):
    assert main(["evaluate", *files[:2], "--legend", "isprs"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Scores in percent, legend isprs, full reference\n")
    assert "borders" not in out


def test_json_to_stdout_is_json_alone(files, capsys):
    assert main(["evaluate", *files[:2], "--legend", "isprs", "--json", "-"]) == 0
    assert "eroded" not in json.loads(capsys.readouterr().out)


def test_all_formats_are_written_and_their_paths_printed(files, tmp_path, capsys):
    targets = [str(tmp_path / "out" / name) for name in ("s.json", "s.csv", "s.md", "s.png")]
    options = zip(("--json", "--csv", "--markdown", "--figure"), targets, strict=True)
    assert main(["evaluate", *files[:2], "--legend", "isprs", *(word for pair in options for word in pair)]) == 0
    assert capsys.readouterr().out.splitlines() == targets
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["s.csv", "s.json", "s.md", "s.png"]


def test_a_protocol_of_a_card_brings_its_legend_and_name(files, capsys):
    assert main(["evaluate", *files[:2], "--protocol", "isprs_vaihingen/deepnetsforeo", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["legend"] == "isprs"
    assert found["protocol"]["name"] == "isprs_vaihingen/deepnetsforeo"
    assert found["protocol"]["card"]["reference"] == "eroded"
    assert found["protocol"]["card"]["stride_px"] == 32


def test_intervals_are_printed(files, capsys):
    words = ["--legend", "isprs", "--bootstrap", "50", "--set", "tile_px=30", "--ignore", "clutter"]
    assert main(["evaluate", *files[:2], *words]) == 0
    assert " to " in next(line for line in capsys.readouterr().out.splitlines() if line.startswith("overall accuracy"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no --legend was given"),
        (["--legend", "isprss"], "no legend \"isprss\". Did you mean 'isprs'"),
        (["--legend", "dfc2015", "--unknown", "maybe"], "'maybe' is not one of"),
        (["--legend", "isprs", "--ignore", "caar"], "Did you mean 'car'"),
        (["--legend", "isprs", "--figure", "matrix.a,b"], "matrix.a,b is no kind of figure that can be drawn"),
        (["--legend", "xbd"], "5 colours are not in legend"),
        (["--protocol", "dfc2015/bench"], "Did you mean 'benchmark'"),
    ],
)
def test_wrong_options_end_with_one_clear_line(files, words, message, capsys):
    assert main(["evaluate", *files[:2], *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_one_folder_is_a_mosaic_two_are_pairs(files, tmp_path, capsys):
    prediction, reference, counts = files
    with rasterio.open(prediction) as file:
        labels = file.read(1)
    (tmp_path / "two").mkdir()
    for name, row in (("top", 0), ("bottom", 45)):
        save(tmp_path / "halves" / f"{name}.tif", labels[row : row + 45], top=5_000_000 - row)
    save(tmp_path / "one" / "area1.tif", labels)
    (tmp_path / "two" / "area1_noBoundary.tif").write_bytes(Path(reference).read_bytes())
    for pair in ((tmp_path / "halves", reference), (tmp_path / "one", tmp_path / "two")):
        assert main(["evaluate", *map(str, pair), "--legend", "isprs", "--json", "-"]) == 0
        assert json.loads(capsys.readouterr().out)["confusion"] == counts.matrix.tolist()


def test_a_truncated_file_is_named(files, tmp_path, capsys):
    cut = tmp_path / "cut.tif"
    cut.write_bytes(Path(files[0]).read_bytes()[:-4000])
    assert main(["evaluate", str(cut), files[1], "--legend", "isprs"]) == 2
    assert "cut.tif" in capsys.readouterr().err


def test_a_missing_or_broken_file_is_named(files, tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "absent.tif"), files[1], "--legend", "isprs"]) == 2
    assert "absent.tif" in capsys.readouterr().err
    (tmp_path / "text.tif").write_text("no raster")
    assert main(["evaluate", files[0], str(tmp_path / "text.tif"), "--legend", "isprs"]) == 2
    assert "text.tif is not a raster" in capsys.readouterr().err


def test_a_result_that_cannot_be_written_is_an_error_not_a_trace(files, tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["evaluate", *files[:2], "--legend", "isprs", "--json", str(blocked / "scores.json")]) == 1
    assert "could not write" in capsys.readouterr().err
    assert blocked.read_text() == ""


def test_written_files_are_locked_and_the_stream_is_not(files, tmp_path, monkeypatch):
    locked = []
    monkeypatch.setattr("deepnets4eo.jobs.output_lock", lambda *paths: locked.append(paths) or nullcontext())
    words = ["evaluate", *files[:2], "--legend", "isprs"]
    assert main([*words, "--json", str(tmp_path / "scores.json")]) == 0
    assert locked[0] == (tmp_path / "scores.json",)
    assert main([*words, "--json", "-"]) == 0
    assert locked[-1] == ()


def test_every_file_of_points_is_scored_as_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "classified.xyz"
    path.write_text("x y z classification\n0 0 1 2\n1 0 1 2\n2 0 4 6\n")
    assert main(["evaluate", str(path), str(path), "--legend", "asprs_las", "--json", str(tmp_path / "s.json")]) == 0
    scores = json.loads((tmp_path / "s.json").read_text())
    assert (scores["unit"], scores["pixels"], scores["overall_accuracy"]) == ("points", 3, 1.0)
