"""Experiments on the networks that learn from made-up places: what they learn from, and how their tables count."""

import sys
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))
pytest.importorskip("torch")

import buildings_after_event
import buildings_left_out
import buildings_real_tiles
import buildings_whole_images
import damage_mean_weights
import damage_network_weight
import damage_networks_by_hazard
import damage_networks_left_out
import torch
from places.building_scores import BuildingMap
from places.working_grid import BuildingScene, metric_grid

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.synthetic.world.windows import WindowCutter, building_classes


def scene() -> BuildingScene:
    """Two houses on 60 x 40 pixels of 0.3 m; what lies right of them is unknown."""
    grid = metric_grid((40, 60), (0.3, 0.3))
    reference = np.zeros((40, 60), np.uint8)
    reference[10:20, 10:20] = reference[10:20, 22:30] = 1
    reference[:, 50:] = VOID
    pixels = [shapely.box(10, 10, 20, 20), shapely.box(22, 10, 30, 20)]
    a = grid.affine
    shapes = [shapely.affinity.affine_transform(one, [a.a, a.b, a.d, a.e, a.c, a.f]) for one in pixels]
    objects = gpd.GeoDataFrame({"difficult": [False, False]}, geometry=shapes, crs=grid.crs)
    return BuildingScene(np.full((3, 40, 60), 90, np.uint8), reference, objects, grid)


def test_a_real_tile_is_learnt_from_like_a_made_up_pair() -> None:
    pair = buildings_real_tiles.real_pair(scene(), "ign")
    side = round(buildings_real_tiles.LEAST_M / 0.3)
    assert pair.pre.shape == (3, side, side)
    top, left = (side - 40) // 2, (side - 60) // 2
    classes = building_classes(pair.roofs_pre, pair.labels_pre, pair.height_pre)[top : top + 40, left : left + 60]
    assert set(np.unique(classes[:, :50])) == {0, 1, 2}
    assert (classes[10:20, 18:24] == 2).any()  # the border between the two houses
    assert (classes[:, 50:] == VOID).all()
    window = buildings_real_tiles.cut_window(WindowCutter(), pair, np.random.default_rng(0))
    assert (window["mask"] == VOID).all()
    assert (window["buildings"] == 1).any()


def test_self_training_takes_only_what_the_network_is_sure_of() -> None:
    known = scene()
    probability = np.full((40, 60), 0.5, np.float32)
    probability[:5], probability[10:20, 10:20] = 0.02, 0.97
    seen = buildings_real_tiles.with_predictions(known, BuildingMap(probability, known.objects[["geometry"]]))
    assert [(seen.reference == value).sum() for value in (0, 1)] == [300, 100]
    assert (seen.reference[30:] == VOID).all()


def test_places_that_were_learnt_from_do_not_count() -> None:
    scores = {name: {"iou": value, "object_f1": value} for name, value in {"ign": 0.9, "vegas": 0.2}.items()}
    rows = [{"name": "one", "learn": ["ign"], "labels": labels, "scores": scores} for labels in ("known", "predicted")]
    known, predicted = buildings_real_tiles.summary(rows).splitlines()[-2:]
    assert known == "| one | 0.200 | 0.200 | (0.900) | 0.200 |"
    assert "0.550" in predicted  # its labels were not read


def test_every_place_is_scored_by_the_training_with_all_other_tiles() -> None:
    def row(*learn: str, iou: float) -> dict[str, object]:
        scores = {name: {"iou": iou, "object_f1": iou} for name in ("ign", "vegas", "joplin")}
        return {"name": " ".join(learn), "learn": list(learn), "labels": "known", "scores": scores}

    rows = [row("ign", "vegas", iou=0.3), row("vegas", iou=0.6), row("ign", iou=0.9)]
    table = buildings_real_tiles.summary(rows).splitlines()
    assert table[-1] == "| all tiles but its own | 0.600 | 0.600 | 0.600 | 0.900 | 0.300 |"
    assert "all tiles but its own" not in buildings_real_tiles.summary(rows[:2])  # none without Vegas


