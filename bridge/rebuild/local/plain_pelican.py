"""Runs ``pelican`` without some posts, and has it say why it skips others.

``python -c`` runs this file's text in the site's folder, so that nothing of the bridge is imported
and none of its folders is searched for the site's modules.
"""

from __future__ import annotations

import builtins
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

#: The posts to leave out: a JSON list of paths below the content folder.
LEFT_OUT = "PELICAN_LEFT_OUT"
#: Printed before a folder of plugins that may not be read.
NO_PLUGINS = "PLUGIN_PATHS:"
#: Printed before the posts that have been read and are in no list, and how many of them are: all
#: would take the place of the log before them.
UNLISTED = "IN NO LIST:"
_MOST_UNLISTED = 100
#: Lists of generators from which no page of a post is written.
_NO_PAGES = frozenset({"dates", "staticfiles"})


def keep_git_out(settings: dict[str, Any]) -> None:
    """Have Pelican not copy what git keeps in a checkout, where that is in a folder of static
    files: the names of all files are in it, drafts too.
    """
    settings["IGNORE_FILES"] = [*settings["IGNORE_FILES"], ".git"]


class WrongFolder(Exception):
    """There are no posts where they should be, and the settings name another folder."""


@contextmanager
def owners_path(content: str, root: str) -> Iterator[None]:
    """Within the block, PATH in any settings file is the folder ``content``: as the file spells it
    where it names that folder, since from a link to it ``..`` leads to another place.

    Raises :class:`WrongFolder` in the block where that one is empty, and PATH is another folder of
    ``root``, which is not: the site would be built without posts.
    """
    from pelican import settings as module  # noqa: PLC0415 - not in the bridge

    load = module.get_settings_from_file

    def loaded(file: str) -> dict[str, Any]:
        own = dict(load(file))
        named = str(Path(file).parent / str(own.get("PATH") or ""))
        is_same = own.get("PATH") and os.path.realpath(named) == os.path.realpath(content)
        # The resident process notes what is looked at here, to start again when that changes.
        elsewhere = own.get("PATH") and not is_same
        if elsewhere and not _has_files(content) and _has_files(named):
            here, there = (os.path.relpath(each, root) for each in (content, named))
            if there != os.curdir and not there.startswith(os.pardir):
                raise WrongFolder(
                    f"[content] folder in bridge.toml is {here}, where the repo has no files, and"
                    f' PATH in {Path(file).name} is {there}: write folder = "{there}" there, and'
                    " restart the bridge, or correct PATH"
                )
        # Links are not resolved, as in Pelican.
        path = os.path.abspath(named if is_same else content)  # noqa: PTH100
        return {**own, "PATH": path}

    module.get_settings_from_file = loaded
    try:
        yield
    finally:
        module.get_settings_from_file = load


def _has_files(folder: str) -> bool:
    return any(files for _, _, files in os.walk(folder, followlinks=True))


def leave_out(generator: Any, posts: Collection[str]) -> None:
    """Make one of Pelican's generators find all files except these, which stay on disk.

    ``posts`` are paths below the content folder. Nothing links to them, as if they did not exist.
    """
    found = generator.get_files

    def get_files(*args: Any, **options: Any) -> Any:
        files = found(*args, **options)
        out = [file for file in files if os.path.normpath(file) in posts]
        for file in out:
            # Pelican's own marker of a file without a page: it is not copied as a static file
            # either.
            generator.context["generated_content"].setdefault(os.path.normpath(file), None)
        if isinstance(files, set):
            files.difference_update(out)
            return files
        return [file for file in files if file not in out]

    generator.get_files = get_files


def stay_in_output(generator: Any) -> None:
    """Make Pelican's generator of static files not copy one to a place outside of the output: a
    post has linked to it by a path that leads out of the content folder. Pelican would write beside
    the output, and a build may not. One that may not be read is not copied either.
    """
    required = getattr(generator, "_file_update_required", None)
    if required is None:
        return  # a Pelican newer than those that are known

    def is_required(static: Any) -> bool:
        if leads_outside(os.path.normpath(static.save_as)):
            say_outside(static.source_path)
            return False
        return may_be_published(static.source_path) and required(static)

    generator._file_update_required = is_required


def leads_outside(name: str) -> bool:
    """Whether the name of an output file leads out of the output folder."""
    return name.startswith("../")


def say_outside(source: str) -> None:
    """Log, for the owner, that a static file is not copied for that reason."""
    if os.path.exists(source):  # noqa: PTH110 - called for every file of a site
        path = os.path.normpath(source)
        _log.error("%s is not published, since it is outside of the content folder", path)


def may_be_published(source: str) -> bool:
    """Whether this process may read a static file. Pelican goes on without one that it may not
    read; the owner is told.
    """
    try:
        open(source, "rb").close()  # noqa: PTH123 - what is refused is noted there
    except PermissionError:
        path = os.path.normpath(source)
        _log.error("%s is not published, since the site's own code may not read it", path)
        return False
    except OSError:
        return True  # a folder, or it is not there: Pelican knows what to do
    return True


