"""``micropub-bridge mentions``: the decisions of ``/desk/mentions`` in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bridge.errors import Refused
from bridge.runtime.private import is_held
from bridge.runtime.terminal import visible
from bridge.settings import Settings
from bridge.store.git import GitStore
from bridge.webmention.files import MentionFiles
from bridge.webmention.incoming.moderation.decisions import (
    ModeratedMention,
    commands_folder,
    of_record,
    open_inbox,
    send_command,
    shown_in,
)
from bridge.webmention.incoming.moderation.rules import Rules

_SECONDS = 60.0
_MOST = 1000


def list_mentions(settings: Settings, state: str) -> None:
    """Print a line for each mention: id, state, kind, author, URL, target, and text; for the state
    ``rules`` one for each author or host that is trusted or blocked.
    """
    _check(settings)
    inbox = open_inbox(_keep(settings))
    items = [of_record(each) for each in inbox.in_state("pending")]
    if state in {"all", "shown", "rules"}:
        store = GitStore(
            settings.site.repo, branch=settings.site.branch, author=settings.publish.author
        )
        try:
            folder, content = settings.webmention.folder, settings.content.folder
            files = MentionFiles(store, content, folder)
            items += shown_in(files, _MOST)[0]
        finally:
            store.close()
        if state == "rules":
            return _list_rules(files.rules)
    if state in {"all", "refused"}:
        items += [of_record(each) for each in inbox.in_state("refused")]
    items = [each for each in items if state in {"all", each.state}]
    if not items:
        print("There are no mentions.", file=sys.stderr)
    for item in items:
        print(_line(item))
    return None


def _list_rules(rules: Rules) -> None:
    for name, names in (("blocked", rules.block), ("trusted", rules.trust)):
        for each in names:
            print(f"{visible(each)}\t{name}")


def decide(settings: Settings, action: str, ids: Sequence[str]) -> None:
    """Have the serving bridge apply a decision. Raises :class:`Refused`."""
    _check(settings)
    answer = send_command(commands_folder(settings.site.state), action, ids, _SECONDS)
    _print_answer(answer, settings.site.state)


def import_mentions(settings: Settings, file: Path) -> None:
    """Have the serving bridge import an export of webmention.io. Raises :class:`Refused`, and
    ``OSError``.
    """
    _check(settings)
    with file.open("rb"):
        pass  # Fails here, not in the serving process, where it cannot be read.
    folder = commands_folder(settings.site.state)
    answer = send_command(folder, "import", [str(file.resolve())], 10 * _SECONDS)
    _print_answer(answer, settings.site.state)


def _print_answer(answer: str, state: Path) -> None:
    if answer == "waiting" and is_held(state):
        print("The bridge is still busy with something else. It will do this next.")
    elif answer == "waiting":
        print("The bridge is not running. It will do this when it is started.")
    elif answer.startswith("refused: "):
        raise Refused(answer.removeprefix("refused: "))
    else:
        print(answer)


def _check(settings: Settings) -> None:
    if not settings.webmention.receive:
        raise Refused("Receiving webmentions is off. Set [webmention] receive = true.")


def _keep(settings: Settings) -> Path:
    return settings.site.state / "keep" / "mentions"


def _line(item: ModeratedMention) -> str:
    text = " ".join((item.name or item.text or item.rsvp or item.why).split())[:100]
    columns = [item.id, item.state, item.kind, item.author, item.url, item.target, text]
    return "\t".join(visible(each.replace("\t", " ")) for each in columns)
