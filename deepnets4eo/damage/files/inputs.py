"""Inputs of a damage job, given as paths and words: opened for the whole job, for its dry run, or in a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from deepnets4eo.damage.decision.decision import DecisionModel, load_model
from deepnets4eo.damage.evidences.further import is_score, open_further_evidences
from deepnets4eo.damage.evidences.points import PointEvidence
from deepnets4eo.damage.evidences.priors import open_priors, parse_priors
from deepnets4eo.damage.evidences.rasters import RasterEvidence
from deepnets4eo.damage.evidences.words import parse_evidences
from deepnets4eo.damage.files.foreseen import dry_settings, foreseen_lines, stretch_lines
from deepnets4eo.damage.images.checks import check_images
from deepnets4eo.damage.images.dates import DatePair
from deepnets4eo.damage.journal import damage_journal, labels_file, with_precision
from deepnets4eo.damage.network.find_buildings import find_footprints, with_segmenter
from deepnets4eo.damage.opening import open_inputs, open_pair
from deepnets4eo.damage.placing import register_and_align
from deepnets4eo.damage.settings import FurtherInputs, Settings
from deepnets4eo.damage.site.site import Evidence, Inputs, Site
from deepnets4eo.damage.site.skill import check_weights
from deepnets4eo.damage.site.work import Work
from deepnets4eo.jobs import Progress, WorkerRefusedError
from deepnets4eo.outputs import Finding

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.rasters import Layer, LayerLike
    from deepnets4eo.registration import ImagePair

ProgressBar: TypeAlias = Callable[[str], AbstractContextManager[Progress]]  # title → what is called with the share done


@dataclass(frozen=True)
class FileInputs:
    """Files of one site. pre, footprints : "-" for none; findings : of what named them; evidence_files : evidence of another package → file."""

    pre: str
    post: str
    footprints: str
    further: FurtherInputs
    settings: Settings
    rasters: Sequence[RasterEvidence] = ()
    points: PointEvidence | None = None
    findings: Sequence[Finding] = ()
    evidence_files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(
        cls, images: tuple[str, str], footprints: str, further: FurtherInputs, settings: Settings,
        findings: Sequence[Finding] = (),
    ) -> FileInputs:  # fmt: skip
        """Parse the words of the command line. images : pre and post. Errors: InputError."""
        rasters, points, files = parse_evidences(further, settings.evidences)
        settings = with_segmenter(footprints, settings)
        return cls(*images, footprints, further, settings, rasters, points, findings, files)

    @property
    def files(self) -> list[str]:
        """The files that the buildings are measured in."""
        priors = (file for _, _, file in parse_priors(self.further.prior or ()))
        return [self.pre, self.post, self.footprints, *self.further.files, *self.evidence_files.values(), *priors]

    @property
    def sources(self) -> dict[str, Any]:
        """All that is read, by role; None or a word if no file is given. Cards of scores count with their rasters."""
        further, settings = self.further, self.settings
        scores = {f"evidence {raster.name}": raster.sources for raster in self.rasters}
        scores |= {f"evidence {name}": [file] for name, file in self.evidence_files.items()}
        priors = {"prior": [file for *_, file in parse_priors(further.prior or ())]}
        named = {"pre": self.pre, "post": self.post, "footprints": self.footprints, **further.sources}
        return named | scores | priors | settings.sources

    @property
    def options(self) -> dict[str, Any]:
        """Every option that shapes the map, without the names of what is read."""
        kinds = [[kind, unit] for kind, unit, _ in parse_priors(self.further.prior or ())]
        return asdict(self.settings) | {"prior_kinds": kinds, "evidence_weight": self.further.evidence_weight}

    def open(self) -> Inputs:
        """Open and check all inputs. Raises the errors of `open_inputs`."""
        return self._open_with(self.pre, self.post, self.footprints)

    def open_pair(self) -> ImagePair:
        """Open only the two images."""
        return open_pair(self.pre, self.post, self.settings)

    def open_finding(self, scratch: Path, progress: ProgressBar) -> Inputs:
        """Open the inputs with the buildings that the segmenter finds in the first image."""
        pair = self.open_pair()
        load_model(check_images(pair), self.settings)  # refuses what the job would once buildings were found
        labels = labels_file(scratch, str(self.settings.segmenter), pair.post if pair.pre is None else pair.pre)
        with progress("buildings") as advance:
            buildings = find_footprints(pair, self.settings, labels, advance)
        return self._open_with(pair.pre, pair.post, buildings)

    def open_shared(self, scratch: Path) -> tuple[Site, DecisionModel]:
        """Open the site and the model of a job in the scratch folder, in a worker. Errors: WorkerRefusedError for another job."""
        inputs = self.open()
        journal = damage_journal(scratch, inputs, self.settings, open_further_evidences(inputs, self.settings))
        if journal.folder is None or not journal.folder.is_dir():
            raise WorkerRefusedError(
                f"{scratch} holds no job of these inputs. Let all workers see the same files by the same paths: give absolute ones, or "
                "start the workers in the folder of the job."
            )
        settings = with_precision(self.settings, journal)
        return register_and_align(Site(inputs, settings, work=Work(journal))), load_model(inputs, settings)

    def foresee(self, out: Path) -> tuple[list[str], dict[str, Any], Layer]:
        """Return what a job into `out` would do, in lines, the account of the footprints, and the image after. Raises the job's errors."""
        if self.settings.segmenter is None:
            inputs = self.open()
            account, lines = inputs.footprints.account(), foreseen_lines(inputs, out)
            check_weights(list(filter(is_score, open_further_evidences(inputs, self.settings))))
            checked: Inputs | DatePair = inputs
        else:
            account, checked = dict[str, Any](), check_images(self.open_pair())
            self._open_priors(checked.post)
            lines = [f"the buildings that {self.settings.segmenter} finds would be assessed into {out}"]
        model = load_model(checked, dry_settings(self.settings, checked.pre, checked.post))
        lines += stretch_lines(model, self.settings, checked.pre, checked.post)
        return lines, account, checked.post

    def _open_with(self, pre: LayerLike | None, post: LayerLike, footprints: str | gpd.GeoDataFrame) -> Inputs:
        inputs = open_inputs(
            pre, post, footprints, self.settings, **self.further.layers, evidence=self.rasters, points=self.points,
            evidence_files=self.evidence_files,
        )  # fmt: skip
        return replace(inputs, findings=(*inputs.findings, *self.findings), priors=self._open_priors(inputs.post))

    def _open_priors(self, post: Layer) -> tuple[Evidence, ...]:
        return tuple(open_priors(self.further.prior or (), post, self.further.prior_curves))
