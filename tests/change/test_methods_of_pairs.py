"""Which method finds the change of a pair, which runs may, and what the map notes of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepnets4eo.change import ChangeOptions, deciding
from deepnets4eo.change.classical.detector import ChangeDetector, DateLayers
from deepnets4eo.errors import InputError

DATES = [DateLayers.pre, DateLayers.post]


@pytest.mark.parametrize(
    ("options", "embedded", "method"),
    [
        ({}, True, "cosine"),
        ({}, False, deciding.FeatureDistance.name),
        ({"method": "cva"}, True, "cva"),
    ],
)
def test_embeddings_are_compared_by_their_cosine_unless_a_method_is_named(
    options: dict[str, Any], embedded: bool, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(deciding, "check_extra", checked.append)
    pair: Any = SimpleNamespace(scene=SimpleNamespace(layers={DateLayers.post: SimpleNamespace(embedding="galileo" if embedded else None)}))  # fmt: skip
    wanted = ChangeOptions(**{"method": deciding.FeatureDistance.name, **options})
    assert deciding.with_method_of(pair, wanted).method == method
    assert checked == ["deep"] * (method == deciding.FeatureDistance.name)


@pytest.mark.parametrize(
    ("names", "from_to", "cover", "refused"),
    [
        (DATES, False, None, ""),
        (DATES, True, None, ""),
        (DATES, False, "cover.tif", ""),
        (DATES, True, "cover.tif", "finds the land cover of both dates itself"),
        (["image"], False, None, "reads the layers"),
        (DATES[::-1], False, None, "reads the layers"),
    ],
)
def test_a_run_of_change_reads_both_dates_and_names_land_cover_once(
    names: list[str], from_to: bool, cover: str | None, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SimpleNamespace(inputs=SimpleNamespace(names=names), legend="legend", folder="run")
    monkeypatch.setattr(deciding, "load_run", lambda _: run)
    monkeypatch.setattr(deciding, "check_change_legend", lambda *_: None)
    monkeypatch.setattr(deciding, "is_from_to", lambda _: from_to)
    options: Any = SimpleNamespace(model="run", cover_pre=cover)
    if refused:
        with pytest.raises(InputError, match=refused):
            deciding.load_change_run(options)
    else:
        assert deciding.load_change_run(options) is run
    assert deciding.load_change_run(SimpleNamespace(model=None)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("normalise", ["none", "histogram"])
def test_a_trained_run_reads_the_pair_as_it_is_or_normalised(normalise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: Any = SimpleNamespace(inputs=SimpleNamespace(as_trained=lambda scene: f"{scene} as trained"))
    monkeypatch.setattr(deciding, "normalise", lambda scene, _: (f"{scene}, normalised", "values"))
    options: Any = SimpleNamespace(model="runs/siamese", normalise=normalise)
    pair: Any = SimpleNamespace(run=trained, scene="pair")
    measured = deciding.prepare(pair, Path(), options)
    assert measured.run is trained
    assert measured.notes["method"] == "run runs/siamese"
    assert measured.scene == ("pair" if normalise == "none" else "pair as trained, normalised")  # type: ignore[comparison-overlap]
    assert measured.notes.get("normalisation") == (None if normalise == "none" else "values")


@pytest.mark.parametrize(("own", "how"), [(0.3, "of the method itself"), (0.0, "of the method itself"), (None, "otsu")])
def test_the_threshold_is_named_as_the_methods_own_or_as_it_was_found(
    own: float | None, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector: Any = object.__new__(ChangeDetector)
    monkeypatch.setattr(ChangeDetector, "method", SimpleNamespace(threshold=own), raising=False)
    monkeypatch.setattr(ChangeDetector, "threshold", 0.25, raising=False)
    asked: list[Any] = []
    monkeypatch.setattr(deciding, "kept_run", lambda folder, _, seed: asked.append((folder, seed)) or SimpleNamespace(segmenter=detector))  # fmt: skip
    options: Any = SimpleNamespace(method="cva", threshold="otsu", seed=3)
    pair: Any = SimpleNamespace(run=None, scene="pair")
    measured = deciding.prepare(pair, tmp_path, options)
    assert measured.notes == {"method": "cva", "threshold": 0.25, "threshold_method": how}
    assert asked == [(tmp_path / "run", 3)]
