"""What buildings look like: sums of maps over outlines, scores by site, and the evidence in a job."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from refusals import raises_naming

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from deepnets4eo.damage import (  # noqa: E402
    EvidenceCard,
    Settings,
    assess,
)
from deepnets4eo.damage.evidences.look import COLUMN, LookScore, look_of_job  # noqa: E402
from deepnets4eo.damage.network.look import REDUCTIONS, WIDTHS, LookEncoder  # noqa: E402
from deepnets4eo.damage.network.look_model import (  # noqa: E402
    LookModel,
    by_site,
)
from deepnets4eo.damage.network.pairs import in_pixels  # noqa: E402
from deepnets4eo.damage.table.buildings import Buildings  # noqa: E402
from deepnets4eo.errors import InputError, RunError  # noqa: E402
from deepnets4eo.outputs import Phrase  # noqa: E402
from deepnets4eo.rasters import Layer, Scene  # noqa: E402
from deepnets4eo.synthetic import City  # noqa: E402
from deepnets4eo.zonal import Outlines  # noqa: E402

pytestmark = pytest.mark.usefixtures("gathered_once")
CARD = EvidenceCard(0.2, 1.5, 0.9, 400)


def test_sums_are_those_of_the_maps_enlarged_to_the_pixels() -> None:
    """A cell's middle lies at its last pixel of the enlarged image, as the padding "SAME" puts it."""
    rng = np.random.default_rng(0)
    encoder, side = LookEncoder(0.5), 64
    maps = [
        torch.from_numpy(rng.normal(size=(w, 128 // r, 128 // r))).float()
        for w, r in zip(WIDTHS, REDUCTIONS, strict=True)
    ]
    rows, cols, owner = rng.integers(0, side, 50), rng.integers(0, side, 50), np.repeat([0, 2], 25)
    sums = encoder.sums(maps, owner, rows, cols, 3)
    expected = []
    for level, reduction in zip(maps, REDUCTIONS, strict=True):
        cells = level.shape[1]
        at = (torch.from_numpy(np.stack([cols, rows], 1)) * 2 + 0.5 - (reduction - 1)) / reduction  # enlarged twice
        where = (2 * at / max(cells - 1, 1) - 1).float()[None, None]
        values = F.grid_sample(level[None], where, padding_mode="border", align_corners=True)[0, :, 0].T.numpy()
        expected.append(np.stack([values[owner == one].sum(axis=0) for one in range(3)]))
    np.testing.assert_allclose(sums, np.concatenate(expected, axis=1), atol=1e-3)


def test_tiles_give_the_means_of_the_whole_image_and_invalid_pixels_none() -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 255, (3, 45, 45)).astype(np.uint8)
    image = np.kron(coarse, np.ones((1, 16, 16), np.uint8))  # 720 px: four tiles
    outlines = in_pixels(np.array([shapely.box(370, 370, 398, 396), shapely.box(20, 30, 44, 60)]), (720, 720))
    layer = Layer.open(image, nodata=None)
    encoder = LookEncoder(0.5)
    pooled = encoder.pool(Scene({"post": layer}, layer.grid), outlines)
    maps = encoder.maps((image / 127.5 - 1).astype(np.float32))
    rows, cols = (values.ravel() for values in np.mgrid[30:60, 20:44])
    whole = encoder.sums(maps, np.zeros(len(rows), int), rows, cols, 1) / len(rows)
    fine = slice(0, WIDTHS[0] + WIDTHS[1])  # which reach less far than the halo
    np.testing.assert_allclose(pooled[1, fine], whole[0, fine], atol=0.02)
    assert np.isfinite(pooled).all()
    hidden = np.where((np.arange(720) > 300)[None, :, None], 0, image)
    dark = Layer.open(hidden.astype(np.uint8), nodata=0)
    assert np.isnan(encoder.pool(Scene({"post": dark}, dark.grid), outlines)[0]).all()


def test_features_are_standardised_by_site_and_few_buildings_have_none() -> None:
    features = np.random.default_rng(2).normal(5, 3, (30, 4))
    standard = by_site(features)
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(by_site(10 * features + 7), standard, atol=2e-3)  # another light
    features[:15] = np.nan
    assert np.isnan(by_site(features)).all()


def test_buildings_unlike_those_of_the_fit_have_no_score(tmp_path: Path) -> None:
    model = LookModel(np.array([1.0, -1.0]), np.eye(2), 6.0, CARD)
    model.save(tmp_path / "look")
    loaded = LookModel.load(tmp_path / "look")
    features = np.random.default_rng(3).normal(size=(200, 2))
    features[7] = 40, 0
    scores = loaded.scores(features)
    assert np.isnan(scores[7])
    others = np.delete(np.arange(200), 7)
    np.testing.assert_allclose(scores[others], by_site(features)[others] @ [1.0, -1.0], atol=1e-5)
    (tmp_path / "look" / "look.yaml").write_text("limit: 3\n")
    with pytest.raises(RunError, match="no model of what buildings look like"):
        LookModel.load(tmp_path / "look")


def test_its_weight_is_its_share_times_its_skill() -> None:
    model = LookModel(np.zeros(2), np.eye(2), 3.0, CARD)
    assert LookScore(model, 0.5).weight == pytest.approx(0.5 * 0.8)
    loaded = LookScore.load(0.3)
    assert loaded.weight == pytest.approx(0.3 * loaded.model.card.skill.value)


def test_a_job_shows_it_only_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pooled, pool = dict[int, Any](), LookEncoder.pool

    def pool_once(self: LookEncoder, scene: Scene, outlines: Outlines, *rest: Any) -> Any:
        """Both jobs that look see the same buildings."""
        number = outlines.count
        pooled[number] = pooled[number] if number in pooled else pool(self, scene, outlines, *rest)
        return pooled[number].copy()

    monkeypatch.setattr(LookEncoder, "pool", pool_once)
    city = City(seed=3, size_px=512)
    pre, post = (Layer.open(one.image, grid=one.grid) for one in (city.pre, city.post))
    plain, only_listed, looked = (
        assess(pre, post, city.footprints(), settings=Settings(network=False, look=look, workers=1))
        for look in (None, 0.0, 0.4)
    )
    assert "ev_look" not in plain.buildings
    assert [one.code for one in looked.findings if one.code == "look_used"] == ["look_used"]
    seen = looked.buildings["ev_look"].notna()
    assert seen.any()
    assert (looked.buildings.loc[seen, "status"] == "assessed").all()
    assert "ev_look" in looked.meaning
    assert looked.parameters["evidence"]["look"]["weight_in_decision"] > 0
    assert only_listed.parameters["evidence"]["look"]["weight_in_decision"] == 0
    np.testing.assert_array_equal(only_listed.buildings["damage_prob"], plain.buildings["damage_prob"])
    assert (looked.buildings.loc[seen, "damage_prob"] != plain.buildings.loc[seen, "damage_prob"]).any()


def test_radar_is_refused_before_long_work() -> None:
    after = SimpleNamespace(is_optical=lambda sensor: sensor == "optical")
    inputs: Any = SimpleNamespace(after=after, post=SimpleNamespace(source="radar.tif"), evidences=())
    with raises_naming(InputError, "radar.tif"):
        look_of_job(inputs, Settings(look=0.3), None)
    assert look_of_job(inputs, Settings(), None) == []
    assert len(look_of_job(inputs, Settings(look=0.3, sensor="optical"), None)) == 1


@pytest.mark.parametrize(
    ("share", "source", "code", "values"),
    [
        (0.0, LookModel.shipped, "look_shown", {}),
        (0.5, LookModel.shipped, "look_used", {"weight": 0.4, "fitted_on": Phrase("made_up_places")}),
        (0.5, "own.safetensors", "look_used", {"weight": 0.4, "fitted_on": Phrase("graded_buildings", {"number": 77})}),
    ],
)  # fmt: skip
def test_the_finding_counts_assessed_buildings_and_those_without_a_score(share, source, code, values) -> None:
    model: Any = SimpleNamespace(card=SimpleNamespace(skill=SimpleNamespace(value=0.8), buildings=77))
    frame = pd.DataFrame({
        "id": list("abcdef"), "status": ["assessed"] * 4 + ["not_assessed"] * 2, "reason": "", "method": "pre_post",
        COLUMN: [0.1, np.nan, 0.3, 0.4, np.nan, np.nan],
    })  # fmt: skip
    finding = LookScore(model, share, source).finding(Buildings(frame, {}))
    assert (finding.code, finding.values) == (code, {"missing": 1, "assessed": 4, **values})
    seen = LookScore(model, share, source).finding(Buildings(frame.assign(**{COLUMN: 0.2}), {}))
    assert (seen.values["missing"], seen.values["assessed"]) == (None, 4)
