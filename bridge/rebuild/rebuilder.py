"""Makes the rebuilder that ``[rebuild]`` describes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from bridge.rebuild.build import Builder, BuildJob
from bridge.rebuild.last_build import BuildLedger
from bridge.rebuild.local.checkout import BuilderCheckout, SiteDates, due
from bridge.rebuild.local.command import PELICAN, CommandBuilder, pelican_argv
from bridge.rebuild.local.deploy import Deployed, PublishedOutput
from bridge.rebuild.local.files import Tree
from bridge.rebuild.local.output import Output
from bridge.rebuild.local.site_build import SiteBuild
from bridge.rebuild.resident.builder import ResidentBuilder
from bridge.rebuild.resident.verify import BuildVerifier
from bridge.rebuild.resident.warm_process import Resident
from bridge.rebuild.webhook import NoRebuild, make_remote_rebuilder
from bridge.rebuild.worker import DEFAULT_TIMING, EAGER_TIMING, BuildTiming, Worker
from bridge.runtime import beneath, process
from bridge.runtime.confinement import Grants
from bridge.settings import Settings, prefix_of
from bridge.site.sandbox import Sandbox, make_sandbox
from bridge.store import Version
from bridge.store.checkout.checkout import Submodules
from bridge.store.checkout.lfs import large_files_of
from bridge.store.git import GitStore

#: The plugin writes the pages of drafts that the world does not see to the folder named by this
#: (:mod:`pelican_indieauth.lists.withheld`).
PREVIEWS = "PELICAN_INDIEAUTH_PREVIEWS"


def make_rebuilder(
    settings: Settings,
    store: GitStore,
    state: Path,
    *,
    output: Path,
    environment: Mapping[str, str] | None = None,
    submodules: Submodules | None = None,
    dates: Callable[[], SiteDates | None] = lambda: None,
    timing: BuildTiming | None = None,
) -> Worker | NoRebuild:
    """The rebuilder that ``[rebuild] mode`` names; ``state`` is a folder for what it remembers.

    ``output`` is the folder of pages. Builds have an environment of their own, to which
    ``environment`` is added. ``submodules`` has those of the repo, ``dates`` returns what the
    site's settings say about dates once they are loaded. ``timing`` defaults to what suits the
    mode. ``.output`` of the result is the folder of pages, ``None`` where that is not on this
    machine.
    """
    if settings.rebuild.mode in {"webhook", "none"}:
        return make_remote_rebuilder(settings, store, state, timing)
    is_resident = settings.rebuild.mode == "resident"
    timing = timing or (EAGER_TIMING if is_resident else DEFAULT_TIMING)
    folder = state / "rebuild"
    ledger = BuildLedger(folder / "built.json", process.installed_code())
    kept = _kept_in(folder)
    sandbox = _sandbox(settings, store, state, environment or {})
    checkout = _checkout(settings, store, folder, sandbox, submodules, dates)
    return _Site(settings, store, checkout, folder, kept, ledger, sandbox).rebuilder(output, timing)


def _checkout(
    settings: Settings,
    store: GitStore,
    folder: Path,
    sandbox: Sandbox,
    submodules: Submodules | None,
    dates: Callable[[], SiteDates | None],
) -> BuilderCheckout:
    return BuilderCheckout(
        store,
        folder / "checkout",
        submodules=submodules,
        may_read=sandbox.may_read,
        keep=settings.rebuild.keep,
        large_files=large_files_of(store, settings),
        due=partial(due, dates=dates),
        git_dir=sandbox.git_dirs / "rebuild",
    )


def _sandbox(
    settings: Settings, store: GitStore, state: Path, environment: Mapping[str, str]
) -> Sandbox:
    """What builds may read and write; ``environment`` is added to theirs."""
    made = make_sandbox(settings, state, objects=store.bare_repo.common / "objects")
    return replace(
        made,
        confined=made.confined and settings.rebuild.confined,
        extra={**made.extra, **environment},
    )


def _published(output: Path, folder: Path) -> PublishedOutput:
    """What copies pages to the folder that is deployed, which builds may not write to."""
    note, kept = folder / "published.json", folder / "kept"
    if not note.exists() and Output(output, kept / "output.json").ours:
        # Builds wrote there, before this release or while nothing was deployed.
        Tree(folder).write(note.name, beneath.read(kept, "output.json"))
        shutil.rmtree(kept / "output-before", ignore_errors=True)
    return PublishedOutput(folder / "pages", Output(output, note))


def _kept_in(folder: Path) -> Path:
    """The folder of what builds keep, beside what only the bridge itself writes.

    The site's code may write to it, and not to ``folder``: who may write to a folder may put a
    link in the place of a checkout, and decides which posts are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Earlier releases let the site's code write here.
    for entry in folder.iterdir():
        if entry.is_symlink():
            entry.unlink()
    kept = folder / "kept"
    kept.mkdir(exist_ok=True)
    for name in ("output.json", "output-before", "previews"):
        if (folder / name).exists() and not os.path.lexists(kept / name):
            (folder / name).rename(kept / name)
    # These are recreated.
    shutil.rmtree(folder / "shadow", ignore_errors=True)
    (folder / "read.sqlite").unlink(missing_ok=True)
    return kept


