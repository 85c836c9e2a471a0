"""Arrays of images and labels in archives: which axis holds the bands, which array is which, and what labels may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.classification.archives import _archive_targets, _bands_last, _one, find_arrays, list_archive
from deepnets4eo.errors import InputError

ARCHIVE = Path("a.npz")
LEGEND = Legend.load("xbd")  # four classes


@pytest.mark.parametrize(
    ("shape", "bands", "last"),
    [
        ((9, 3, 64, 64), 3, False), ((9, 64, 64, 3), 3, True), ((9, 3, 64, 64), 0, False), ((9, 64, 64, 3), 0, True), ((9, 63, 64, 64), 0, False), ((9, 13, 14, 64), 0, False),
        ((9, 3, 64, 3), 3, None), ((9, 64, 64, 64), 0, None), ((9, 64, 65, 66), 0, None), ((9, 63, 65, 66), 0, False), ((9, 3, 3, 64), 0, None), ((9, 4, 64, 64), 3, "4 bands, expected 3"),
        ((9, 64, 64, 4), 3, "4 bands, expected 3"),
    ],
)  # fmt: skip
def test_bands_are_on_the_axis_of_their_number_or_by_far_the_smallest(shape: Any, bands: int, last: Any) -> None:
    if isinstance(last, bool):
        assert _bands_last(shape, bands, ARCHIVE) is last
        return
    with raises_naming(InputError, "a.npz", last or "it is not clear which axis holds the bands"):
        _bands_last(shape, bands, ARCHIVE)


@pytest.mark.parametrize(
    ("labels", "targets"),
    [
        ([0, 3, -1], [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]), ([0.0, 3.0, -1.0], [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]),
        ([[1, 0, 0, 1]] * 3, [[1, 0, 0, 1]] * 3), ([0, 4, 1], "image 1 has the class 4"), ([0, 1, -2], "image 2 has the class -2"), ([0.5, 1, 1], "image 0 has the class 0.5"),
        ([0, 1], "expected (3,) or (3, 4)"), ([[1, 0]] * 3, "zeros and ones of 4 classes"), ([[1, 0, 0, 2]] * 3, "values up to 2"), ([[[0]]] * 3, "expected (3,)"),
    ],
)  # fmt: skip
def test_labels_are_indices_or_zeros_and_ones(labels: Any, targets: Any) -> None:
    if isinstance(targets, str):
        with raises_naming(InputError, "a.npz", targets):
            _archive_targets(np.array(labels), 3, LEGEND, ARCHIVE)
        return
    assert _archive_targets(np.array(labels), 3, LEGEND, ARCHIVE).astype(int).tolist() == targets


def test_arrays_are_found_by_their_names_or_their_axes(tmp_path: Path) -> None:
    x, y, names = np.zeros((5, 8, 8, 3), np.uint8), np.zeros(5, np.int64), np.zeros((2, 7))
    np.savez(tmp_path / "a.npz", images=x, labels=y, x=np.zeros((1, 1, 1, 1)))
    found = find_arrays(tmp_path / "a.npz")
    assert [None if one is None else one.name for one in found] == ["images", "labels"]
    np.savez(tmp_path / "b.npz", pictures=x, classes=y, other=names)
    found = find_arrays(tmp_path / "b.npz")
    assert [None if one is None else one.name for one in found] == ["pictures", "classes"]
    np.savez(tmp_path / "c.npz", pictures=x, first=y, second=y)
    assert find_arrays(tmp_path / "c.npz")[1] is None  # which of both?
    np.savez(tmp_path / "d.npz", first=x, second=x)
    with raises_naming(InputError, "d.npz has the arrays first", "expected images"):
        find_arrays(tmp_path / "d.npz")
    np.savez(tmp_path / "e.npz", images=y)
    with raises_naming(InputError, "images has the shape (5,)"):
        find_arrays(tmp_path / "e.npz")
    np.savez(tmp_path / "f.npz", images=x)
    with raises_naming(InputError, "f.npz has no labels"):
        list_archive(tmp_path / "f.npz", (), (), LEGEND)
    listed = list_archive(tmp_path / "a.npz", ["green"], ["red", "green", "blue"], LEGEND)
    assert listed.read(0).shape == (1, 8, 8)
    assert (listed.names[0], listed.targets.shape) == ("a.npz#0", (5, 4))
    assert _one("x", [], iter([])) is None
