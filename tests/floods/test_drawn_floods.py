"""Which probabilities a flood map is drawn from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepnets4eo.floods import products
from deepnets4eo.floods.mapper import WaterMapper
from deepnets4eo.outputs import EventInfo, Finding


class DrawnError(Exception):
    """What a map is drawn from."""


@pytest.mark.parametrize("with_mud", [True, False])
def test_mud_that_was_found_changes_the_probabilities(
    with_mud: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FakeLayer:
        def __init__(self, source: Any) -> None:
            self.source = source

        open = classmethod(lambda cls, path: cls(path.name))

    def write(_: Any, dry: FakeLayer, *__: Any, **___: Any) -> None:
        raise DrawnError(dry.source)

    monkeypatch.setattr(products, "Layer", FakeLayer)
    monkeypatch.setattr(products, "WithMud", lambda dry, mapped, sure: (dry.source, mapped.source, sure))
    monkeypatch.setattr(products, "write_labels_and_score", write)
    monkeypatch.setattr(products, "_sure_labels", lambda *_: ("sure", with_mud, [Finding("image_dark", "note", {})]))
    measured: Any = SimpleNamespace(run=SimpleNamespace(segmenter=object.__new__(WaterMapper)))
    nothing: Any = None
    with pytest.raises(DrawnError) as drawn:
        products.draw_flood(nothing, measured, tmp_path, tmp_path, nothing, EventInfo())
    dry = products.maps.PROBABILITIES
    assert drawn.value.args == (((dry, products.maps.LABELS, "sure"),) if with_mud else (dry,))
