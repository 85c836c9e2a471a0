"""Batches of an epoch on a GPU that is made up: copied on a stream of their own, which the network waits for."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from deepnets4eo.training.batches import EpochBatches, copy_to_gpu

NOWHERE = torch.device("meta")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done with streams and pinned memory, in order."""
    done: list[str] = []
    computing = SimpleNamespace(wait_stream=lambda stream: done.append(f"wait for {stream}"))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: "copies")
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: done.append("pin") or tensor)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: done.append(f"keep {tensor.device}"))
    return done


def test_a_batch_is_pinned_copied_and_waited_for_before_the_network_gets_it(calls: list[str]) -> None:
    batches = iter([{"image": torch.zeros(2, 3), "name": "a"}, {"image": torch.ones(2, 3), "name": "b"}])
    moved = copy_to_gpu(batches, NOWHERE)
    first = next(moved)
    assert calls == ["pin", "wait for copies", "keep meta"]
    assert (first["image"].device, first["image"].shape, first["name"]) == (NOWHERE, (2, 3), "a")
    assert next(moved)["name"] == "b"
    assert calls == ["pin", "wait for copies", "keep meta"] * 2


@pytest.mark.parametrize(("kind", "copied"), [("cpu", 0), ("cuda", 3)])
def test_only_batches_for_a_gpu_are_copied(monkeypatch: pytest.MonkeyPatch, kind: str, copied: int) -> None:
    seen = []

    def copy(batches, device):
        for batch in batches:
            seen.append(device)
            yield batch

    monkeypatch.setattr("deepnets4eo.training.batches.copy_to_gpu", copy)
    position = SimpleNamespace(epoch=0, steps_before=1, device=torch.device(kind))
    batches = EpochBatches([{"n": number} for number in range(4)], position)
    assert [batch["n"] for batch in batches] == [1, 2, 3]
    assert len(batches) == 4
    assert len(seen) == copied
