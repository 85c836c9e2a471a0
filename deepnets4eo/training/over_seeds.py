"""One recipe trained with several seeds: a run for each, and the mean ± sd of their scores.

Takes what `train` takes, and a number of seeds. A seed decides first weights and the order of samples, and which part is
withheld: without the latter, the spread says nothing about other ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.over_seeds import mean_scores
from deepnets4eo.files import read_json, write_json
from deepnets4eo.segmenters.checksums import CARD
from deepnets4eo.training.epochs import LAST
from deepnets4eo.training.fit import METRICS
from deepnets4eo.training.job import RECIPE, check_same_recipe, load_recipe, train
from deepnets4eo.training.ranks import Rank
from deepnets4eo.training.recipe import Recipe
from deepnets4eo.training.tasks import TrainOptions

SEEDS = "seeds.json"
SPLIT_KEYS = ("data.split_seed", "data.fold")


def train_seeds(
    recipe: str | Path | Recipe,
    out: str | Path,
    count: int,
    *,
    data: str | Path | Sequence[str | Path] = (),
    overrides: Sequence[str] = (),
    options: TrainOptions | None = None,
) -> Path:
    """Train a recipe with several seeds, and average the scores of their withheld parts.

    The runs are `out/seed-0`, `out/seed-1` and so on, from the recipe's `train.seed` on; `out/seeds.json` has mean, sd and
    each run's score. Run s withholds fold s where `data.split` is folds, else the part that `data.split_seed` s draws; an
    override of `data.split_seed` or `data.fold` keeps one part for all.

    Parameters
    ----------
    recipe, data, overrides
        Arguments as in `train`.
    out
        Folder of the runs.
    count
        Number of seeds, at least 2.
    options
        Arguments as in `train`. With `resume`, finished runs of the same recipe are kept; with `finish`, seeds that were not begun are
        left out.

    Returns
    -------
    The folder `out`; read `out/seeds.json` with `deepnets4eo.evaluation.seeds_table`.

    Raises
    ------
    InputError
        For fewer than two seeds, also of those to finish, or a recipe that withholds nothing; else as `train`.

    Examples
    --------
    ```python
    runs = train_seeds("hyperspectral/hamida", "runs/hamida", 3, data="pavia_university=FOLDER")
    ```
    """
    if count < 2:
        raise InputError(f"{count} seeds have no spread. Give 2 or more, or train once without a number of seeds.")
    if Rank.current().count > 1:
        raise InputError(
            "torchrun starts the processes of one training, not of several seeds. Leave it out, and give --devices."
        )
    options, out = options or TrainOptions(), Path(out)
    resolved, _ = load_recipe(recipe, data=data, overrides=overrides)
    if getattr(resolved.data, "val_share", None) == 0 and not getattr(resolved.data, "val_scenes", ()):
        raise InputError(
            "data.val_share=0 withholds nothing, so the seeds have no scores. Set it above 0, or train once."
        )
    first = resolved.train.seed
    runs = {f"seed-{seed}": seed for seed in range(first, first + count)}
    if options.finish:
        runs = {name: seed for name, seed in runs.items() if _is_begun(out / name)}
        if len(runs) < 2:
            raise InputError(
                f"{len(runs)} of {count} seeds have begun in {out}; their spread takes two. Go on with --resume alone."
            )
    for name, seed in runs.items():
        changes = [*overrides, f"train.seed={seed}", *_part_of_seed(resolved.data, seed, overrides)]
        if options.resume and (out / name / CARD).exists():
            check_same_recipe(out / name / RECIPE, load_recipe(recipe, data=data, overrides=changes)[0])
        else:
            train(recipe, out / name, data=data, overrides=changes, options=options)
    write_json(out / SEEDS, mean_scores({name: read_json(out / name / METRICS) for name in runs}))
    return out


def _is_begun(run: Path) -> bool:
    return (run / CARD).exists() or any(run.rglob(LAST))


def _part_of_seed(data: Any, seed: int, overrides: Sequence[str]) -> list[str]:
    """Overrides that choose the withheld part of a seed; none where the user chose one, or the task has no such choice."""
    if any(one.partition("=")[0] in SPLIT_KEYS for one in overrides) or not hasattr(data, "split_seed"):
        return []
    return [f"data.fold={seed % data.folds}"] if data.split == "folds" else [f"data.split_seed={seed}"]
