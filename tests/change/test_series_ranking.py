"""Rare changes come first whatever light, season and clouds do; what does not hold, or repeats each year, is no change."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from affine import Affine
from made_up_series import BANDS, CELL, Change, make_series
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.change import NoveltyOptions, NoveltyRanking, rank_novelty
from deepnets4eo.change.series.deltas import (
    find_spikes,
    iter_deltas,
    linear_residuals,
    running_medians,
    season_of,
    standardise,
    whiten,
)
from deepnets4eo.change.series.features import CellGrid, CellSeries, SpectralTexture, measure_cells
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError

CHANGES = (Change(3, 4, 7), Change(10, 12, 11), Change(6, 8, 9))


def measure(images) -> CellSeries:
    series = ImageSeries(images, bands=BANDS)
    return measure_cells(series, CellGrid(series.grid, CELL, CELL), SpectralTexture(BANDS), workers=1)


@pytest.fixture(scope="module")
def cells() -> CellSeries:
    return measure(make_series(changes=CHANGES, clouds=0.15))


@pytest.fixture(scope="module")
def ranking(cells) -> NoveltyRanking:
    return rank_novelty(cells)


def hits(ranking: NoveltyRanking, cells: CellSeries, changes=CHANGES) -> list[int]:
    """For each row the number of the change that it shows, −1 for none; a change may be seen after clouds have gone."""
    numbers = []
    for row in ranking.table.itertuples():
        col, line = (int(side // CELL) for side in (row.geometry.centroid.x, row.geometry.centroid.y))
        late = [cells.dates.index(date.fromisoformat(row.date)) - change.index for change in changes]
        match = [n for n, one in enumerate(changes) if (one.row, one.col) == (line, col) and 0 <= late[n] <= 3]
        numbers.append(match[0] if match else -1)
    return numbers


def test_the_true_changes_lead_the_ranking_under_clouds_and_seasons(cells, ranking):
    assert sorted(hits(ranking, cells)[:3]) == [0, 1, 2]
    assert len(ranking) > 3
    assert ranking.table["score"].is_monotonic_decreasing
    assert (ranking.table["before"] < ranking.table["date"]).all()
    assert ranking.table["id"].tolist() == list(range(1, len(ranking) + 1))


@pytest.mark.parametrize("how", [{"clustering": "hdbscan"}, {"rank_by": "isolation"}, {"rank_by": "magnitude"}])
def test_other_ways_of_ranking_put_them_first_too(cells, how):
    assert sorted(hits(rank_novelty(cells, NoveltyOptions(**how)), cells)[:3]) == [0, 1, 2]


def test_gains_and_offsets_of_a_date_do_not_move_the_ranking(cells, ranking):
    rng = np.random.default_rng(3)
    gain = rng.uniform(0.5, 2, (len(cells.dates), 1, cells.values.shape[2])).astype(np.float32)
    moved = replace(cells, values=cells.values * gain + np.where(cells.valid, 7, 0)[..., None].astype(np.float32))
    again = rank_novelty(moved)
    assert hits(again, cells)[:3] == hits(ranking, cells)[:3]
    np.testing.assert_allclose(again.table["magnitude"][:3], ranking.table["magnitude"][:3], rtol=0.01)


def test_a_change_of_one_date_alone_is_left_out_unless_persistence_is_0():
    passing = make_series(5, changes=(Change(5, 5, 7),))
    clean = make_series(5)
    images = [*clean[:7], passing[7], *clean[8:]]
    cells = measure(images)
    short = (Change(5, 5, 7),)
    assert 0 not in hits(rank_novelty(cells), cells, short)
    assert hits(rank_novelty(cells, NoveltyOptions(persistence=0)), cells, short)[0] == 0
    spikes = find_spikes(standardise(cells, cells.valid), cells.valid)
    assert spikes[7, 5 * 16 + 5]
    assert spikes.mean() < 0.02


def test_what_is_new_may_scatter_more_than_all_other_cells_and_still_leads_from_its_first_date():
    """Dark water: from a date on, a cell is far from its past and differs from date to date by more than clouds need to."""
    rng = np.random.default_rng(1)
    days = [date(2020, 1, 10) + timedelta(days=20 * number) for number in range(20)]
    values = rng.normal(size=(1, 200, 6)) + rng.normal(0, 0.05, (20, 200, 6))
    values[11:, 40] += 8 + rng.normal(0, 1, (9, 6))
    values[6, 90] += 8  # a cloud
    cells = CellSeries(
        CellGrid(GeoBox((160, 320), Affine.identity(), None), 16, 16),
        days, values.astype(np.float32), np.ones((20, 200), bool), list("abcdef"),
    )  # fmt: skip
    spikes = find_spikes(standardise(cells, cells.valid), cells.valid)
    assert spikes[6, 90]
    assert not spikes[11, 40]
    assert spikes[12:, 40].any()  # its later dates scatter, and yet they show that the change holds
    first = rank_novelty(cells).table.iloc[0]
    assert (first["date"], first.geometry.centroid.x, first.geometry.centroid.y) == (days[11].isoformat(), 8.0, 40.0)


def test_a_change_that_repeats_each_year_is_no_change_once_two_years_are_known():
    """Cell 40 differs each July and August of four years; the last of them is expected of the season."""
    rng = np.random.default_rng(0)
    days = [date(2016 + number // 12, number % 12 + 1, 10) for number in range(48)]
    values = rng.normal(size=(1, 200, 6)) + rng.normal(0, 0.05, (48, 200, 6))
    for number, day in enumerate(days):
        if day.month in (7, 8, 9):
            values[number, 40] += 4
    values[40:, 120] += 4
    grid = GeoBox((160, 320), Affine.identity(), None)
    cells = CellSeries(
        CellGrid(grid, 16, 16), days, values.astype(np.float32), np.ones((48, 200), bool), list("abcdef")
    )

    def magnitude(season_days: int, cell: int, month: int) -> float:
        options = NoveltyOptions(season_days=season_days)
        return next(
            float(one.magnitude[cell])
            for one in iter_deltas(cells, options)
            if days[one.index] == date(2019, month, 10)
        )

    assert magnitude(0, 40, 7) > 5
    assert magnitude(20, 40, 7) < 2
    assert magnitude(20, 120, 5) > 5


def test_seasons_need_two_earlier_years():
    days = [date(2017, 6, 1), date(2018, 6, 9), date(2018, 12, 1), date(2019, 6, 5)]
    assert season_of(days, 3, 30) == [0, 1]
    assert season_of(days, 3, 5) == [0, 1]
    assert season_of(days, 3, 2) == []
    assert season_of(days, 1, 30) == []


def test_running_medians_use_the_last_valid_dates_of_each_cell():
    rng = np.random.default_rng(4)
    values, valid = rng.normal(size=(9, 5, 2)).astype(np.float32), rng.random((9, 5)) < 0.7
    for index, medians, known in running_medians(values, valid, 3, range(9), 3):
        for cell in range(5):
            earlier = [number for number in range(index) if valid[number, cell]]
            assert known[cell] == (len(earlier) >= 3)
            if known[cell]:
                np.testing.assert_array_equal(medians[cell], np.median(values[earlier[-3:], cell], axis=0))


def test_what_a_linear_change_of_all_cells_explains_is_subtracted_and_the_rest_is_white():
    rng = np.random.default_rng(6)
    baseline = rng.normal(size=(600, 4)).astype(np.float32)
    mixing = rng.normal(size=(4, 4))
    noise = rng.normal(size=(600, 4)) @ np.diag([0.3, 0.4, 0.2, 0.5])
    values = (baseline @ mixing + 3 + noise).astype(np.float32)
    values[17] += 2
    known = np.ones(600, bool)
    residual = linear_residuals(values, baseline, known)
    others = np.delete(np.arange(600), 17)
    columns = np.column_stack([np.ones(600), baseline])
    plain = values - columns @ np.linalg.lstsq(columns[others], values[others], rcond=None)[0]
    inside = np.abs(baseline).max(axis=1) < 3
    assert np.corrcoef(residual[inside].ravel(), plain[inside].ravel())[0, 1] > 0.9
    assert np.linalg.norm(residual[others]) < 0.4 * np.linalg.norm((values - baseline)[others] - 3)
    whitened = whiten(residual, known)[1]
    magnitude = np.linalg.norm(whitened, axis=1)
    assert magnitude.argmax() == 17
    assert np.median(magnitude) == pytest.approx(1, abs=1e-3)
    deviation = np.delete(whitened, 17, axis=0).std(axis=0)
    assert deviation.max() / deviation.min() < 1.5


def test_fits_are_counted_on_the_cells_that_they_use_and_few_cells_only_lose_their_median():
    """146 cells of which 73 are fitted: enough for 18 coefficients, one fewer than 18 features and a constant have."""
    rng = np.random.default_rng(8)
    known = np.ones(146, bool)
    changed = np.arange(146) < 28
    for features, fitted in ((17, True), (18, False)):
        baseline = rng.normal(size=(146, features)).astype(np.float32)
        values = (baseline + 0.3 * rng.normal(size=(146, features)) + 0.5).astype(np.float32)
        values[changed] += 1.5 * rng.choice([-1, 1], features)
        residual = linear_residuals(values, baseline, known)
        plain = values - baseline - np.median(values - baseline, axis=0)
        assert np.allclose(residual, plain, atol=1e-6) != fitted
        lengths = np.linalg.norm(whiten(plain, known)[1], axis=1)
        assert np.median(lengths) == pytest.approx(1, abs=1e-3)
        assert lengths[changed].min() > lengths[~changed].max()
        matrix = whiten(np.tile(plain, 2), known)[0]  # 36 features of 73 cells have no covariance worth using
        assert np.allclose(matrix, np.eye(2 * features) * matrix[0, 0])


def test_the_changes_most_like_one_are_of_its_kind(tmp_path, cells, ranking):
    numbers = hits(ranking, cells)
    first = ranking.table["id"].tolist()[numbers.index(0)]
    nearest = ranking.similar(first, 3)
    assert {numbers[one - 1] for one in nearest["id"][:2]} <= {0, 1, 2}
    assert nearest["similarity"].is_monotonic_decreasing
    unit = ranking.vectors / np.linalg.norm(ranking.vectors, axis=1, keepdims=True)
    expected = float(unit[first - 1] @ unit[nearest["id"].iloc[0] - 1])
    assert nearest["similarity"].iloc[0] == pytest.approx(expected, abs=1e-3)
    ranking.write(tmp_path)
    again = NoveltyRanking.read(tmp_path)
    assert again.similar(first, 3)["id"].tolist() == nearest["id"].tolist()
    assert again.table["date"].tolist() == ranking.table["date"].tolist()
    with raises_naming(InputError, "change 0"):
        again.similar(0)


def test_folders_without_a_whole_ranking_are_refused(tmp_path, ranking):
    with pytest.raises(InputError, match="holds no ranking"):
        NoveltyRanking.read(tmp_path)
    ranking.write(tmp_path)
    (tmp_path / "changes.npz").write_bytes(b"PK no archive")
    with raises_naming(InputError, "changes.npz"):
        NoveltyRanking.read(tmp_path)
    np.savez(tmp_path / "changes.npz", vectors=np.zeros((2, 3)))
    with raises_naming(InputError, "changes.gpkg", "npz 2"):
        NoveltyRanking.read(tmp_path)


def test_too_few_dates_are_refused_and_no_change_is_an_empty_ranking(tmp_path, cells):
    one = replace(cells, dates=cells.dates[:1], values=cells.values[:1], valid=cells.valid[:1])
    with raises_naming(InputError, "1 dates", "least 6", "3"):
        rank_novelty(one)
    same = replace(cells, values=np.broadcast_to(cells.values[:1], cells.values.shape), valid=np.ones_like(cells.valid))
    empty = rank_novelty(same)
    assert len(empty) == 0
    empty.write(tmp_path)
    assert len(NoveltyRanking.read(tmp_path)) == 0


def test_events_beyond_those_that_are_clustered_are_as_rare_as_those_around_them(monkeypatch):
    from deepnets4eo.change.series import ranking

    rng = np.random.default_rng(0)
    vectors = (rng.normal(0, 0.1, (600, 2)) + 10 * np.arange(3).repeat(200)[:, None]).astype(np.float32)
    monkeypatch.setattr(ranking, "MAX_BY_DENSITY", 300)
    labels = ranking._cluster(vectors, NoveltyOptions(clustering="hdbscan"))
    rare = ranking._rarity(labels)
    assert (rare < 2).mean() > 0.95


@pytest.mark.parametrize(("value", "bands"), [(-3.4028234663852886e38, 4), (-9999.0, 4), (1e30, 1), (-1e200, 4)])
def test_values_that_nothing_measures_are_named_and_left_out_as_declared_nodata_is(caplog, value, bands):
    images = [
        replace(image, sources=(image.sources[0].astype(np.float64),)) for image in make_series(count=8, size=128)
    ]
    hole = np.s_[20:60, 30:50]
    holed, spoilt = list(images), list(images)
    for index in (2, 5):
        data = images[index].sources[0]
        data[(slice(None), *hole)] = np.nan
        holed[index] = replace(images[index], sources=(data,))
        known = np.where(np.isnan(data), 500.0, data)
        known[(slice(bands), *hole)] = value
        spoilt[index] = replace(images[index], sources=(known,))
    expected, found = measure(holed), measure(spoilt)
    np.testing.assert_array_equal(found.valid, expected.valid)
    np.testing.assert_array_equal(found.values, expected.values)
    rank_novelty(found)  # whose linear algebra does not end on such values
    assert f"{value:g}" in caplog.text
    assert ("gdal_edit.py -a_nodata" if bands == 1 else "rio edit-info --nodata") in caplog.text
