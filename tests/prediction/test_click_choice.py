"""Where the next click is wanted: each measure finds what it is meant to find, in networks that are written by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.prediction import Adaptation, ClickSession, next_click
from deepnets4eo.prediction.click_choice import learn_confidence
from deepnets4eo.segmenters.inputs import InputSpec, LayerInput
from deepnets4eo.segmenters.segmenter import NetworkSegmenter

SIDE_PX = 64
LEGEND = Legend.from_dict(
    {
        "name": "two",
        "classes": [
            {"value": 0, "name": "dark", "color": [0, 0, 0]},
            {"value": 1, "name": "bright", "color": [9, 9, 9]},
        ],
        "void_color": [1, 1, 1],
    }
)
FIXED = Adaptation(steps=0)


def session_of(image: np.ndarray, *, kernel: np.ndarray, dropout: float = 0.0) -> ClickSession:
    """A network of one kernel whose response is the logit of the second class, on an image (h, w)."""
    first, last = nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate", bias=False), nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        first.weight[:] = torch.from_numpy(kernel.astype(np.float32))
        last.weight[:, 0, 0, 0], last.bias[:] = torch.tensor([0.0, 1.0]), 0.0
    module = nn.Sequential(first, nn.Dropout(dropout), last)
    spec = InputSpec({"image": LayerInput(("grey",), (0.0,), (1.0,), -9.0, 9.0)})
    return ClickSession(NetworkSegmenter({}, spec, LEGEND, module=module), image.astype(np.float32)[None], FIXED)


SAME = np.pad([[1.0]], 1)
SLOPE = np.array([[0, 0, 0], [-1, 0, 1], [0, 0, 0]])


def lies_in(pixel: tuple[int, int], rows: slice, cols: slice) -> bool:
    return rows.start <= pixel[0] < rows.stop and cols.start <= pixel[1] < cols.stop


@pytest.mark.parametrize("measure", ["entropy", "margin"])
def test_the_next_click_is_where_the_network_doubts_and_not_there_twice(measure: str) -> None:
    image = np.full((SIDE_PX, SIDE_PX), 3.0)
    image[16:40, 20:44] = 0.0
    session = session_of(image, kernel=SAME)
    first = next_click(session, measure)
    assert lies_in(first, slice(16, 40), slice(20, 44))
    right = np.broadcast_to(np.arange(SIDE_PX) >= 30, (SIDE_PX, SIDE_PX))
    assert next_click(session, measure, where=right)[1] >= 30
    session.click(*first, 0)
    second = next_click(session, measure)
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) > 10


def test_passes_disagree_where_an_edge_looks_otherwise_when_it_is_turned() -> None:
    image = np.zeros((SIDE_PX, SIDE_PX))
    image[:, 40:] = np.arange(24) * 0.5  # a slope whose response changes its sign in a mirrored view
    pixel = next_click(session_of(image, kernel=SLOPE * 2), "bald")
    assert pixel[1] >= 40


def test_passes_disagree_by_dropout_where_a_network_has_any() -> None:
    image = np.zeros((SIDE_PX, SIDE_PX))
    image[:20, :20] = 4.0  # what is dropped matters here alone
    torch.manual_seed(0)
    session = session_of(image, kernel=SAME, dropout=0.5)
    assert lies_in(next_click(session, "bald"), slice(0, 20), slice(0, 20))
    assert not any(part.training for part in session.segmenter.module.modules())


def test_what_is_unlike_all_that_was_clicked_comes_next() -> None:
    image = np.zeros((SIDE_PX, SIDE_PX))
    image[:, 20:40], image[:, 40:] = 2.0, 7.0
    session = session_of(image, kernel=SAME)
    seen = []
    for _ in range(3):
        row, col = next_click(session, "core-set")
        session.click(row, col, 0)
        seen.append(image[row, col])
    assert sorted(seen) == [0.0, 2.0, 7.0]
    assert seen[0] == 2.0  # the most usual, as far as features go


def test_confidence_asks_where_the_network_was_wrong_on_what_looks_alike() -> None:
    image = np.full((SIDE_PX, SIDE_PX), -5.0)
    image[8:30, 8:30], image[40:60, 40:60] = 5.0, 9.0
    truth = np.where(image == 9.0, 1, 0).astype(np.uint8)  # 5 is dark, though the network is sure that it is bright
    session = session_of(image, kernel=SAME)
    head = learn_confidence(session.segmenter, [image.astype(np.float32)[None]], [truth], steps=100)
    assert lies_in(next_click(session, "confidence", head), slice(8, 30), slice(8, 30))
    with pytest.raises(InputError, match="no pixel has a class"):
        learn_confidence(
            session.segmenter, [np.zeros((1, 8, 8), np.float32)], [np.full((8, 8), 255, np.uint8)], steps=1
        )
    for measure in ("confidence", "chance"):
        with pytest.raises(InputError, match=f"chosen by '{measure}'"):
            next_click(session, measure)  # type: ignore[arg-type]
