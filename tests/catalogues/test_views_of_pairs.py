"""How far roofs of two images are apart, at the limits from which a plan names it; and names that are listed in a sentence."""

from types import SimpleNamespace
from typing import Any

import pytest

from deepnets4eo.catalogues import plan as plans
from deepnets4eo.catalogues.plan import FAR_PX, SEEN_PX, STOREY_M, Plan, _first


def pair_of(gsd_m: float | None = 0.5, angles: tuple[float | None, float | None] = (10.0, 20.0)) -> Any:
    images = {
        role: SimpleNamespace(off_nadir_deg=angle, gsd_m=gsd_m)
        for role, angle in zip(("before", "after"), angles, strict=True)
    }
    return SimpleNamespace(images=images)


def found_of(
    lean_m: tuple[float, float] | None, monkeypatch: pytest.MonkeyPatch, pair: Any = None
) -> list[tuple[str, str, str]]:
    factors = None if lean_m is None else tuple(metres / STOREY_M for metres in lean_m)
    monkeypatch.setattr(plans, "lean_difference", lambda *_: factors)
    return [
        (one.code, one.severity, one.wording or "")
        for one in Plan._findings_of_pair(pair_of() if pair is None else pair)
    ]


@pytest.mark.parametrize(
    ("apart_px", "severity"),
    [(SEEN_PX - 0.01, None), (SEEN_PX + 0.01, "note"), (FAR_PX - 0.01, "note"), (FAR_PX + 0.01, "caution")],
)
def test_roofs_apart_are_a_note_and_far_apart_a_caution(
    apart_px: float, severity: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart_m = 0.5 * apart_px
    codes = found_of((apart_m, apart_m), monkeypatch)
    assert [(code, how) for code, how, _ in codes] == ([] if severity is None else [("views_differ", severity)])


@pytest.mark.parametrize(("least_px", "severity"), [(0.0, "note"), (FAR_PX - 0.01, "note"), (FAR_PX + 0.01, "caution")])
def test_unknown_directions_are_named_by_what_roofs_are_apart_at_least(
    least_px: float, severity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = found_of((0.5 * least_px, 0.5 * (least_px + SEEN_PX + 0.01)), monkeypatch)
    assert found == ("views_not_known", severity, "directions_not_known")
    ((code, _, _),) = found_of((0.5 * (FAR_PX - 0.9), 0.5 * (FAR_PX - 0.9 + SEEN_PX - 0.02)), monkeypatch)
    assert code == "views_differ"


def test_the_coarser_pixels_count_and_unknown_angles_are_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    far = (FAR_PX + 0.01) * 0.5
    mixed = pair_of()
    mixed.images["after"].gsd_m = 1e3
    assert found_of((far, far), monkeypatch, mixed) == []
    assert [code for code, *_ in found_of(None, monkeypatch, pair_of(angles=(None, 20.0)))] == ["views_not_known"]
    alone: Any = SimpleNamespace(images={"after": SimpleNamespace(off_nadir_deg=3.0, gsd_m=0.5)})
    assert found_of((far, far), monkeypatch, alone) == []


@pytest.mark.parametrize(("number", "code"), [(5, "all_names"), (6, "names_and_others")])
def test_five_names_are_listed(number: int, code: str) -> None:
    phrase = _first([f"n{index}" for index in range(number)])
    assert phrase.key == code
    assert "n4" in phrase.text()
    assert "n5" not in phrase.text()
