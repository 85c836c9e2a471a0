"""Task of a prediction: a run and a scene prepared for it, the identity that recognises an interrupted job, and the tags of rasters."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deepnets4eo.evaluation.withheld import PredictedMap
from deepnets4eo.jobs import JobRecord, identity
from deepnets4eo.prediction.plan import Plan
from deepnets4eo.prediction.preparation import PreparedScene, open_scene, prepare_scene
from deepnets4eo.rasters import LayerLike, Scene
from deepnets4eo.segmenters import Run, Segmenter, ensemble_run, load_run
from deepnets4eo.segmenters.checksums import hash_of
from deepnets4eo.version import __version__

THREADS = "threads"  # of the network: rows of other threads may differ by rounding, which makes no other result
SYNTHETIC = "SYNTHETIC"
STRETCH = "STRETCH"  # tag: how the layers that are not of 8 bits were shown to the run


class LabelTask(NamedTuple):
    """A segmenter, the hash of its run, and a scene as it takes it."""

    segmenter: Segmenter
    run: str
    prepared: PreparedScene

    @classmethod
    def of(cls, run: Run | Segmenter | str | Path, scene: Scene | LayerLike | Mapping[str, LayerLike]) -> LabelTask:
        """Load the run, or take a bare segmenter, and open and check the scene.

        A run uses the views of its recipe unless others were chosen."""
        if isinstance(run, (str, Path)):
            run = load_run(run)
        labeller: Any = ensemble_run([run]) if isinstance(run, Run) and "views" not in run.card else run
        segmenter: Segmenter = labeller.segmenter if isinstance(labeller, Run) else labeller
        # weights without a run have no hash, so that a job with them cannot be resumed
        digest = hash_of(labeller.card) if isinstance(labeller, Run) else f"unsaved-{uuid.uuid4().hex}"
        return cls(segmenter, digest, prepare_scene(open_scene(scene, segmenter), labeller))

    def record(self, plan: Plan, paths: Mapping[str, Path]) -> JobRecord:
        """Return what the rasters follow from."""
        scene = self.prepared.labelled
        compute = {name: value for name, value in plan.compute.to_dict().items() if name != THREADS}
        return JobRecord.of(
            {name: scene.layers[name] for name in self.segmenter.inputs.present(scene)},
            run=self.run, grid=identity(scene.grid), stretch=self._stretches, tiling=plan.lattice.tiling.to_dict(),
            compute=compute | {"batch_tiles": plan.batch_tiles}, products=sorted(paths),
        )  # fmt: skip

    def identity(self, record: JobRecord, plan: Plan, paths: Mapping[str, Path]) -> dict[str, Any]:
        """Return what all that was finished for the same job has in common."""
        outputs = {name: str(path) for name, path in paths.items()}
        return {"record": record.to_dict(), THREADS: plan.compute.threads, "outputs": outputs}

    def tags(self, plan: Plan) -> dict[str, str]:
        """Return the tags that describe how the rasters were made."""
        made = {layer.tags[SYNTHETIC] for layer in self.prepared.scene.layers.values() if layer.synthetic}
        tags = {
            "SOFTWARE": f"deepnets4eo {__version__}",
            PredictedMap.run_tag: self.run,
            "SEGMENTER": self.segmenter.kind,
            "TILING": ", ".join(f"{key}={value}" for key, value in plan.lattice.tiling.to_dict().items()),
        }
        if self.prepared.stretches:
            tags[STRETCH] = json.dumps(self._stretches)
        return (
            tags
            | ({SYNTHETIC: "; ".join(sorted(made))} if made else {})
            | {PredictedMap.precision_tag: plan.compute.arithmetic}
        )

    @property
    def _stretches(self) -> dict[str, dict[str, list[float]]]:
        return {name: stretch.to_dict() for name, stretch in self.prepared.stretches.items()}
