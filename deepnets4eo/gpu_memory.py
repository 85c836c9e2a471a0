"""How much of a GPU's memory a piece of work takes, measured by doing it once.

Takes a device such as "cuda:1" and a function; assumes that nothing else computes there in this process meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable


def bytes_taken(device: str, work: Callable[[], object]) -> int:
    """The most memory that `work` holds at a time on a GPU, beside what was held before it.

    Parameters
    ----------
    device
        The same as in `device.choose`.
    work
        What it raises is raised here.

    Returns
    -------
    int
        Bytes of tensors, those of the convolutions' workspaces included.

    Examples
    --------
    .. code-block:: python

        taken = bytes_taken("cuda", lambda: network(batch))
    """
    import torch

    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return int(torch.cuda.max_memory_allocated(device)) - before


def memory_bytes(device: str) -> int:
    """All memory of a GPU, whatever is free now: what is chosen by it shall be the same the next time.

    Parameters
    ----------
    device
        The same as in `device.choose`.

    Examples
    --------
    .. code-block:: python

        half = memory_bytes("cuda:0") // 2
    """
    import torch

    return int(torch.cuda.get_device_properties(device).total_memory)