def test_networks_count_by_what_is_new_to_them() -> None:
    def row(network: str, site: int, hazard: str, auc: float, *, new: bool) -> dict[str, object]:
        return {
            "site": site, "hazard": hazard, "style": "suburb", "new_hazard": new, "new_style": False,
            "network": network, "head": "pair", "auc": auc,
        }  # fmt: skip

    rows = pd.DataFrame(
        [
            row("a", 0, "flood", 0.6, new=True), row("b", 0, "flood", 0.9, new=False),
            row("a", 1, "tornado", 1.0, new=False), row("b", 1, "tornado", 0.8, new=True),
        ]
    )  # fmt: skip
    lines = list(damage_networks_left_out.lines_of(rows, "hazard"))
    assert lines[0] == ["hazard", "flood", "1", "0.600", "0.900", "–", "–"]
    assert lines[1][3:5] == ["0.800", "1.000"]
    assert lines[2][3:5] == ["0.700 ± 0.141", "0.950 ± 0.071"]


def test_outlines_of_whole_images_count_from_a_least_probability_on(monkeypatch: pytest.MonkeyPatch) -> None:
    roofs, labels = np.zeros((40, 60), np.int32), np.zeros((40, 60), np.uint8)
    for number, col in ((1, 5), (2, 30), (3, 48)):
        roofs[10:22, col : col + 10] = number
    labels[roofs > 0] = Legend.load("minicity").value("building")
    labels[10:20, 48:58] = Legend.load("minicity").value("tree")  # most of the third roof is under a crown
    pair = SimpleNamespace(
        pre=np.full((4, 40, 60), 90, np.uint8), roofs_pre=roofs, labels_pre=labels, gsd_m=0.5,
        height_pre=np.where(roofs > 0, np.float32(4), np.float32(0)),
    )  # fmt: skip
    scene = buildings_whole_images.scene_of(pair, None, 0)
    assert scene.objects["difficult"].tolist() == [False, False, True]
    hit, wrong = scene.objects.geometry.iloc[0], shapely.affinity.translate(scene.objects.geometry.iloc[0], 0, -11)
    outlines = gpd.GeoDataFrame({"building_prob": [0.9, 0.6]}, geometry=[hit, wrong], crs=scene.objects.crs)
    monkeypatch.setattr(
        buildings_whole_images, "find_buildings", lambda *_: BuildingMap(np.zeros((40, 60), np.float32), outlines)
    )
    every, sure = buildings_whole_images.rows_of(SimpleNamespace(), "suburb", [scene], (0.0, 0.75))
    assert (every["object_precision"], every["object_recall"]) == (0.5, 0.5)
    assert (sure["object_precision"], sure["object_recall"]) == (1.0, 0.5)
    assert sure["iou"] == pytest.approx(120 / 240, abs=0.06)  # of both whole roofs; what the crown leaves is small
    assert every["iou"] < sure["iou"]


def test_buildings_count_as_seen_where_outlines_cover_more_than_half(monkeypatch: pytest.MonkeyPatch) -> None:
    outlines = np.zeros((40, 60), np.int32)
    outlines[10:20, 5:15], outlines[10:20, 30:40], outlines[30:33, 50:53] = 1, 2, 3  # the third below 20 m²
    image = np.full((4, 40, 60), 90, np.uint8)
    pair = SimpleNamespace(
        pre=image, post=image + 1, outlines=outlines, visible=np.array([0, 3, 3]), gsd_m=1.0, style="suburb",
        hazard="tornado",
    )  # fmt: skip

    def find(_: object, one: BuildingScene) -> BuildingMap:
        def houses(*boxes: tuple[int, int, int, int]) -> gpd.GeoDataFrame:
            shapes = [shapely.affinity.translate(shapely.box(a, -d, c, -b), left, top) for a, b, c, d in boxes]
            return gpd.GeoDataFrame(geometry=shapes, crs=one.grid.crs)

        left, top = one.grid.affine.c, one.grid.affine.f
        first, second, half = (5, 10, 15, 20), (30, 10, 40, 20), (30, 10, 34, 20)
        both = houses(first, second) if one.image.max() == 90 else houses(first, half)
        return BuildingMap(np.zeros(one.grid.shape, np.float32), both)

    monkeypatch.setattr(buildings_after_event, "find_buildings", find)
    rows = pd.DataFrame(buildings_after_event.rows_of(SimpleNamespace(), pair))
    assert rows[["grade", "pre", "post"]].to_numpy().tolist() == [["no-damage", True, True], ["destroyed", True, False]]
    assert list(buildings_after_event.lines_of(rows)) == [
        ["no-damage", "1", "1.00", "1.00"],
        ["destroyed", "1", "1.00", "0.00"],
    ]


