"""Methods of other libraries say which one they need."""

import sys

import numpy as np
import pytest
from registration_methods import METHODS

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer


@pytest.mark.parametrize("name", ["phase", "ecc", "sift"])
def test_a_method_without_opencv_is_refused_with_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    layers = [
        Layer.open(np.random.default_rng(seed).integers(255, size=(3, 32, 32), dtype=np.uint8)) for seed in (0, 1)
    ]
    with pytest.raises(InputError, match="Install opencv-python-headless"):
        METHODS[name](*layers)
