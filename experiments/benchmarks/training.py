"""How fast the training of the default damage network is fed: drawn anew, and from pairs that are kept; and how often a step waits.

Usage: python experiments/benchmarks/training.py [--windows 192] [--pairs 32] [--steps 3] [--json FILE]
SYNTHETIC pairs of the miniature world, no file is read. One thread makes windows, augments them and
stacks batches, without a network: windows per second of processor time with new pairs (3 windows each), with kept pairs at the first
reading, which draws them (12 windows each), and at later readings. Then some steps of the network: waits are what makes the program wait
for values of a GPU, counted on a CPU by the operations that do so, in the criterion and its gradient. The share of time in which a GPU
computes is only measured where there is one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).parents[1]))
from script import add_json, plain_errors, store_part

from deepnets4eo.damage import DamageRecipe, MadeUpPairs
from deepnets4eo.damage.network.architecture import DamageCriterion
from deepnets4eo.damage.network.grader import SHIPPED
from deepnets4eo.damage.network.samples import made_up_samples
from deepnets4eo.damage.network.training import build_untrained, made_up_material
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.training import StreamSamples, load_recipe
from deepnets4eo.training.augmentation import Augmentation
from deepnets4eo.training.batches import copy_to_gpu
from deepnets4eo.training.data import TrainLoader

WAITING = {
    "aten::_local_scalar_dense", "aten::bincount", "aten::equal", "aten::item", "aten::masked_select", "aten::nonzero",
    "aten::unique_consecutive", "aten::unique_dim", "aten::_unique", "aten::_unique2",
}  # fmt: skip
INDEXING = (
    "aten::index",
    "aten::index_put",
    "aten::index_put_",
    "aten::_index_put_impl_",
)  # wait if the index is a mask
TO_HOST = (torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist)  # which do nothing on a CPU
NEW, KEPT = {"windows_per_pair": 3}, {"windows_per_pair": 12, "mixed_pairs": 128}


class _ToHost(TorchFunctionMode):
    """Counts calls that copy to the host."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in TO_HOST
        return func(*args, **(kwargs or {}))


class Waits(TorchDispatchMode):
    """Counts what would make a program wait for a GPU, on whatever device it runs: `with Waits() as waits: …; waits.count`."""

    def __init__(self) -> None:
        super().__init__()
        self._operations, self._to_host = 0, _ToHost()

    @property
    def count(self) -> int:
        """Waits until now."""
        return self._operations + self._to_host.count

    def __enter__(self) -> Any:
        self._to_host.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._to_host.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().split(".")[0]
        by_mask = name in INDEXING and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        self._operations += name in WAITING or by_mask
        return func(*args, **(kwargs or {}))


def feed(samples: StreamSamples[Any], recipe: DamageRecipe, epoch: int) -> dict[str, float]:
    """Read one epoch of batches in this thread: windows per second of processor time, and megabytes per window."""
    train, data = recipe.train, recipe.data
    augment = Augmentation(train.flips, train.rotations, train.photometric)
    loader = TrainLoader(samples, augment, train.batch_size, data.windows_per_epoch, seed=train.seed)
    loader.set_epoch(epoch)
    begun, windows, size = time.process_time(), 0, 0
    for batch in loader:
        windows += len(batch["valid"])
        size += sum(layer.nbytes for layer in batch.values())
    seconds = time.process_time() - begun
    return {"windows_per_second": round(windows / seconds, 2), "mb_per_window": round(size / windows / 1e6, 3)}


def waits_per_step(recipe: DamageRecipe, made_up: MadeUpPairs, folder: Path, steps: int) -> float:
    """Waits of the criterion and its gradient, mean of some steps on this processor."""
    material = made_up_material(recipe, made_up, folder)
    segmenter = build_untrained(recipe, material.inputs)
    network, criterion = segmenter.module.train(), DamageCriterion(recipe.train, segmenter.legend)
    size = recipe.train.batch_size
    loader = TrainLoader(material.samples, Augmentation(), size, steps * size, seed=recipe.train.seed)
    count = 0
    for batch in loader:
        with Waits() as waits:
            criterion.step(network, batch).backward()
        count += waits.count
    return count / steps


def busy_share(recipe: DamageRecipe, made_up: MadeUpPairs, folder: Path) -> float | None:
    """Share of the time in which the GPU has work, from one epoch of forward and backward passes; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    device = torch.device("cuda")
    material = made_up_material(recipe, made_up, folder)
    segmenter = build_untrained(recipe, material.inputs)
    network, criterion = segmenter.module.to(device).train(), DamageCriterion(recipe.train, segmenter.legend)
    train, data = recipe.train, recipe.data
    loader = TrainLoader(
        material.samples, Augmentation(), train.batch_size, data.windows_per_epoch, workers=data.num_workers
    )
    begun, waited = time.perf_counter(), 0.0
    batches = copy_to_gpu(loader, device)
    while True:
        started = time.perf_counter()
        batch = next(batches, None)
        waited += time.perf_counter() - started
        if batch is None:
            break
        with torch.autocast("cuda", torch.bfloat16):
            loss = criterion.step(network, batch)
        loss.backward()
        network.zero_grad()
    torch.cuda.synchronize()
    return 1 - waited / (time.perf_counter() - begun)


def measure(windows: int, pairs: int, steps: int, overrides: list[str]) -> dict[str, Any]:
    """All figures. pairs : that are kept; windows : of an epoch."""
    read = load_recipe(SHIPPED, overrides=[f"data.windows_per_epoch={windows}", "data.val_pairs=1", *overrides])[0]
    assert isinstance(read, DamageRecipe)
    made_up: MadeUpPairs = load_plugin(plugins_of("damage_pairs")["made-up"])(read)
    made_up.make_pair(1)  # compiles
    torch.set_num_threads(1)

    def recipe_with(keys: dict[str, int]) -> DamageRecipe:
        return read.model_copy(update={"data": read.data.model_copy(update=keys)})

    new, kept = recipe_with(NEW), recipe_with(KEPT | {"kept_pairs": pairs, "windows_per_epoch": 12 * pairs})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures: dict[str, Any] = {"new pairs": feed(made_up_samples(made_up, new, folder), new, 0)}
        for title, epoch in (("kept pairs, first reading", 0), ("kept pairs, later readings", 1)):
            figures[title] = feed(made_up_samples(made_up, kept, folder), kept, epoch)
        files = [file.stat().st_size for file in folder.glob("*/*.npz")]
        figures["bytes_per_kept_pair"] = sum(files) / len(files)
        figures["waits_per_step"] = waits_per_step(kept, made_up, folder, steps)
        figures["gpu_busy"] = busy_share(kept, made_up, folder)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=192, help="of an epoch with new pairs")
    parser.add_argument("--pairs", type=int, default=32, help="that are kept")
    parser.add_argument("--steps", type=int, default=3, help="in which waits are counted")
    parser.add_argument("--set", nargs="*", default=[], metavar="section.key=value")
    add_json(parser)
    arguments = parser.parse_args()
    figures = measure(arguments.windows, arguments.pairs, arguments.steps, arguments.set)
    for title, value in figures.items():
        if isinstance(value, dict):
            speed, size = value["windows_per_second"], value["mb_per_window"]
            print(f"{title}: {speed:.1f} windows per second and core, {size:.2f} MB per window")
        elif title == "gpu_busy" and value is None:
            print("no GPU at hand: the share of time in which it computes is not measured")
        else:
            print(f"{title}: {value}")
    store_part(arguments.json, "feeding", synthetic=True, windows=arguments.windows, pairs=arguments.pairs, **figures)


if __name__ == "__main__":
    with plain_errors():
        main()
