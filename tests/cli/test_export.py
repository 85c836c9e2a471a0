"""The verb `export`: the path on stdout, what was compared on stderr, and what it refuses."""

from pathlib import Path

import pytest
import torch

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter
from deepnets4eo.segmenters.export import ExportResult
from deepnets4eo.segmenters.run import save_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    inputs = InputSpec({"image": LayerInput(("a", "b", "c"), (0.0,) * 3, (1.0,) * 3, 0, 255)})
    segmenter = NetworkSegmenter({"name": "patch-alexnet", "width": 1}, inputs, Legend.load("isprs"))
    return save_run(segmenter, tmp_path / "run")


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Runs that were asked for, exported by name only: the graph itself is another file's tests."""
    asked = []

    def export_onnx(run, path):
        asked.append(run.folder)
        return ExportResult(path, any_size=False, side_px=576, same_labels=1.0, largest_difference=2e-6)

    monkeypatch.setattr("deepnets4eo.segmenters.export.export_onnx", export_onnx)
    return asked


def test_the_path_is_all_that_goes_to_stdout(run, exported, tmp_path, capsys) -> None:
    assert main(["export", str(run), "--onnx", str(tmp_path / "a.onnx")]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'a.onnx'}\n"
    assert "the run's label on 100.0000% of pixels; largest difference of logits 2e-06" in captured.err
    assert "images of 576 × 576 px only" in captured.err
    assert exported == [run]


def test_a_file_is_replaced_only_with_overwrite(run, exported, tmp_path, capsys) -> None:
    (tmp_path / "a.onnx").write_text("something")
    arguments = ["export", str(run), "--onnx", str(tmp_path / "a.onnx")]
    assert main(arguments) == 1
    assert "Pass --overwrite" in capsys.readouterr().err
    assert exported == []
    assert main([*arguments, "--overwrite"]) == 0


def test_a_folder_for_hugging_face_is_a_run_for_other_verbs(run, tmp_path, capsys) -> None:
    assert main(["export", str(run)]) == 2
    assert "Give --onnx FILE, --hub FOLDER or --page FOLDER." in capsys.readouterr().err
    assert main(["export", str(run), "--hub", str(tmp_path / "hub")]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'hub'}\n"
    assert "Add a licence" in captured.err
    assert main(["check", str(tmp_path / "hub")]) == 0
    assert "hub: run" in capsys.readouterr().out


def test_what_is_no_run_is_refused(tmp_path, capsys) -> None:
    assert main(["export", str(tmp_path), "--onnx", str(tmp_path / "a.onnx")]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert "Traceback" not in error
