"""Ray casting where open3d can be loaded, the depth buffer elsewhere."""

from __future__ import annotations

import logging
from functools import cache

from deepnets4eo.points.views.face_view import Caster
from deepnets4eo.points.views.surface import Surface
from deepnets4eo.points.views.z_buffer import ZBuffer

_log = logging.getLogger(__name__)


def ray_caster(surface: Surface) -> Caster:
    """Choose what finds the faces that cameras see.

    Parameters
    ----------
    surface
        The surface.

    Returns
    -------
    A `RayCaster`; where open3d or one of its system libraries is missing a `ZBuffer`, which is slower and sees the same
    faces. One line in the log, once, says so.
    """
    if not _open3d_loads():
        return ZBuffer(surface)
    from deepnets4eo.points.views.ray_casting import RayCaster

    return RayCaster(surface)


@cache
def _open3d_loads() -> bool:
    try:
        import open3d  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: a system library such as libusb-1.0 is missing
        _log.warning(
            'open3d cannot be loaded (%s); views are computed by the slower depth buffer. Install it: pip install '
            '"deepnets4eo[points]", and its system libraries: apt-get install libusb-1.0-0 libgl1 libgomp1',
            str(error).splitlines()[0],
        )  # fmt: skip
        return False
    return True