def importing_from(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which ``from pelicanconf import *`` finds the file of this folder."""
    search = [str(folder), environment.get("PYTHONPATH", "")]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, search))}


def make_builder(
    settings: Settings,
    folder: Path,
    output: Output,
    *,
    sandbox: Sandbox,
    environment: Mapping[str, str],
    listed: Callable[[Version], Iterable[tuple[str, str]]],
) -> Builder:
    """What builds as ``[rebuild]`` says: with a command, or by a warm process before that.

    ``folder`` is for what it keeps; ``listed`` has every path of a version, with its object.
    """
    content, run_in = settings.content.folder, settings.run_in
    own = settings.rebuild.command
    command = CommandBuilder(
        argv=own or pelican_argv(content, settings.site.settings, run_in),
        program="" if own else PELICAN,
        output=output,
        staging=folder / "staging",
        content=content,
        environment=environment,
        sandbox=sandbox,
        # The owner's own command knows the repo from its root.
        run_in="" if own else run_in,
    )
    if settings.rebuild.mode != "resident":
        return command
    resident = _resident(settings, output, sandbox, environment, listed)
    verifier = BuildVerifier(command, output, folder / "clean")
    return ResidentBuilder(resident, output, command, verifier)


def _resident(
    settings: Settings,
    output: Output,
    sandbox: Sandbox,
    environment: Mapping[str, str],
    listed: Callable[[Version], Iterable[tuple[str, str]]],
) -> Resident:
    """The warm process, not started."""
    content = settings.content.folder
    folders = (settings.media.folder, settings.webmention.folder)
    return Resident(
        settings=settings.site.settings,
        content=content,
        run_in=settings.run_in,
        staged=output.note.with_name("shadow"),
        note=output.note,
        environment=environment,
        sandbox=sandbox,
        own=tuple(f"{prefix_of(content)}{folder}" for folder in folders),
        listed=listed,
    )


class _Site:
    """The parts of a site that is built on this machine."""

    def __init__(
        self,
        settings: Settings,
        store: GitStore,
        checkout: BuilderCheckout,
        folder: Path,
        kept: Path,
        ledger: BuildLedger,
        sandbox: Sandbox,
    ) -> None:
        """``folder`` is what the bridge itself writes to, ``kept`` what builds do."""
        self._settings = settings
        self._store = store
        self._folder = folder
        self._kept = kept
        self._ledger = ledger
        self._checkout = checkout
        beside = (self._checkout.folder / settings.site.settings).parent
        self._previews = kept / "previews"
        self._sandbox = sandbox
        previews = {PREVIEWS: str(self._previews)}
        self._environment = importing_from(beside, sandbox.environment(**previews))
        # The deploy command is the owner's, and may need keys. It imports nothing from the
        # checkout.
        self._trusted = process.environment(sandbox.extra)

    def rebuilder(self, output: Path, timing: BuildTiming) -> Worker:
        """What builds the site into ``output``."""
        if self._settings.rebuild.mode == "resident":
            # A resident build can be cancelled, so it need not wait for further commits first.
            timing = replace(timing, debounce=min(timing.debounce, 0.02))
        return Worker(
            self._store,
            self._job(output, timing),
            self._ledger,
            output=output,
            previews=self._previews,
            timing=timing,
            denied=self._sandbox.denied,
        )

    def _job(self, public: Path, timing: BuildTiming) -> BuildJob:
        """A build, and the deploy command for its pages in ``public``."""
        published = None
        if self._settings.rebuild.deploy and self._sandbox.confined:
            published = _published(public, self._folder)
        pages = public if published is None else self._folder / "pages"
        most = self._settings.rebuild.max_growth
        output = Output(pages, self._kept / "output.json", most, grants=self._grants)
        build = SiteBuild(
            self._store,
            self._checkout,
            make_builder(
                self._settings,
                self._folder,
                output,
                sandbox=self._sandbox,
                environment=self._environment,
                listed=self._store.listed,
            ),
            self._ledger,
            content=self._settings.content.folder,
            gone=output.missing,
            take_away=bool(self._settings.rebuild.command),
            look_every=timing.look,
        )
        if not self._settings.rebuild.deploy:
            return build
        return Deployed(
            build,
            self._settings.rebuild.deploy,
            output=public,
            ours=output.remembered,
            note=self._folder / "undeployed.json",
            environment=self._trusted,
            published=published,
        )

    def _grants(self, read: Sequence[Path], write: Sequence[Path]) -> Grants | None:
        """What a process may read and write that brings a build's files to the output."""
        return self._sandbox.grants(read=[*read, self._checkout.folder], write=write)
