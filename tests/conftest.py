"""What tests share: where the real samples are, and quiet libraries."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples every time, however slow the machine: a test that fails here fails everywhere.
settings.register_profile("deepnets4eo", deadline=None, derandomize=True, database=None)
settings.load_profile("deepnets4eo")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real samples; skips where it is absent, saying so."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DEEPNETS4EO_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"the real samples are not at {folder}; set DEEPNETS4EO_DATA to their folder")
    return folder
