"""The command ``micropub-bridge`` (:mod:`.arguments` has what can be typed). Each subcommand is a
function whose imports are made when it runs.

Until then only the standard library is imported, so that the command exists where only the plugin
is installed, and says what to install.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import pwd
import select
import shlex
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.commands.arguments import parser
from bridge.errors import BridgeError, Refused
from bridge.runtime.command_name import DEFAULT_FILE, command, install
from bridge.runtime.threads import is_scarce

if TYPE_CHECKING:
    from bridge.settings import Settings

#: Modules that ``pelican-indieauth[bridge]`` installs in addition to the plugin's.
EXTRA = (
    *("aiohttp", "aiosmtplib", "argon2", "bs4", "git", "grapheme", "html5lib", "idna"),
    *("mf2py", "msgspec", "python_multipart", "rich", "webauthn", "webencodings"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 refused, 2 wrong usage."""
    options = parser().parse_args(arguments)
    if missing := [name for name in EXTRA if find_spec(name) is None]:
        print(f"micropub-bridge: {_what_to_install(missing)}", file=sys.stderr)
        return 1
    from bridge.indieauth.database import TooNew
    from bridge.runtime.terminal import LogFormat, LogHandler, visible
    from bridge.settings import SettingsError
    from bridge.store import StoreError

    to_stderr = LogHandler()
    form = f"{_time()}%(levelname)s %(name)s: %(message)s"
    to_stderr.setFormatter(LogFormat(form, datefmt="%Y-%m-%d %H:%M:%S"))
    level = logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(level=level, handlers=[to_stderr])
    # Access logs contain query strings, which may contain secrets.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    if options.command in {"init", "check"} and not options.verbose:
        # Their own lines say how the builds went, and what helps.
        to_stderr.addFilter(lambda record: not record.name.startswith("bridge.rebuild"))
    _have_home()
    try:
        status = int(_COMMANDS[options.command](options) or 0)
        if sys.stdout is not None:
            sys.stdout.flush()
    except SettingsError as error:
        # Values that make sense only together are checked where the file is no longer known.
        file = getattr(options, "config", DEFAULT_FILE)
        message = (
            str(error).replace("settings: ", f"{file}: ", 1)
            if error.source == "settings"
            else error
        )
        print(f"micropub-bridge: {message}", file=sys.stderr)
        return 1
    except (Refused, BridgeError, StoreError, TooNew, OSError) as error:
        logging.debug("it came from here", exc_info=True)
        if isinstance(error, BrokenPipeError) and _output_is_unread():
            return 1
        print(f"micropub-bridge: {visible(_explain(error), indent='')}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not is_scarce(error):
            raise
        logging.debug("it came from here", exc_info=True)
        print(
            "micropub-bridge: this machine, or a limit of this process (ulimit), has too little"
            " memory, or too few processes or threads. Allow more, or end other programs.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        # The shell's prompt gets a line of its own.
        print("\nmicropub-bridge: interrupted", file=sys.stderr)
        return 130
    return status


def _output_is_unread() -> bool:
    """Whether the output's reader is gone, as ``head`` is after some lines. The rest of the output
    is then dropped, or Python would report the same error when it exits.
    """
    if sys.stdout is None:
        return False
    poll = select.poll()
    poll.register(sys.stdout, 0)
    is_unread = any(event & select.POLLERR for _, event in poll.poll(0))
    if is_unread:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return is_unread


def _time() -> str:
    """Where a line of the log has its time: nowhere, if systemd's journal adds it."""
    return "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "


def _what_to_install(missing: Sequence[str]) -> str:
    line = install("'pelican-indieauth[bridge]'")
    return (
        f"the bridge is not installed here, only the plugin ({', '.join(missing)} cannot be"
        f" imported). Install it: {line}"
    )


def _have_home() -> None:
    """In a container the user may have neither ``HOME`` nor a name: many programs would fail."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"


def _prepare_git() -> None:
    """Require git, and remove git's environment variables for a particular repo.

    In a git hook, ``GIT_DIR``, ``GIT_INDEX_FILE`` and others would make every git process of ours,
    builds included, use the hook's repo.
    """
    if shutil.which("git") is None:
        # GitPython reports this as a long ImportError.
        raise Refused("git is not installed, or not in PATH. Install it: apt-get install git")
    # Configuration passed in the environment is kept.
    given = {name for name in os.environ if name.startswith("GIT_")}
    given = {name for name in given if not name.startswith("GIT_CONFIG")}
    if not given:
        return
    asked = ["git", "rev-parse", "--local-env-vars"]
    local = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    for name in given.intersection(local):
        del os.environ[name]


def _explain(error: Exception) -> str:
    """The error's text, with that of the operating system error that caused it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}{_whose(error)}"
    cause = error.__cause__
    reason = cause.strerror if isinstance(cause, OSError) else cause
    is_known = isinstance(cause, OSError | sqlite3.Error) and reason is not None
    adds_something = is_known and str(reason) not in str(error)
    return f"{error} ({reason})" if adds_something else str(error)


def _whose(error: OSError) -> str:
    """What helps where a file belongs to another user: some command was run as root, perhaps."""
    place = Path(os.fsdecode(error.filename))
    if not isinstance(error, PermissionError) or not os.path.lexists(place):
        return ""
    owner, user = place.lstat().st_uid, os.geteuid()
    if owner == user:
        return ""
    return (
        f". It belongs to {_name(owner)}, and this command runs as {_name(user)}. Run all commands"
        f" as the user that runs the bridge, who has to own everything beside {DEFAULT_FILE}"
    )


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _refuse_root(place: Path) -> None:
    """Refuse to run as root on another user's bridge: what root writes, that user cannot open, and
    the site's own code would run as root.

    In a container files often belong to users of the machine outside, who have no name there.
    """
    if os.geteuid() != 0 or not place.exists() or (owner := place.stat().st_uid) == 0:
        return
    name = _name(owner)
    if name != str(owner):
        line = shlex.join([command(), *sys.argv[1:]])
        raise Refused(
            f"{place} belongs to {name}, who could not open what this command writes as root. Run"
            f" it as that user: sudo -u {name} {line}"
        )


def load_settings(file: Path) -> Settings:
    """The settings for ``-c FILE``.

    Without the file the environment may suffice, as in a container.
    """
    from bridge.settings_file import load

    _refuse_root(file)
    from_environment = not file.exists() and "BRIDGE_SITE__ME" in os.environ
    return load(None if from_environment else file, os.environ)


def _demo(options: argparse.Namespace) -> None:
    _prepare_git()
    from bridge.commands.demo import demo

    demo(options.dir, options.port, fake_network=options.fake_network)


def _init(options: argparse.Namespace) -> None:
    _prepare_git()
    from bridge.commands.init.init import init

    _refuse_root(DEFAULT_FILE if DEFAULT_FILE.exists() else Path.cwd())
    init(
        options.site,
        settings=options.settings or "",
        me=options.me,
        public_url=options.public_url,
        author=options.author,
        remote=options.remote or "",
        ask=not options.yes,
    )
    if not options.skip_build:
        from bridge.commands.checks.check import prove

        prove(load_settings(DEFAULT_FILE))


def _serve(options: argparse.Namespace) -> None:
    # A start is mostly imports, which leave little garbage.
    gc.disable()
    # aiohttp reads certificates without Python's lock: a second core does that beside the rest.
    threading.Thread(target=import_module, args=["aiohttp"], name="aiohttp").start()
    _prepare_git()
    for name in ("content.convert", "site.current", "store.sync.remote"):
        import_module(f"bridge.{name}")
    from bridge.commands.serve import serve
    from bridge.runtime.private import tighten

    settings = load_settings(options.config)
    tighten([options.config])
    serve(settings, options.config)


def _check(options: argparse.Namespace) -> int:
    _prepare_git()
    from bridge.commands.checks.check import check

    return check(load_settings(options.config), options.config)


def _webmention(options: argparse.Namespace) -> int:
    from bridge.webmention.outgoing.resend import resend

    return resend(load_settings(options.config), options.url)


def _token_create(options: argparse.Namespace) -> None:
    from bridge.commands.tokens import create

    create(load_settings(options.config), options.name, options.scope.split(), options.days)


def _token_list(options: argparse.Namespace) -> None:
    from bridge.commands.tokens import print_all

    print_all(load_settings(options.config))


def _token_revoke(options: argparse.Namespace) -> None:
    from bridge.commands.tokens import revoke

    revoke(load_settings(options.config), options.id)


def _mentions_list(options: argparse.Namespace) -> None:
    _prepare_git()
    from bridge.commands.mentions import list_mentions

    list_mentions(load_settings(options.config), options.state)


def _mentions_decide(options: argparse.Namespace) -> None:
    _prepare_git()
    from bridge.commands.mentions import decide

    decide(load_settings(options.config), options.action, options.ids)


def _mentions_import(options: argparse.Namespace) -> None:
    _prepare_git()
    from bridge.commands.mentions import import_mentions

    import_mentions(load_settings(options.config), options.file)


def _owner_reset(options: argparse.Namespace) -> None:
    from bridge.commands.tokens import reset_owner

    reset_owner(load_settings(options.config))


#: What the commands of :mod:`.arguments` do. A number that is returned is the exit status.
_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int | None]] = {
    "demo": _demo,
    "init": _init,
    "serve": _serve,
    "check": _check,
    "webmention": _webmention,
    "token create": _token_create,
    "token list": _token_list,
    "token revoke": _token_revoke,
    "mentions list": _mentions_list,
    "mentions decide": _mentions_decide,
    "mentions import": _mentions_import,
    "owner reset": _owner_reset,
}
