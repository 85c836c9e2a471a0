"""A short form of the world's tests: few of the styles and hazards of each test, all with DEEPNETS4EO_WORLD=whole."""

import os
from collections import Counter
from pathlib import Path

import pytest

SETS = 4  # of parameters that a test runs with in the short form


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out further parameters of tests in this folder, unless the test is named with them."""
    if os.environ.get("DEEPNETS4EO_WORLD") == "whole" or any("[" in word for word in config.args):
        return
    seen: Counter[tuple[Path, str]] = Counter()
    kept, left_out = [], []
    for item in items:
        test = (item.path, getattr(item, "originalname", item.name))
        seen[test] += item.path.parent == Path(__file__).parent
        (left_out if seen[test] > SETS else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)
