"""What can be typed after ``micropub-bridge``: the commands, their options, and the help for them.

Only the standard library is imported here, as in :mod:`.cli`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from bridge import __version__
from bridge.runtime.command_name import DEFAULT_FILE

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_ABOUT_SERVE = (
    "Run the bridge until Ctrl-C or SIGTERM. The first start prints a link on which you choose how"
    " to sign in. The log goes to standard error."
)
_ABOUT_CHECK = (
    "Test everything as an app would use it, from the repo to the live home page, and say how to"
    " fix what does not work. The bridge should be running. Exit status 1: something is broken."
)


def parser() -> argparse.ArgumentParser:
    """The parser for the whole command line.

    Its result has the ``command``, as ``token create``, and that command's arguments.
    """
    whole = argparse.ArgumentParser(
        prog="micropub-bridge",
        description="Post from any Micropub app to a Pelican site in a git repo.",
        epilog="The first steps: init, serve, check. COMMAND --help tells more about each.",
    )
    whole.add_argument("--version", action="version", version=__version__)
    whole.add_argument("-v", "--verbose", action="store_true", help="log more")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    _add_demo(commands)
    _add_init(commands)
    for name, text, more in (
        ("serve", "run the bridge", _ABOUT_SERVE),
        ("check", "find what does not work, and how to fix it", _ABOUT_CHECK),
    ):
        command = commands.add_parser(name, help=text, description=more)
        _add_settings(command)
        command.set_defaults(command=name)
    _add_webmention(commands)
    _add_token(commands)
    _add_mentions(commands)
    _add_owner(commands)
    return whole


def _add_demo(commands: _Commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="try everything on a sample site, on this machine",
        description="Copy a sample site into a folder, build it, and serve it on this machine with"
        " everything turned on. Ctrl-C ends it. If the folder has a demo, that is continued.",
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
    demo.set_defaults(command="demo")


def _add_init(commands: _Commands) -> None:
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
    init.set_defaults(command="init")


def _add_webmention(commands: _Commands) -> None:
    webmention = commands.add_parser(
        "webmention",
        help="send the webmentions of one post, or send them again",
        description="Send the webmentions of a post now, and print the result of each.",
    )
    webmention.add_argument("url", help="the post's URL on your site")
    _add_settings(webmention)
    webmention.set_defaults(command="webmention")


def _add_token(commands: _Commands) -> None:
    token = commands.add_parser(
        "token",
        help="app tokens of the built-in IndieAuth server",
        description="Tokens to paste into apps and scripts that do not sign in.",
    )
    actions = token.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="create a token, which is printed once")
    create.add_argument("name", help="a name, such as the app's: 'iA Writer'")
    create.add_argument(
        "--scope",
        default="create update delete undelete media",
        help="scopes separated by spaces (default: %(default)s)",
    )
    create.add_argument("--days", type=_days, help="days until it expires (default: never)")
    actions.add_parser("list", help="list them")
    revoke = actions.add_parser("revoke", help="revoke one")
    revoke.add_argument("id", help="its ID or name, from `token list`")
    for name, parser in actions.choices.items():
        _add_settings(parser)
        parser.set_defaults(command=f"token {name}")


def _add_mentions(commands: _Commands) -> None:
    mentions = commands.add_parser(
        "mentions",
        help="webmentions received from other sites",
        description="Webmentions received from other sites. Decide on them here or on the desk.",
    )
    actions = mentions.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list mentions, those that wait for you first")
    listing.add_argument(
        "--state", choices=("all", "pending", "shown", "refused", "rules"), default="all",
        help="which to list; rules: whom you trust and block (default: %(default)s)",
    )  # fmt: skip
    listing.set_defaults(command="mentions list")
    for name, text in (
        ("approve", "show pending mentions"),
        ("trust", "show them, and future mentions by their authors"),
        ("refuse", "do not show mentions, or stop showing them"),
        ("block-author", "block all mentions by their authors"),
        ("block-host", "block all mentions from their sites"),
        ("restore", "verify refused mentions again"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("ids", nargs="+", metavar="ID", help="from `mentions list`")
        action.set_defaults(command="mentions decide", action=name)
    forget = actions.add_parser("forget", help="remove rules: trust or block these no more")
    forget.add_argument("ids", nargs="+", metavar="RULE", help="an author's URL, or a host name")
    forget.set_defaults(command="mentions decide", action="forget")
    taken = actions.add_parser("import", help="import an export of webmention.io")
    taken.add_argument("file", type=Path, help="mentions.jf2 or mentions.json")
    taken.set_defaults(command="mentions import")
    for parser in actions.choices.values():
        _add_settings(parser)


def _add_owner(commands: _Commands) -> None:
    owner = commands.add_parser("owner", help="the owner's sign-in to the built-in server")
    reset = owner.add_subparsers(required=True, metavar="ACTION").add_parser(
        "reset",
        help="print a new one-time link for setting a password or passkey",
        description="Print a link on which you choose a new password or passkey. It works once, for"
        " a day, and removes the old ones when it is used. Connected apps stay connected.",
    )
    _add_settings(reset)
    reset.set_defaults(command="owner reset")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        type=Path,
        default=DEFAULT_FILE,
        help="the settings file (default: %(default)s)",
    )


def _days(text: str) -> int:
    """An argparse type for a number of days; its error says what is wrong."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days")
    return int(text)
