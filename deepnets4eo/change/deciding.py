"""The decision on change: by a method without training that is fitted to the pair, or by a run; and the options of each."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from deepnets4eo.change.change_scores import check_change_legend, is_from_to
from deepnets4eo.change.classical.detector import ChangeDetector, DateLayers
from deepnets4eo.change.classical.feature_distance import FeatureDistance
from deepnets4eo.change.normalisation import normalise
from deepnets4eo.change.options import ChangeOptions
from deepnets4eo.change.pair import ChangePair
from deepnets4eo.change.refinement import Refinement
from deepnets4eo.errors import InputError
from deepnets4eo.grid import mean_gsd_m
from deepnets4eo.lazy import check_extra
from deepnets4eo.maps import Measured
from deepnets4eo.outputs import Finding
from deepnets4eo.segmenters import Run, kept_run, load_run

log = logging.getLogger(__name__)

FINEST_SPECTRAL_M = 2.0  # on building pairs of 0.5 m they reach an F1 of 0.25
BROAD_SHARE = 0.2  # of pixels: of noise without change, more than that lie above the threshold
TWO_GROUPS = 0.7  # of the variance: one Gaussian, cut in its middle, has 2/π of it between both sides


def check_options(options: ChangeOptions) -> None:
    """Refuse options that contradict each other. Errors: InputError."""
    if (options.cover_pre is None) != (options.cover_post is None):
        date, other = ("pre", "post") if options.cover_post is None else ("post", "pre")
        raise InputError(
            f"--set cover_{date} was given without --set cover_{other}; classes before and after need land cover of both dates. "
            "Give both, or none."
        )
    if options.model is None and options.normalise != "none":
        raise InputError(
            f"--set normalise={options.normalise} was given without --model; methods without training standardise both dates "
            "themselves. Leave it out."
        )


def with_method_of(pair: ChangePair, options: ChangeOptions) -> ChangeOptions:
    """Return the options for this pair: rasters that already contain embeddings are compared by their cosine.

    Raises MissingExtraError if embeddings have to be computed and PyTorch is not installed."""
    if options.model is not None or options.method != FeatureDistance.name:
        return options
    if pair.scene.layers[DateLayers.post].embedding is not None:
        return replace(options, method="cosine")
    check_extra("deep")
    return options


def load_change_run(options: ChangeOptions) -> Run | None:
    """Open the run of the options, None without one. Raises InputError or RunError for a run that does not label change
    in pairs, or finds the land cover itself."""
    model = options.model
    if model is None:
        return None
    run = load_run(model)
    check_change_legend(run.legend, str(run.folder))
    if run.inputs.names != [DateLayers.pre, DateLayers.post]:
        raise InputError(
            f"{model} reads the layers {run.inputs.names}; a run of change reads {[DateLayers.pre, DateLayers.post]}. Train one with "
            f"model.layers: [{DateLayers.pre}, {DateLayers.post}]."
        )
    if is_from_to(run.legend) and options.cover_pre is not None:
        raise InputError(
            f"--set cover_pre and --set cover_post were given with {model}, which finds the land cover of both dates itself. Leave them out."
        )
    return run


def prepare(pair: ChangePair, scratch: Path, options: ChangeOptions) -> Measured:
    """Return the run that labels the pair, the scene that it reads, and the method with its threshold."""
    trained = pair.run
    if trained is not None:
        notes = {"method": f"run {options.model}", "threshold": Refinement.threshold}
        if options.normalise == "none":
            return Measured(trained, pair.scene, notes)
        scene, values = normalise(trained.inputs.as_trained(pair.scene), trained.inputs)
        return Measured(trained, scene, notes | {"normalisation": values})

    def fit() -> ChangeDetector:
        log.info("fitting %s to the pair …", options.method)
        return ChangeDetector.of_scene(pair.scene, options.method, threshold_method=options.threshold)

    run = kept_run(scratch / "run", fit, options.seed)
    assert isinstance(run.segmenter, ChangeDetector)
    own = run.segmenter.method.threshold is not None
    how = "of the method itself" if own else options.threshold
    notes = {"method": options.method, "threshold": run.segmenter.threshold, "threshold_method": how}
    return Measured(run, pair.scene, notes)


def method_findings(pair: ChangePair, run: Run) -> list[Finding]:
    """Return findings on what pixels of this size, or of unknown size, and scores without two groups mean for the map."""
    grid, detector, findings = pair.scene.grid, run.segmenter, list[Finding]()
    if grid.crs is None:
        findings.append(Finding("no_crs", "note"))
    if not isinstance(detector, ChangeDetector):
        return findings
    if isinstance(detector.method, FeatureDistance):
        findings.append(Finding("features_of_photographs", "caution"))
    elif grid.crs is not None and mean_gsd_m(grid) < FINEST_SPECTRAL_M:
        findings.append(Finding("spectra_of_small_pixels", "caution", {"gsd_m": mean_gsd_m(grid)}))
    if detector.changed_share >= BROAD_SHARE and detector.separation < TWO_GROUPS:
        findings.append(Finding("no_two_groups", "caution", {"share": detector.changed_share}))
    return findings