class Runs:
    """The generators of a run of Pelican, and of the runs for further languages within it."""

    def __init__(self) -> None:
        self._generators: list[Any] = []

    def begin(self) -> None:
        """A site is about to be built."""
        self._generators.clear()

    def note(self, generators: Iterable[Any]) -> None:
        """Called when one of these runs has read everything."""
        self._generators += generators

    def unlisted(self) -> list[str]:
        """The files of posts and pages that were read, are in no list that a page is written from,
        and have no page: plugins take them out. Called when everything is written.
        """
        try:
            return self._unlisted()
        except Exception:  # noqa: BLE001 - plugins may put anything there, and the site is built
            return []
        finally:
            self.begin()

    def _unlisted(self) -> list[str]:
        read: dict[str, list[tuple[str, Any]]] = {}
        listed: set[str] = set()
        for generator in self._generators:
            if hasattr(generator, "articles"):
                # All generators of a run share what has been read.
                for post in generator.context["generated_content"].values():
                    if post is None or not isinstance(post.source_path, str):
                        continue  # not of a file: a plugin has made it
                    read.setdefault(post.source_path, []).append((generator.output_path, post))
            for name, value in list(vars(generator).items()):
                if isinstance(value, list) and name not in _NO_PAGES:
                    listed.update(getattr(post, "source_path", "") for post in value)
        missing = read.keys() - listed
        return sorted(path for path in missing if all(_has_no_page(*each) for each in read[path]))


def _has_no_page(output: str, post: Any) -> bool:
    """Whether a post should have a page, and has none: a plugin may write it by itself."""
    return bool(post.save_as) and not Path(output, post.save_as).exists()


def unreadable(folders: Iterable[str]) -> list[str]:
    """The folders that exist and that this process is not allowed to read."""
    found = []
    for folder in folders:
        try:
            os.scandir(folder).close()
        except PermissionError:
            found.append(str(folder))
        except OSError:
            continue
    return found


def _say_why_files_are_skipped() -> None:
    """Pelican itself only says why it could not process a file where it prints a traceback."""
    make = logging.getLogRecordFactory()

    def with_reason(*args: Any, **options: Any) -> logging.LogRecord:
        record, error = make(*args, **options), sys.exc_info()[1]
        text = record.getMessage() if record.levelno == logging.ERROR else ""
        if text.startswith("Could not process ") and error is not None and not record.exc_info:
            why = f"{type(error).__name__}: {error}"
            record.msg, record.args = " ".join(f"{text.splitlines()[0]}: {why}".split()), ()
        return record

    logging.setLogRecordFactory(with_reason)


def _say_what_is_denied() -> None:
    """Print files that plugins were not permitted to open: many plugins hide the error."""

    def telling(function: Callable[..., Any]) -> Callable[..., Any]:
        def opening(*args: Any, **options: Any) -> Any:
            try:
                return function(*args, **options)
            except PermissionError as error:
                message = f"\nPermission denied: {error.filename!r}"
                print(message, file=sys.stderr, flush=True)
                raise

        return opening

    builtins.open = io.open = telling(io.open)
    os.open = telling(os.open)


def main() -> None:
    """Pelican's own command line."""
    _say_why_files_are_skipped()
    _say_what_is_denied()
    posts = frozenset(json.loads(os.environ.pop(LEFT_OUT, "[]")))
    from pelican.plugins import signals  # noqa: PLC0415 - not in the bridge

    def leaving_out(generator: Any) -> None:
        leave_out(generator, posts)

    def initialized(pelican: Any) -> None:
        keep_git_out(pelican.settings)
        for folder in unreadable(pelican.settings.get("PLUGIN_PATHS") or ()):
            print(f"\n{NO_PLUGINS} Permission denied: {folder!r}", file=sys.stderr, flush=True)

    if posts:
        signals.generator_init.connect(leaving_out, weak=False)
    signals.initialized.connect(initialized, weak=False)
    signals.static_generator_init.connect(stay_in_output, weak=False)
    runs = Runs()
    signals.all_generators_finalized.connect(runs.note, weak=False)
    sys.argv[0] = "pelican"
    from pelican import main as pelican_main  # noqa: PLC0415 - not in the bridge

    content, *options = sys.argv[1:]
    with owners_path(content, os.environ["SITE_CHECKOUT"]):
        ended = pelican_main(options)
    if unlisted := runs.unlisted()[:_MOST_UNLISTED]:
        # Names that are not UTF-8 are only shown.
        unlisted = [os.fsencode(path).decode(errors="backslashreplace") for path in unlisted]
        print(f"\n{UNLISTED} {json.dumps(unlisted)}", file=sys.stderr, flush=True)
    sys.exit(ended)


if __name__ == "__main__":
    main()
