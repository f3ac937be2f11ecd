"""Evaluates Pelican's settings in the owner's clone, as ``init`` needs them."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from bridge.errors import SiteBroken
from bridge.site.messages import SiteFacts, Start
from bridge.site.process import SiteProcess
from bridge.site.starting import Sandbox
from bridge.store.setup import copy_clone

#: How settings ask for an environment variable.
_VARIABLE = re.compile(rb"(?:environ|environ\.get|getenv)\s*[\[(]\s*[\"']([A-Za-z_]\w*)[\"']")
_IMPORTED = re.compile(rb"^from\s+(?:[\w.]*\.)?(\w+)\s+import\s+\*", re.MULTILINE)


def read_settings(root: Path, file: Path) -> SiteFacts:
    """Pelican's settings as ``pelican`` reads them in the owner's clone, read in a confined
    process.

    Raises :class:`SiteBroken`.
    """
    return read_anywhere(root, file, asked_for([file]))[1]


def asked_for(files: Iterable[Path]) -> dict[str, str]:
    """The environment variables that settings files name, if they are set here."""
    texts = {file: file.read_bytes() for file in files}
    for file, text in list(texts.items()):
        for name in _IMPORTED.findall(text):
            imported = file.with_name(f"{name.decode()}.py")
            if imported.is_file():
                texts[imported] = imported.read_bytes()
    names = {name.decode() for text in texts.values() for name in _VARIABLE.findall(text)}
    with tempfile.TemporaryDirectory(prefix="bridge-init-") as folder:
        given = Sandbox(Path(folder)).environment()
    # The programs that run the site's code set PWD themselves.
    wanted = sorted(names - {*given, "PWD"})
    return {name: os.environ[name] for name in wanted if name in os.environ}


def read_anywhere(root: Path, file: Path, environment: Mapping[str, str]) -> tuple[str, SiteFacts]:
    """Settings, and the folder of the repo that they can be evaluated in: they may open files by
    relative paths.

    Raises :class:`SiteBroken`.
    """
    beside = "" if file.parent == root else file.parent.relative_to(root).as_posix()
    try:
        facts = _read(root, file, beside, environment)
    except SiteBroken:
        if not beside:
            raise
        return "", _read(root, file, "", environment)
    content = (file.parent / str(facts.values["PATH"])).resolve()
    if beside and not content.is_relative_to(file.parent):
        # Both give the same settings, unless a path is relative.
        with suppress(SiteBroken):
            return "", _read(root, file, "", environment)
    return beside, facts


def _read(root: Path, file: Path, run_in: str, environment: Mapping[str, str]) -> SiteFacts:
    """Settings, read in the owner's clone by a process that cannot change it; in a copy, if they
    create files."""
    settings = file.relative_to(root).as_posix()
    try:
        return _load(Start(str(root), settings, run_in=run_in, is_owners=True), environment)
    except SiteBroken as error:
        if "Permission denied" not in error.description:
            raise
    with tempfile.TemporaryDirectory(prefix="bridge-init-") as folder:
        copy = Path(folder, "site").resolve()
        copy_clone(root, copy)
        facts = _load(Start(str(copy), settings, run_in=run_in), environment)

    def in_clone(value: Any) -> Any:
        if isinstance(value, list):
            return [in_clone(each) for each in value]
        return value.replace(str(copy), str(root)) if isinstance(value, str) else value

    values = {name: in_clone(value) for name, value in facts.values.items()}
    return msgspec.structs.replace(facts, values=values)


def _load(start: Start, environment: Mapping[str, str]) -> SiteFacts:
    async def load(state: Path) -> SiteFacts:
        site = SiteProcess(start, Sandbox(state, extra=environment))
        try:
            return await site.load()
        except SiteBroken as error:
            if not site.denied:
                raise
            raise SiteBroken(
                f"{error.description} The site's own code may read the repo, but not"
                f" {', '.join(site.denied)}: have what it needs in the repo."
            ) from error
        finally:
            await site.close()

    with tempfile.TemporaryDirectory(prefix="bridge-init-") as folder:
        return asyncio.run(load(Path(folder)))
