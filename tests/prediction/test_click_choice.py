"""Where the next click is wanted: each measure finds what it is meant to find, in a network that is written by hand."""

import numpy as np
import pytest
import torch
from refusals import raises_naming
from torch import nn

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.prediction import Adaptation, ClickSession, next_click
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter

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


def session_of(image: np.ndarray, *, kernel: np.ndarray) -> ClickSession:
    """A network of one kernel whose response is the logit of the second class, on an image (h, w)."""
    first, last = nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate", bias=False), nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        first.weight[:] = torch.from_numpy(kernel.astype(np.float32))
        last.weight[:, 0, 0, 0], last.bias[:] = torch.tensor([0.0, 1.0]), 0.0
    module = nn.Sequential(first, last)
    spec = InputSpec({"image": LayerInput(("grey",), (0.0,), (1.0,), -9.0, 9.0)})
    return ClickSession(NetworkSegmenter({}, spec, LEGEND, module=module), image.astype(np.float32)[None], FIXED)


SAME = np.pad([[1.0]], 1)


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


def test_another_measure_is_refused() -> None:
    with raises_naming(InputError, "'chance'"):
        next_click(session_of(np.zeros((SIDE_PX, SIDE_PX)), kernel=SAME), "chance")  # type: ignore[arg-type]
