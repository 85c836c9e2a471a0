"""Predictions given as paths and words: checks, a dry run that describes the job, and the run that writes the rasters."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from deepnets4eo.errors import InputError
from deepnets4eo.jobs import Executor, Progress
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.prediction.checks import check_outputs
from deepnets4eo.prediction.clicked_scene import show_clicks
from deepnets4eo.prediction.dry_run import describe
from deepnets4eo.prediction.job import Prediction, predict
from deepnets4eo.prediction.options import PredictOptions, VoteOptions
from deepnets4eo.prediction.preparation import named_layers, open_scene
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import Run, load_run

ARCHIVES = (".csv", ".npz")  # of whole images


@dataclass(frozen=True)
class PredictJob:
    """The labels of a scene by a run, or by several that vote. clicks : file of points that correct them."""

    labeller: Run
    scene: Scene
    out: Path
    options: PredictOptions
    clicks: Path | None = None

    @classmethod
    def plan(
        cls, runs: Sequence[str], scene: Sequence[str], out: Path, options: PredictOptions,
        votes: VoteOptions, clicks: Path | None = None,
    ) -> PredictJob:  # fmt: skip
        """Plan the job from these words. Errors: as for the checks of `predict`.

        runs : folders, the first run and the runs that vote with it."""
        loaded = [load_run(folder) for folder in runs]
        if loaded[0].card["notes"].get("task") == "images" and Path(scene[0]).suffix.lower() in ARCHIVES:
            raise InputError(
                f"{scene[0]} holds whole images, which are labelled into a table. Name one: --out labels.csv"
            )
        run = votes.combine(loaded)
        opened = open_scene(named_layers(scene, run.inputs.names), run.segmenter)
        check_outputs(out, options, [opened, *loaded])
        return cls(run, opened, out, options, clicks)

    def describe(self) -> str:
        """Describe in one line what the job would do. Errors: as for `predict`."""
        return describe(self.labeller, self.scene, self.options, self.out)

    def run(self, progress: Progress | None = None, executor: Executor | None = None) -> Prediction:
        """Label the scene, or compute a part of it. Errors: as for `predict`, and InputError for clicks that cannot be used."""
        run, scene = self.labeller, self.scene
        with ExitStack() as stack:
            if self.clicks is not None:
                check_not_inputs([self.out], [self.clicks])
                run, scene = stack.enter_context(show_clicks(run, scene, self.clicks))
            return predict(run, scene, self.out, replace(self.options, executor=executor), progress=progress)
