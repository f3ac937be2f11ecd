"""Which way of building the settings ask for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bridge.rebuild import process
from bridge.rebuild.build import Builder
from bridge.rebuild.checkout import Checkout
from bridge.rebuild.command import CommandBuilder, pelican_argv
from bridge.rebuild.ledger import Ledger
from bridge.rebuild.none import NoRebuild
from bridge.rebuild.output import Output
from bridge.rebuild.output_path import ask
from bridge.rebuild.resident.builder import Resident, ResidentBuilder
from bridge.rebuild.scheduled import due
from bridge.rebuild.site import SiteBuild
from bridge.rebuild.webhook import Webhook
from bridge.rebuild.worker import CALM, Pace, Worker
from bridge.settings import Settings, SettingsError
from bridge.store import ContentStore, Version


def make_rebuilder(
    settings: Settings,
    store: ContentStore,
    state: Path,
    *,
    environment: Mapping[str, str] | None = None,
    pace: Pace = CALM,
) -> Worker | NoRebuild:
    """The rebuilder that ``[rebuild] mode`` names; ``state`` is a folder for what it remembers.

    Builds see the environment of this process, with ``environment`` added. ``.output`` of what
    comes back is the folder of pages, ``None`` where that is not on this machine. Blocks for as
    long as a checkout takes where Pelican's own settings have to be asked for that folder. Raises
    :class:`SettingsError` where the settings cannot be used.
    """
    mode = settings.rebuild.mode
    if mode == "none":
        return NoRebuild()
    folder = state / "rebuild"
    ledger = Ledger(folder / "built.json")
    if mode == "webhook":
        return Worker(store, Webhook(settings.rebuild.webhook, ledger), ledger, pace=pace)
    site = _Site(settings, store, folder, ledger, process.environment(environment or {}))
    return site.rebuilder(pace)


def importing_from(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which ``from pelicanconf import *`` finds the file of this folder."""
    search = [str(folder), environment.get("PYTHONPATH", "")]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, search))}


class _Site:
    """The parts of a site that is built on this machine."""

    def __init__(
        self,
        settings: Settings,
        store: ContentStore,
        folder: Path,
        ledger: Ledger,
        environment: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._store = store
        self._folder = folder
        self._ledger = ledger
        self._checkout = Checkout(store, folder / "checkout", hold_back=due)
        beside = (self._checkout.folder / settings.site.settings).parent
        self._environment = importing_from(beside, environment)

    def rebuilder(self, pace: Pace) -> Worker:
        output = Output(self._output_folder(), self._folder / "output.json")
        job = SiteBuild(
            self._store,
            self._checkout,
            self._builder(output),
            self._ledger,
            content=self._settings.content.folder,
            gone=output.missing,
        )
        return Worker(self._store, job, self._ledger, output=output.folder, pace=pace)

    def _builder(self, output: Output) -> Builder:
        command = self._command(output)
        if self._settings.rebuild.mode == "command":
            return command
        resident = Resident(
            settings=self._settings.site.settings,
            content=self._settings.content.folder,
            shadow=self._folder / "shadow",
            note=output.note,
            environment=self._environment,
        )
        return ResidentBuilder(resident, output, command)

    def _command(self, output: Output) -> CommandBuilder:
        content = self._settings.content.folder
        argv = self._settings.rebuild.command or pelican_argv(content, self._settings.site.settings)
        return CommandBuilder(
            argv=argv,
            output=output,
            staging=self._folder / "staging",
            content=content,
            environment=self._environment,
        )

    def _output_folder(self) -> Path:
        """``[rebuild] output``, else what the site's own settings say."""
        configured = self._settings.rebuild.output
        if configured:
            return Path(configured).expanduser().absolute()
        repo = self._settings.site.repo.absolute()
        base = repo if (repo / ".git").exists() else self._folder
        head = self._store.head()
        if head is None:
            return base / "output"
        wanted = self._ask(head)
        # A relative path: to the owner's clone, not to a checkout that nobody knows.
        if wanted.is_relative_to(self._checkout.folder):
            return base / wanted.relative_to(self._checkout.folder)
        return wanted

    def _ask(self, head: Version) -> Path:
        """Pelican's ``OUTPUT_PATH``, from the settings as they are committed."""
        if self._checkout.version != head:
            self._ledger.begin()
            self._checkout.bring_to(head)
        place = self._settings.site.settings
        checkout = self._checkout.folder
        try:
            return ask(
                checkout / place, checkout / self._settings.content.folder, self._environment
            )
        except (ValueError, OSError, subprocess.SubprocessError) as error:
            remedy = "Mend the file, or say in [rebuild] output where the pages go"
            raise SettingsError("bridge.toml", "site.settings", str(error), remedy) from error
