"""Copies between the host and one device, parallel to the computation: pinned, on separate streams, never awaited early.

Takes arrays to upload and tensors to download. On a CPU both are the same memory, and nothing is copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from deepnets4eo.arrays import Batch, ByteImage


class Transfers:
    """Uploads and downloads of one device; a batch is uploaded while the one before is computed."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self._streams = (torch.cuda.Stream(device), torch.cuda.Stream(device)) if self.device.type == "cuda" else None

    def upload(self, batch: Batch) -> Tensor:
        """Upload the batch to the device; it may be overwritten at once, and computations with the result wait for it."""
        tensor = torch.from_numpy(batch)
        if self._streams is None:
            return tensor
        uploads, computing = self._streams[0], torch.cuda.current_stream(self.device)
        with torch.cuda.stream(uploads):
            moved = tensor.pin_memory().to(self.device, non_blocking=True)
        computing.wait_stream(uploads)
        moved.record_stream(computing)
        return moved

    def download(self, tensors: Mapping[str, Tensor]) -> Callable[[], dict[str, ByteImage]]:
        """Start copies of contiguous tensors to the host; what is returned waits for them, in any thread."""
        if self._streams is None:
            arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
            return lambda: arrays
        downloads, done = self._streams[1], torch.cuda.Event(blocking=True)
        downloads.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(downloads):
            copies = {
                name: torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
                for name, tensor in tensors.items()
            }
            done.record(downloads)
        for tensor in tensors.values():
            tensor.record_stream(downloads)

        def wait() -> dict[str, ByteImage]:
            done.synchronize()
            return {name: copy.numpy() for name, copy in copies.items()}

        return wait
