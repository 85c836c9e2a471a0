"""Trainings that Ctrl-C ends when an epoch begins, and whether they go on to the same weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import deepnets4eo
from deepnets4eo.training import TrainOptions


@contextmanager
def interrupted_at(loader: Any, epoch: int) -> Iterator[None]:
    """Within the context trainings that this class of loaders feeds are interrupted when that epoch begins."""
    set_epoch = loader.set_epoch

    def interrupt(self: Any, number: int) -> None:
        if number == epoch:
            raise KeyboardInterrupt
        set_epoch(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "set_epoch", interrupt)
        yield


def assert_resumes_to(run: Path, recipe: Any, data: Path, cut: Path, loader: Any, epoch: int) -> None:
    """A training that is interrupted in the folder `cut` and goes on ends in the weights of the run that was not."""
    with interrupted_at(loader, epoch), pytest.raises(KeyboardInterrupt):
        deepnets4eo.train(recipe, cut, data=data)
    resumed = deepnets4eo.train(recipe, cut, data=data, options=TrainOptions(resume=True))
    weights, again = (load_file(folder / "weights.safetensors") for folder in (run, resumed))
    assert all(torch.equal(weights[name], again[name]) for name in weights)
