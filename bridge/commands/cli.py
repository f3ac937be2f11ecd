"""The command ``micropub-bridge``. Each subcommand is a function whose imports are made when it
runs.

Until then only the standard library is imported, so that the command exists where only the plugin
is installed, and says what to install.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bridge import __version__
from bridge.errors import BridgeError, Refused
from bridge.runtime.command_name import DEFAULT_FILE

if TYPE_CHECKING:
    from bridge.settings import Settings

#: Modules that ``pelican-indieauth[bridge]`` installs in addition to the plugin's.
EXTRA = (
    *("aiohttp", "aiosmtplib", "argon2", "bs4", "git", "grapheme", "html5lib", "idna"),
    *("mf2py", "msgspec", "python_multipart", "rich", "webauthn", "webencodings"),
)


_ABOUT_SERVE = (
    "Run the bridge until Ctrl-C or SIGTERM. The first start prints a link on which you choose how"
    " to sign in. The log goes to standard error."
)
_ABOUT_CHECK = (
    "Test everything as an app would use it, from the repo to the live home page, and say how to"
    " fix what does not work. The bridge should be running. Exit status 1: something is broken."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 refused, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    if missing := [name for name in EXTRA if find_spec(name) is None]:
        print(f"micropub-bridge: {_what_to_install(missing)}", file=sys.stderr)
        return 1
    from bridge.indieauth.database import TooNew
    from bridge.runtime.terminal import LogFormat, visible
    from bridge.settings import SettingsError
    from bridge.store import StoreError

    to_stderr = logging.StreamHandler()
    form = f"{_time()}%(levelname)s %(name)s: %(message)s"
    to_stderr.setFormatter(LogFormat(form, datefmt="%Y-%m-%d %H:%M:%S"))
    level = logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(level=level, handlers=[to_stderr])
    # Access logs contain query strings, which may contain secrets.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    try:
        return int(options.run(options) or 0)
    except SettingsError as error:
        # Values that make sense only together are checked where the file is no longer known.
        file = getattr(options, "config", DEFAULT_FILE)
        told = (
            str(error).replace("settings: ", f"{file}: ", 1)
            if error.source == "settings"
            else error
        )
        print(f"micropub-bridge: {told}", file=sys.stderr)
        return 1
    except (Refused, BridgeError, StoreError, TooNew, OSError) as error:
        logging.debug("it came from here", exc_info=True)
        print(f"micropub-bridge: {visible(_explain(error), indent='')}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # The shell's prompt gets a line of its own.
        print("\nmicropub-bridge: interrupted", file=sys.stderr)
        return 130


def _time() -> str:
    """Where a line of the log has its time: nowhere, if systemd's journal adds it."""
    return "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "


def _what_to_install(missing: Sequence[str]) -> str:
    return (
        f"the bridge is not installed here, only the plugin ({', '.join(missing)} cannot be"
        f" imported). Install it: {sys.executable} -m pip install 'pelican-indieauth[bridge]'"
    )


def _prepare_git() -> None:
    """Require git, and remove git's environment variables for a particular repo.

    In a git hook, ``GIT_DIR``, ``GIT_INDEX_FILE`` and others would make every git process of ours,
    builds included, use the hook's repo.
    """
    if shutil.which("git") is None:
        # GitPython reports this as a long ImportError.
        raise Refused("git is not installed, or not in PATH. Install it: apt-get install git")
    asked = ["git", "rev-parse", "--local-env-vars"]
    for name in subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split():
        # Configuration passed in the environment is kept.
        if not name.startswith("GIT_CONFIG"):
            os.environ.pop(name, None)


def _explain(error: Exception) -> str:
    """The error's text, with that of the operating system error that caused it."""
    cause = error.__cause__
    reason = cause.strerror if isinstance(cause, OSError) else cause
    is_known = isinstance(cause, OSError | sqlite3.Error) and reason is not None
    told = is_known and str(reason) not in str(error)
    return f"{error} ({reason})" if told else str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="micropub-bridge",
        description="Post from any Micropub app to a Pelican site in a git repo.",
        epilog="The first steps: init, serve, check. COMMAND --help tells more about each.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    _add_demo(commands)
    _add_init(commands)
    for name, run, text, more in (
        ("serve", _serve, "run the bridge", _ABOUT_SERVE),
        ("check", _check, "find what does not work, and how to fix it", _ABOUT_CHECK),
    ):
        command = commands.add_parser(name, help=text, description=more)
        _add_settings(command)
        command.set_defaults(run=run)

    webmention = commands.add_parser(
        "webmention",
        help="send the webmentions of one post, or send them again",
        description="Send webmentions to the pages that a post links to, now, and print what they"
        " answer.",
    )
    webmention.add_argument("url", help="the post's URL on your site")
    _add_settings(webmention)
    webmention.set_defaults(run=_webmention)

    token = commands.add_parser(
        "token",
        help="app tokens of the built-in IndieAuth server",
        description="Tokens to paste into apps and scripts that do not sign in.",
    )
    _add_token_commands(token.add_subparsers(required=True, metavar="ACTION"))

    mentions = commands.add_parser(
        "mentions",
        help="webmentions received from other sites",
        description="Webmentions received from other sites. Decide on them here or on the desk.",
    )
    _add_mention_commands(mentions.add_subparsers(required=True, metavar="ACTION"))

    owner = commands.add_parser("owner", help="the owner's sign-in to the built-in server")
    reset = owner.add_subparsers(required=True, metavar="ACTION").add_parser(
        "reset",
        help="print a new one-time link for setting a password or passkey",
        description="Print a link on which you choose a new password or passkey. It works once, for"
        " a day, and removes the old ones when it is used. Connected apps stay connected.",
    )
    _add_settings(reset)
    reset.set_defaults(run=_owner_reset)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser(
        "demo",
        help="try everything on a sample site, on this machine",
        description="Copy a sample site into a folder, build it, and serve it on this machine with"
        " everything turned on. Ctrl-C ends it; named again, the folder is used again.",
    )
    demo.add_argument(
        "--dir",
        metavar="FOLDER",
        type=Path,
        help="the folder to use (default: a new temporary folder)",
    )
    demo.add_argument(
        "--port", type=int, default=0, help="the port to listen on (default: a free port)"
    )
    demo.add_argument(
        "--fake-network",
        action="store_true",
        help="with a fake Mastodon and Bluesky on this machine, to try syndication",
    )
    demo.set_defaults(run=_demo)


