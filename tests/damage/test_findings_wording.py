"""Findings count in the singular and in the plural, and make sentences of both."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from affine import Affine

from deepnets4eo.damage.decision.findings import minor_findings, result_findings, share_findings
from deepnets4eo.damage.decision.site_fit import ShareEstimate
from deepnets4eo.damage.findings import block_findings, empty_outline_findings, evidence_findings, segmenter_findings
from deepnets4eo.damage.review import LOOKS
from deepnets4eo.damage.structure.unbuilt import UnbuiltOutlines
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.footprints import Footprints
from deepnets4eo.grid import Grid
from deepnets4eo.outputs import Finding, Phrase, worst_first
from deepnets4eo.rasters import Layer


class Account:
    """What is read of footprints."""

    made_ids = False
    passed_over: Phrase | None = None
    frame = gpd.GeoDataFrame(geometry=[])

    def __init__(self, repaired: int, renamed: int, read: int = 30, dropped: int = 0) -> None:
        self.values = {"read": read, "repaired": repaired, "renamed": renamed, "dropped": {"not a polygon": dropped}}

    def account(self) -> dict[str, object]:
        return self.values

    def _several_houses(self) -> list[Finding]:
        return []


def messages(reasons: list[str]) -> list[str]:
    status = np.where(np.array(reasons) == "", "assessed", "not_assessed")
    frame = pd.DataFrame({"status": status, "reason": reasons})
    return [finding.message for finding in result_findings(Buildings(frame), np.zeros(len(frame), bool), None)]


@pytest.mark.parametrize(
    ("reasons", "start"),
    [
        ([Reason.UNLIKE_ANY.sentence], "1 of 1 visible building was not assessed"),
        ([Reason.UNLIKE_ANY.sentence, ""], "1 of 2 visible buildings was not assessed"),
        ([Reason.UNLIKE_ANY.sentence, Reason.UNLIKE_ANY.sentence, ""], "2 of 3 visible buildings were not assessed"),
        ([Reason.NO_BUILDING.sentence, ""], "1 of 2 outlines shows no building in the pre image and was not assessed"),
        (
            [Reason.NO_BUILDING.sentence, Reason.NO_BUILDING.sentence, ""],
            "2 of 3 outlines show no building in the pre image and were not assessed",
        ),
    ],
)
def test_results_are_counted(reasons, start):
    assert messages(reasons)[0].startswith(start)


def test_footprints_are_counted():
    (one,) = Footprints.findings(Account(1, 1))
    assert one.message == "Footprints: 1 outline was repaired; 1 id was missing or repeated and renamed."
    (many,) = Footprints.findings(Account(2, 0))
    assert many.message == "Footprints: 2 outlines were repaired."
    (dropped,) = Footprints.findings(Account(0, 0, read=1, dropped=1))
    assert dropped.message.startswith("1 of 1 row of the footprints could not be used")


@pytest.mark.parametrize(
    ("made", "start"),
    [(True, "The ids of the footprints are row numbers, "), (False, "The ids of the footprints are the row keys ")],
)
def test_a_column_of_ids_that_was_not_used_is_said_with_the_reason(made, start):
    account = Account(0, 0)
    account.values["dropped"] = {}
    assert Footprints.findings(account) == ()
    account.made_ids, account.passed_over = (
        made,
        Phrase("ids_of_column", {"column": Finding.verbatim("'id'"), "fault": Phrase("ids_lists")}),
    )
    (finding,) = Footprints.findings(account)
    assert finding.message.startswith(start)
    assert finding.message.endswith(", because column 'id' contains lists.")
    assert "column called id" in finding.remedy


def test_outlines_of_a_network_are_said_to_be_so() -> None:
    assert segmenter_findings(None, after=True) == ()
    (only,) = segmenter_findings("models/buildings", after=False)
    assert "detected by the network buildings:" in only.message
    destroyed, same = segmenter_findings("models/buildings", after=True)
    assert same == only
    assert (destroyed.severity, destroyed.code) == ("caution", "outlines_after_event")


@pytest.mark.parametrize(
    ("number", "words"), [(0, "only 0 copies of"), (1, "only 1 copy of"), (19, "only 19 copies of")]
)
def test_that_unbuilt_outlines_were_not_looked_for_is_said_with_the_reason(number, words):
    (finding,) = UnbuiltOutlines(np.zeros(60, bool), few_copies=number).findings()
    assert (finding.code, finding.severity) == ("not_in_pre_unknown", "note")
    assert words in finding.message
    assert UnbuiltOutlines(np.zeros(60, bool), auc=0.9).findings() == ()


def test_a_map_of_the_post_image_alone_says_that_empty_outlines_look_destroyed() -> None:
    def findings(method: list[str], unbuilt: UnbuiltOutlines | None = None) -> list[str]:
        frame = pd.DataFrame({"status": "assessed", "method": method})
        looked_for = unbuilt is not None and unbuilt.has_answer
        return [finding.code for finding in empty_outline_findings(Buildings(frame), looked_for=looked_for)]

    none, few = np.zeros(2, bool), np.zeros(60, bool)
    alone = ["post_only", "post_only"]
    assert findings(alone) == findings(alone, UnbuiltOutlines(none)) == ["empty_outlines"]
    assert findings(alone, UnbuiltOutlines(none, auc=0.7)) == ["empty_outlines"]  # both looked alike: none was found
    assert findings(alone, UnbuiltOutlines(none, auc=0.9)) == findings(alone, UnbuiltOutlines(few, few_copies=3)) == []
    assert findings(["pre_post", "post_only"]) == findings([]) == []
    frame = pd.DataFrame({"status": ["assessed"], "method": "post_only"})
    (finding,) = empty_outline_findings(Buildings(frame), looked_for=False)
    assert "graded as destroyed" in finding.message
    assert "Joplin" not in finding.message


def test_an_interval_wider_than_half_of_the_buildings_says_that_the_images_do_not_tell() -> None:
    (finding,) = share_findings(ShareEstimate(0.09, "estimated", (0.0, 0.906), 0.0, 0.5), 266)
    assert finding.message == "The images do not show how many buildings are damaged: 0 to 241 of 266 are possible."
    assert f"{LOOKS} buildings" in finding.remedy  # as many as the command draws
    assert "damaged_share" in finding.remedy
    assert share_findings(ShareEstimate(0.09, "estimated", (0.1, 0.6), 0.0, 0.5), 266) == ()


@pytest.mark.parametrize(("classified", "told"), [(6, False), (7, True), (19, True), (20, False)])
def test_a_number_of_damaged_buildings_outside_its_interval_is_not_told(classified: int, told: bool) -> None:
    share = ShareEstimate(0.5, "estimated", (0.28, 0.76), 0.0, 0.5).against(classified, 25)  # 7 to 19 of 25
    assert share.contradicted is not told
    assert len(share_findings(share, 25)) == (0 if told else 1)
    assert not ShareEstimate(0.5, "given", None, 0.0, 0.5).against(classified, 25).contradicted


def test_minor_damage_that_cannot_be_told_is_said_with_its_number() -> None:
    def row(low: float) -> dict[str, object]:
        return {
            "minor-damage": {"named": 20, "truly": {"minor-damage": {"expected": 12.0, "interval_95": [low, 18.0]}}}
        }

    (finding,) = minor_findings(row(3.0))
    assert "of 20 buildings with this grade, 3 to 18 are expected to have minor damage" in finding.message
    assert finding.affected == 20
    assert minor_findings(row(11.0)) == minor_findings({}) == ()


def test_of_findings_of_one_severity_the_one_that_concerns_more_buildings_comes_first() -> None:
    some = [
        Finding("a", "note", {"message": ""}, affected=3),
        Finding("b", "caution", {"message": ""}),
        Finding("c", "note", {"message": ""}, affected=30),
    ]
    assert [finding.code for finding in worst_first(some)] == ["b", "c", "a"]


def test_what_concerns_most_of_the_ground_comes_first_within_its_severity_after_storage_as_well() -> None:
    some = [
        Finding("a", "caution", {"message": ""}, affected=30),
        Finding("b", "caution", {"message": ""}, share=0.4),
        Finding("c", "caution", {"message": ""}, share=0.5),
        Finding("d", "worthless", {"message": ""}),
        Finding("e", "note", {"message": ""}, share=0.9),
    ]
    assert [finding.code for finding in worst_first(some)] == ["d", "c", "a", "b", "e"]
    stored = [Finding.from_dict(finding.to_dict()) for finding in some]
    assert worst_first(stored) == worst_first(some)


def test_blocks_that_failed_are_counted_and_the_first_is_named() -> None:
    assert block_findings({}) == block_findings({"measure": {}}) == ()
    (finding,) = block_findings({"align": {}, "measure": {"3-4": "no disk", "5-6": "late"}, "network": {"1-1": "late"}})
    assert (finding.code, finding.severity, finding.values["number"]) == ("blocks_failed", "caution", 3)
    assert all(word in finding.message for word in ("3-4", "measure", "no disk"))


@pytest.mark.parametrize(("pre_m", "codes"), [(0.5, ["some_post_only"]), (1.0, ["pre_coarse"]), (None, [])])
def test_buildings_without_pre_have_one_reason(pre_m: float | None, codes: list[str]) -> None:
    pre, post = (
        None
        if gsd_m is None
        else Layer.open(np.ones((1, 9, 9), np.uint8), grid=Grid((9, 9), Affine.scale(gsd_m), "EPSG:32633"))
        for gsd_m in (pre_m, 0.5)
    )
    frame = pd.DataFrame({"status": "assessed", "method": ["pre_post", "post_only", "post_only"], "reason": ""})
    assert post is not None
    found = evidence_findings(pre, post, Buildings(frame))
    assert [finding.code for finding in found] == codes
    assert all(finding.values["number"] == 2 for finding in found if finding.code == "some_post_only")


@pytest.mark.parametrize(
    ("gained", "lost", "named"), [(3, 0, True), (2, 0, False), (7, 3, True), (6, 3, False), (0, 9, False)]
)
def test_buildings_that_grew_are_a_sign_of_exchanged_surface_models(gained: int, lost: int, named: bool) -> None:
    losses = [-2.5] * gained + [2.5] * lost + [-2.4, 2.4, np.nan]
    frame = pd.DataFrame({"status": "assessed", "method": "pre_post", "reason": "", "ev_height_loss_m": losses})
    image = Layer.open(np.ones((1, 9, 9), np.uint8), grid=Grid((9, 9), Affine.scale(0.5), "EPSG:32633"))
    found = evidence_findings(image, image, Buildings(frame))
    assert [finding.code for finding in found] == ["heights_exchanged"] * named
    assert all(f"{gained} buildings are 2.5 m or more higher" in finding.message for finding in found)