def test_buildings_of_a_style_count_by_the_network_that_it_is_new_to() -> None:
    def labelled(found: int, left_out: list[str]) -> SimpleNamespace:
        segmenter = SimpleNamespace(predict_classes=lambda batch: np.full((1, 2, 2), found))
        return SimpleNamespace(
            recipe={"data": {"left_out_styles": left_out}}, segmenter=segmenter, folder=str(left_out)
        )

    window = {"image": np.zeros((3, 2, 2)), "buildings": np.array([[1, 2], [0, VOID]])}
    runs = [labelled(1, ["suburb"]), labelled(0, ["farms"])]
    rows = [*buildings_left_out.rows_of("suburb", [window], runs), *buildings_left_out.rows_of("farms", [window], runs)]
    assert [(row["new"], round(row["iou"], 3)) for row in rows] == [
        (True, 0.667),
        (False, 0.0),
        (False, 0.667),
        (True, 0.0),
    ]
    assert not list(buildings_left_out.rows_of("village", [window], runs))  # both know it
    empty = {"image": np.zeros((3, 2, 2)), "buildings": np.array([[0, 0], [0, VOID]])}
    assert not list(buildings_left_out.rows_of("suburb", [empty], runs))
    lines = list(buildings_left_out.lines_of(pd.DataFrame(rows)))
    assert lines[1] == ["suburb", "0.667", "0.000"]
    assert lines[2][1:] == ["0.333 ± 0.471", "0.333 ± 0.471"]


def test_sites_of_the_table_have_each_style_and_hazard_in_turn() -> None:
    first = next(damage_networks_left_out.sites(1))
    assert (first.style, first.hazard) == ("arid-suburb", "earthquake")
    assert (first.grades != VOID).any()
    assert Legend.load("xbd").num_classes == 4


def test_networks_are_scored_within_sites_at_even_shares() -> None:
    damaged = np.tile(np.arange(10) < 3, 4)
    site = np.repeat(np.arange(4), 10)
    ranked = pd.DataFrame({"site": site, "damaged": damaged, "log_odds": np.where(damaged, 3.0, -3.0) + site})
    scores = damage_networks_by_hazard.scores_of_kind(ranked)
    assert (scores["sites"], scores["auc"]) == (4, 1.0)
    assert scores["loss"] < 0.2
    chance = damage_networks_by_hazard.scores_of_kind(ranked.assign(log_odds=0.0))
    assert chance["auc"] == 0.5
    assert chance["loss"] == pytest.approx(np.log(2), abs=1e-3)


def test_sites_of_some_hazards_are_those_that_come_among_all() -> None:
    every = [(name, kind) for name, kind, _ in damage_network_weight.world_sites(40, ())]
    some = [(name, kind) for name, kind, _ in damage_network_weight.world_sites(40, (), ("flood", "none"))]
    assert len(every) == 40
    assert some == [(name, kind) for name, kind in every if kind in ("flood", "none")] != []


def test_the_mean_of_trainings_has_learnt_from_the_windows_of_all() -> None:
    def run(windows: int, epochs: int) -> SimpleNamespace:
        notes = {"windows": windows, "epochs": epochs}
        return SimpleNamespace(card={"notes": notes}, recipe={"data": {"windows_per_epoch": 100}})

    assert damage_mean_weights.windows_of([run(1300, 3), run(1500, 5)]) == 1000 + 300 + 500
    assert damage_mean_weights.windows_of([run(1300, 3), run(1000, 5)]) == 1300  # the second is where the first began
    with pytest.raises(InputError, match="began from the same run"):
        damage_mean_weights.windows_of([run(1300, 3), run(1300, 5)])


def test_weights_of_trainings_are_averaged_and_counts_kept() -> None:
    first = {"w": torch.tensor([1.0, 2.0]), "seen": torch.tensor(7)}
    second = {"w": torch.tensor([3.0, 6.0]), "seen": torch.tensor(9)}
    mean = damage_mean_weights.mean_of([first, second])
    assert mean["w"].tolist() == [2.0, 4.0]
    assert mean["seen"].item() == 7
    with pytest.raises(InputError, match="different weights"):
        damage_mean_weights.mean_of([first, {"w": torch.zeros(3)}])
