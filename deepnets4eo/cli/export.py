"""`deepnets4eo export`: a trained network as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.options import Overwrite
from deepnets4eo.cli.output import echo, show_result


def export(
    run: Annotated[Path, typer.Argument(help="Run folder that 'deepnets4eo train' made.", show_default=False)],
    onnx: Annotated[Path, typer.Option("--onnx", help="Where the ONNX file goes.", show_default=False)],
    overwrite: Overwrite = False,
) -> None:
    """Write a run's network as one ONNX file, compared with the run where onnxruntime is installed.

    The network takes prepared images and returns logits; the metadata entry "deepnets4eo" holds bands, scaling, legend
    and tiling as JSON. Needs pip install "deepnets4eo[onnx]".

    \b
    deepnets4eo export runs/first --onnx first.onnx"""
    from deepnets4eo.lazy import check_extra

    check_extra("deep", install="onnx")  # which has PyTorch as well: one installation is enough
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.outputs.input_files import check_not_inputs
    from deepnets4eo.segmenters.export import export_onnx
    from deepnets4eo.segmenters.run import load_run

    check_not_inputs([onnx], [run])
    loaded = load_run(run)
    with output_lock(onnx):
        check_overwrite(onnx, overwrite=overwrite)
        done = export_onnx(loaded, onnx)
    if not done.any_size:
        echo(f"The network takes images of {done.side_px} × {done.side_px} px only.", err=True)
    if done.same_labels is None:
        line = "Not compared with the run: onnxruntime is not installed."
    elif loaded.legend.quantity is not None:
        line = f"onnxruntime returns what the run does; largest difference {done.largest_difference:.2g}."
    else:
        line = (
            f"onnxruntime has the run's label on {done.same_labels:.4%} of pixels; largest difference of logits "
            f"{done.largest_difference:.2g}."
        )
    show_result(line, done.path)
