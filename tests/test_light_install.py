"""Without PyTorch, and without what only POSIX systems have: the same results, and errors that say what to install."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from light_jobs import INSTALL, run_jobs
from refusals import raises_naming

from deepnets4eo import lazy
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, MissingExtraError
from deepnets4eo.lazy import check_extra, name_missing_extra
from deepnets4eo.points.snapnet import SnapNetLabeller
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.training import train

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def network_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bands = LayerInput(("red", "green", "blue"), (0.0,) * 3, (1.0,) * 3, 0.0, 255.0)
    segmenter = NetworkSegmenter({"name": "segnet", "width": 4}, InputSpec({"image": bands}), Legend.load("minicity"))
    return save_run(segmenter, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory, network_run: Path) -> dict[str, Any]:
    """What the jobs reported in a process where the modules are hidden."""
    out = tmp_path_factory.mktemp("without")
    command = [sys.executable, "-X", "warn_default_encoding", str(ROOT / "tests" / "light_jobs.py"), str(out), "--hide"]
    done = subprocess.run(
        [*command, "--network-run", str(network_run)], capture_output=True, text=True, check=False, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def test_the_jobs_give_the_same_bits_with_and_without_torch(without: dict[str, Any], tmp_path: Path) -> None:
    assert without["loaded"] == []
    assert without["hashes"] == run_jobs(tmp_path)


def test_a_job_that_needs_a_network_says_what_to_install(without: dict[str, Any]) -> None:
    assert len(without["refusals"]) == 6
    for job, (status, message) in without["refusals"].items():
        install = 'pip install "deepnets4eo[onnx]"' if job == "export" else INSTALL  # what is enough for the whole job
        assert (status, install in message) == (2, True), (job, message)


def test_a_run_that_holds_a_network_is_named(without: dict[str, Any], network_run: Path) -> None:
    assert str(network_run) in without["refusals"]["predict"][1]


def test_all_that_was_written_follows_the_umask(without: dict[str, Any]) -> None:
    if os.name == "posix":
        assert without["modes"] == {"files": ["0o640"], "folders": ["0o750"]}


def test_outputs_are_locked_where_only_windows_locks_are(without: dict[str, Any]) -> None:
    assert without["locks"] >= 8


def test_only_modules_of_extras_are_named_missing() -> None:
    message = r'^timm is not installed. Install it: pip install "deepnets4eo\[deep\]"$'
    with pytest.raises(MissingExtraError, match=message), name_missing_extra():
        raise ModuleNotFoundError("No module named 'timm.models'", name="timm.models")
    with raises_naming(ModuleNotFoundError, "'numpie'"), name_missing_extra():
        import numpie  # noqa: F401
    assert issubclass(MissingExtraError, InputError)
    assert issubclass(MissingExtraError, ImportError)


def test_an_extra_is_checked_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    check_extra("deep")
    monkeypatch.setitem(lazy.EXTRAS, "nowhere_to_be_found", "deep")
    with raises_naming(MissingExtraError, "nowhere_to_be_found"):
        check_extra("deep")
    with raises_naming(MissingExtraError, "nowhere_to_be_found", "deepnets4eo"):
        check_extra("deep", install="onnx")


@pytest.mark.parametrize("recipe", ["buildings", "damage-network"])
def test_all_missing_extras_are_named_at_once(recipe: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module, extra in (("no_networks", "deep"), ("no_radar", "radar")):
        monkeypatch.setitem(lazy.EXTRAS, module, extra)
    message = r'^no_networks and no_radar are not installed. Install them: pip install "deepnets4eo\[deep,radar\]"$'
    with pytest.raises(MissingExtraError, match=message):
        train(recipe, tmp_path / "run")


def test_snapnet_names_the_extra_of_its_clouds_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(lazy.EXTRAS, "no_networks", "deep")
    with raises_naming(MissingExtraError, "deepnets4eo"):
        train("points/snapnet", tmp_path / "run")
    with raises_naming(MissingExtraError, "deepnets4eo"):
        SnapNetLabeller.from_run(tmp_path)


def test_public_names_of_networks_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in Python, where no command line makes a message of it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    rooms = ("deepnets4eo.fusion.", "deepnets4eo.segmentation.")
    for name in [name for name in sys.modules if name.startswith(rooms)]:
        monkeypatch.delitem(sys.modules, name)
    import deepnets4eo

    for use in (
        lambda: deepnets4eo.fusion.FuseNet,
        lambda: deepnets4eo.create_model("fusenet", in_channels=4, num_classes=2, streams=[3, 1]),
        lambda: deepnets4eo.segmentation.signed_distance(np.zeros((4, 4), np.uint8), 2),
    ):
        with raises_naming(MissingExtraError, "deepnets4eo"):
            use()
