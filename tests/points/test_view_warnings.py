"""Warnings of a training on views: classes that no view shows, and a validation part that none does."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from deepnets4eo.points.views.training import RenderedViews


@pytest.mark.parametrize(
    ("pixels", "validated", "withheld", "words"),
    [
        ((5, 7), True, [1], []),
        ((5, 0), True, [1], ["No training view shows tree: never learnt"]),
        ((0, 0), False, [], ["No training view shows ground, tree"]),
        ((5, 7), True, [], ["No view shows a labelled point of the validation part"]),
        ((5, 7), False, [], []),
    ],
)
def test_what_no_view_shows_is_named(
    pixels: tuple[int, int], validated: bool, withheld: list[int], words: list[str], caplog: Any
) -> None:
    views: Any = SimpleNamespace(
        legend=SimpleNamespace(names=("ground", "tree")), training_pixels=pixels, withheld=withheld,
        split=SimpleNamespace(validated=validated),
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        RenderedViews._warn_of_lacking(views)
    assert len(caplog.messages) == len(words)
    for message, word in zip(caplog.messages, words, strict=True):
        assert word in message
