"""Sums and shares by hand: bright pixels dimmed, windows that are not square, angles by rounding, judgements widened, tools of maps, arrays sampled."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray

from deepnets4eo.change.classical.pair_scores import CosineDistance
from deepnets4eo.damage.comparison.maps import _tool_of
from deepnets4eo.damage.decision.reliability import Judgement
from deepnets4eo.errors import InputError
from deepnets4eo.floods import permanent
from deepnets4eo.floods.thresholds import DRY, NOT_SEEN, PERMANENT_WATER
from deepnets4eo.interferometry.coherence import sample_coherence
from deepnets4eo.interferometry.fringes import FringeField
from deepnets4eo.interferometry.looks import Correlation
from deepnets4eo.rasters import Layer
from deepnets4eo.xarray import _samples


def test_pixels_brighter_than_three_times_the_root_mean_square_are_dimmed_to_it() -> None:
    image = np.ones((10, 10), np.complex64)
    image[5, 5] = 100j
    valid = np.ones((10, 10), bool)
    correlation = Correlation((2, 3))
    correlation.add((image, 2 * image), valid)
    level = 3 * np.sqrt((99 + 100**2) / 100)
    assert correlation._sums[0][:, 0].real == pytest.approx([99 / level**2 + 1] * 2, rel=1e-5)
    assert correlation._sums[1][:, 0].real == pytest.approx([99 / level**2 + 1] * 2, rel=1e-5)
    # 90 pairs of neighbours along rows, of which two have the bright pixel, whose phase is a quarter turn off
    assert correlation._sums[0][0, 1].real == pytest.approx(88 / level**2, rel=1e-5)
    assert correlation._sums[1][0, 2].real == pytest.approx(78 / level**2, rel=1e-5)
    before = [part.copy() for part in correlation._sums]
    correlation.add((image, image), ~valid)
    for part, earlier in zip(correlation._sums, before, strict=True):
        np.testing.assert_array_equal(part, earlier)


@pytest.mark.parametrize("window", [(3, 17), (17, 3), (5, 5)])
def test_coherence_is_unknown_in_the_pixel_without_data_and_whole_around_it(window: tuple[int, int]) -> None:
    side = FringeField.block_px
    shape = (side + window[0] - 1, 2 * side + window[1] - 1)
    image = np.exp(2j * np.pi * np.random.default_rng(0).random(shape))
    valid = np.ones(shape, bool)
    valid[window[0] // 2 + 7, window[1] // 2 + 11] = False
    coherence, share = sample_coherence(image, image, valid, np.zeros((2, 1, 2)), window)
    assert np.argwhere(np.isnan(coherence)).tolist() == [[7, 11]]
    assert np.nanmin(coherence) == pytest.approx(1, abs=1e-6)
    size = window[0] * window[1]
    rows, cols = np.mgrid[:side, : 2 * side]
    near = (abs(rows - 7) <= window[0] // 2) & (abs(cols - 11) <= window[1] // 2)
    np.testing.assert_allclose(share, np.where(near, (size - 1) / size, 1), rtol=1e-6)
    unknown = np.zeros((2, 1, 2))
    unknown[1, 0, 1] = np.nan
    coherence, _ = sample_coherence(image, image, np.ones(shape, bool), unknown, window)
    assert np.isnan(coherence[:, side:]).all()
    assert np.isfinite(coherence[:, :side]).all()


@pytest.mark.parametrize("bands", [2, 5])
@pytest.mark.parametrize(("times", "is_change"), [(0.8, False), (1.2, True)])
def test_angles_that_rounding_explains_are_none(bands: int, times: float, is_change: bool) -> None:
    """Each of n values is off by up to half a step, of variance step²/12, across the vector: (n - 1) / 24 (step² / |v|²) for both dates; eight times that counts as none."""
    score = CosineDistance()
    score.with_steps((1.0, 2.0))
    lengths = 100.0, 200.0
    rounding = 8 * (bands - 1) / 24 * (1.0 / lengths[0] ** 2 + 4.0 / lengths[1] ** 2)
    turn = np.arccos(1 - times * rounding)
    pair = np.zeros((2 * bands, 1, 1))
    pair[0], pair[bands], pair[bands + 1] = lengths[0], lengths[1] * np.cos(turn), lengths[1] * np.sin(turn)
    found = score.measure(pair)[0, 0]
    assert found == pytest.approx(times * rounding if is_change else 0, rel=1e-4)


def judgement(names: list[str]) -> Judgement:
    fitted: Any = SimpleNamespace(widen=lambda weight, by: f"widened by {weight}")
    probabilities = np.tile([0.7, 0.1, 0.1, 0.1], (len(names), 1))
    return Judgement(probabilities, np.array(names, object), {"images": fitted, "post": fitted})


def test_only_the_shares_of_buildings_that_were_assessed_widen_a_reliability() -> None:
    before = judgement(["images", "images", "post", "images", "post"])
    before.probabilities[3] = np.nan
    scores = np.full((5, 4), 0.25)
    after = before.widen_rows(np.array([0.0, 0.5, 0.5, 0.9, 0.25]), scores)
    assert after.whose.tolist() == ["images", "images, 0.5 unmeasured", "post, 0.5 unmeasured", "images", "post, 0.25 unmeasured"]  # fmt: skip
    assert set(after.reliabilities) == {"images", "post"} | set(after.whose)
    np.testing.assert_array_equal(after.probabilities[[1, 2, 4]], scores[:3])
    np.testing.assert_array_equal(after.probabilities[[0, 3]], before.probabilities[[0, 3]])
    measured: Any = "scores"
    assert before.widen_rows(np.full(5, 0.5), scores, measured).whose[0] == "images, 0.5 measured"


@pytest.mark.parametrize(
    ("columns", "grade", "name", "scale"),
    [
        (["damage_gra"], None, "Copernicus EMS", "words"),
        (["Main_Damage_Site_Class"], None, "UNOSAT", "codes"),
        (["mine", "Main_Damage_Site_Class"], "Main_Damage_Site_Class", "other tool", "codes"),
        (["mine"], "mine", "other tool", None),
        (["damage_gra"], "damage_gra", "other tool", None),  # words show their scale
        (["damaged", "score"], "damaged", "other tool", None),  # yes and no, or anything
    ],
)
def test_codes_have_the_scale_of_the_tool_that_calls_its_column_so(
    columns: list[str], grade: str | None, name: str, scale: str | None
) -> None:
    tool, column = _tool_of(columns, "map.gpkg", grade)
    assert (tool.name, column) == (name, grade or columns[0])
    if scale == "codes":
        assert tool.scale is not None
        assert "UNOSAT" in tool.scale.name
    elif grade is not None:
        assert tool.scale is None


def test_a_table_of_no_known_tool_names_its_columns() -> None:
    with pytest.raises(InputError, match="it has the columns mine, yours"):
        _tool_of(["mine", "yours"], "map.gpkg", None)


@pytest.mark.parametrize(("unproven", "named"), [(40, True), (0, False)])
def test_the_share_of_water_of_unknown_age_is_of_all_pixels_seen(
    unproven: int, named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.full((1, 10, 20), DRY, np.uint8)
    labels[0, :4], labels[0, 9] = PERMANENT_WATER, NOT_SEEN
    proven = np.ones((10, 20), bool)
    proven.ravel()[:unproven] = False
    monkeypatch.setattr(permanent, "first_by_appearance", lambda _: "pre")
    monkeypatch.setattr(permanent, "_proven_water", lambda *_: proven)
    mapper: Any = SimpleNamespace(before=["pre"], dates={"pre": SimpleNamespace(shows_lasting=True)})
    scene: Any = None
    layer = Layer.open(labels, nodata=NOT_SEEN)
    found, findings = permanent.write_proven_water(layer, tmp_path / "proven.tif", scene, mapper)
    assert [finding.values["share"] for finding in findings] == [unproven / 180] * named
    assert (found is layer) is not named
    assert (tmp_path / "proven.tif").exists() is named
    classes = found.read()[0][0]
    assert ((classes == PERMANENT_WATER).sum(), (classes == DRY).sum()) == (80 - unproven, 100)
    mapper.dates["pre"].shows_lasting = False
    assert permanent.write_proven_water(layer, tmp_path / "other.tif", scene, mapper) == (layer, ())


@pytest.mark.parametrize(
    ("dims", "sampled"), [(("y", "x"), True), (("band", "y", "x"), True), (("time", "band", "y", "x"), False), (("band", "y"), False)]
)  # fmt: skip
def test_images_of_one_date_are_sampled_for_values_without_data(dims: tuple[str, ...], sampled: bool) -> None:
    sizes = {"time": 2, "band": 3, "y": 20, "x": 30}
    image = xarray.DataArray(np.arange(np.prod([sizes[name] for name in dims])).reshape([sizes[name] for name in dims]), dims=dims)  # fmt: skip
    data = xarray.Dataset(
        {"a": image, "b": (("y", "x"), np.zeros((20, 30)))}, {"y": -np.arange(20.0), "x": np.arange(30.0)}
    )
    found = _samples(data, ("y", "x"))
    assert set(found) == ({"a", "b"} if sampled else {"b"})
    if sampled:
        assert found["a"].shape[:-2] == image.shape[:-2]
        assert set(np.unique(found["a"])) <= set(np.unique(image))
