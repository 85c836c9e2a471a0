"""What `make` would do, by its dry run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from source_trees import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def would_run(*words: str) -> str:
    return subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("owner", ["/another/checkout\n", ""])
def test_nothing_is_installed_into_the_environment_of_another_checkout(tmp_path: Path, owner: str) -> None:
    ready = tmp_path / ".ready"
    ready.write_text(owner)
    os.utime(ready, (0, 0))  # older than setup.cfg, as after each change of it
    assert "pip install" not in would_run("check", f"VENV={tmp_path}")
    ready.write_text(f"{ROOT}\n")
    os.utime(ready, (0, 0))
    assert "pip install" in would_run("check", f"VENV={tmp_path}")