def _add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    init = commands.add_parser(
        "init",
        help="set up bridge.toml for an existing Pelican site",
        description="Set up the bridge in this folder for an existing Pelican site: read the site's"
        " settings, ask for two URLs, make a clone for the bridge, write bridge.toml, and test"
        " whether the site can be built. Your clone stays as it is, but for git's configuration if"
        " posts are pushed there.",
    )
    init.add_argument(
        "site", nargs="?", default="", help="a clone of the site, or its repo's URL (default: .)"
    )
    init.add_argument(
        "--settings",
        metavar="FILE",
        help="Pelican's settings file, relative to the site's folder (default: publishconf.py,"
        " pelicanconf.py, or a file that looks like one)",
    )
    init.add_argument("--me", metavar="URL", help="the site's URL (default: asked for)")
    init.add_argument(
        "--public-url", metavar="URL", help="the bridge's public URL (default: asked for)"
    )
    init.add_argument(
        "--author",
        metavar="'NAME <MAIL>'",
        help="the author of the bridge's commits (default: as git is configured, else the usual"
        " author of the site's commits)",
    )
    init.add_argument(
        "--remote",
        metavar="REPO",
        help="where the bridge pushes posts to (default: the upstream of the clone's branch if"
        " that is on the network, else the clone)",
    )
    init.add_argument("--yes", action="store_true", help="use all defaults, ask nothing")
    init.add_argument(
        "--skip-build", action="store_true", help="do not test whether the site can be built"
    )
    init.set_defaults(run=_init)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        type=Path,
        default=DEFAULT_FILE,
        help="the settings file (default: %(default)s)",
    )


def _add_token_commands(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    create = actions.add_parser("create", help="create a token, which is printed once")
    create.add_argument("name", help="a name, such as the app's: 'iA Writer'")
    create.add_argument(
        "--scope",
        default="create update delete undelete media",
        help="scopes separated by spaces (default: %(default)s)",
    )
    create.add_argument("--days", type=_days, help="days until it expires (default: never)")
    listing = actions.add_parser("list", help="list them")
    revoke = actions.add_parser("revoke", help="revoke one")
    revoke.add_argument("id", help="from `token list`")
    for parser, run in ((create, _token_create), (listing, _token_list), (revoke, _token_revoke)):
        _add_settings(parser)
        parser.set_defaults(run=run)


def _add_mention_commands(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    listing = actions.add_parser("list", help="list mentions, those that wait for you first")
    listing.add_argument(
        "--state", choices=("all", "pending", "shown", "refused"), default="all",
        help="only these (default: %(default)s)",
    )  # fmt: skip
    listing.set_defaults(run=_mentions_list)
    for name, text in (
        ("approve", "show pending mentions"),
        ("trust", "show them, and future mentions by their authors"),
        ("refuse", "do not show mentions, or no longer"),
        ("block-author", "block all mentions by their authors"),
        ("block-host", "block all mentions from their sites"),
        ("restore", "verify refused mentions again"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("ids", nargs="+", metavar="ID", help="from `mentions list`")
        action.set_defaults(run=_mentions_decide, action=name)
    taken = actions.add_parser("import", help="import an export of webmention.io")
    taken.add_argument("file", type=Path, help="mentions.jf2 or mentions.json")
    taken.set_defaults(run=_mentions_import)
    for parser in actions.choices.values():
        _add_settings(parser)


def _days(text: str) -> int:
    """An argparse type for a number of days; its error says what is wrong."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days")
    return int(text)


def load_settings(file: Path) -> Settings:
    """The settings for ``-c FILE``.

    Without the file the environment may suffice, as in a container.
    """
    from bridge.settings_file import load

    from_environment = not file.exists() and "BRIDGE_SITE__ME" in os.environ
    return load(None if from_environment else file, os.environ)


def _demo(options: argparse.Namespace) -> None:
    _prepare_git()
    from bridge.commands.demo import demo

    demo(options.dir, options.port, fake_network=options.fake_network)


def _init(options: argparse.Namespace) -> None:
    _prepare_git()
    from bridge.commands.init import init

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
        from bridge.commands.check import prove

        prove(load_settings(DEFAULT_FILE))


def _serve(options: argparse.Namespace) -> None:
    _prepare_git()
    from bridge.commands.serve import serve
    from bridge.runtime.private import tighten

    settings = load_settings(options.config)
    tighten([options.config])
    serve(settings)


def _check(options: argparse.Namespace) -> int:
    _prepare_git()
    from bridge.commands.check import check

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
