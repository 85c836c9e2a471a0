"""Intervals of the demo: cities of the wanted share, rows that are kept, and a truth beside the interval that counts as missed."""

from pathlib import Path

import demo_intervals
import pytest


def row(damaged: int, low: float, high: float, *, size_px: int = 640) -> dict[str, object]:
    """A row of 100 assessed buildings."""
    return {
        "seed": damaged, "size_px": size_px, "share": None, "assessed": 100, "damaged": damaged, "interval_95": [low, high],
        "width": (high - low) / 100, "auc": 1.0, "f1": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize("share", [0.1, 0.7])
def test_the_share_is_as_asked_and_the_grades_keep_their_proportions(share: float) -> None:
    drawn, changed = demo_intervals.draw_event(3, None), demo_intervals.draw_event(3, share)
    assert sum(changed.damage_shares[1:]) == pytest.approx(share)
    assert changed.damage_shares[1] / changed.damage_shares[3] == pytest.approx(
        drawn.damage_shares[1] / drawn.damage_shares[3]
    )
    assert changed.kind == drawn.kind


def test_ends_count_as_inside_and_misses_by_their_side() -> None:
    rows = [row(10, 10, 20), row(20, 10, 20), row(21, 10, 20, size_px=896), row(9, 10, 20)]
    results = demo_intervals.results_of(rows)
    assert {key: results["all"][""][key] for key in ("cities", "inside", "too_low", "width")} == {
        "cities": 4, "inside": 2, "too_low": 1, "width": 0.1,
    }  # fmt: skip
    assert results["size_px"]["896"]["inside"] == 0
    assert "| size_px 640 | 3 | 2 | 0 |" in demo_intervals.table_of(results)


def test_finished_cities_are_not_mapped_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []

    def map_city(seed: int, size_px: int, share: float | None) -> dict[str, object]:
        seeds.append(seed)
        return row(seed, 0, 1)

    monkeypatch.setattr(demo_intervals, "map_city", map_city)
    first = list(demo_intervals.map_cities(tmp_path, 2))
    assert list(demo_intervals.map_cities(tmp_path, 3))[:2] == first
    assert seeds == [41_000, 41_001, 41_002]
