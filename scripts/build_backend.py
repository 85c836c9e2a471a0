"""Builds as setuptools does, but packs the source the same, byte for byte, on every computer: with SOURCE_DATE_EPOCH as the time of all
files, without their owners, and with the permissions that they have in Git."""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  # all other hooks


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    """The hook of PEP 517; without SOURCE_DATE_EPOCH the archive stays as setuptools made it."""
    name = str(build_meta.build_sdist(sdist_directory, config_settings))
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        pack_alike(Path(sdist_directory) / name, int(epoch))
    return name


def pack_alike(archive: Path, epoch: int) -> None:
    """Rewrite a .tar.gz: its members sorted by name, of one time in seconds since 1970, of nobody."""
    beside = archive.with_suffix(".part")
    with (
        tarfile.open(archive) as source,
        beside.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w") as target,
    ):
        for member in sorted(source.getmembers(), key=lambda each: each.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            target.addfile(member, source.extractfile(member) if member.isfile() else None)
    beside.replace(archive)
