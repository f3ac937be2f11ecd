"""The allowed imports between folders (docs/architecture.md)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: The folders of ``bridge/`` and its single files, each with those that it may import.
#: ``errors`` and ``settings`` may be imported by all.
MAY_IMPORT: dict[str, str] = {
    "errors": "",
    "settings": "",
    "runtime": "",
    "settings_file": "runtime",
    "net": "runtime",
    "store": "runtime net",
    "micropub": "",
    "content": "micropub",
    "site": "runtime content micropub store",
    "media": "runtime store",
    "http": "runtime media micropub",
    "auth": "runtime net",
    "pages": "runtime net http",
    "indieauth": "runtime net http auth pages",
    "context": "runtime net micropub",
    "rebuild": "runtime site store",
    "posts": "runtime content context media micropub site store",
    "webmention": "runtime net http context media micropub content pages posts rebuild site store"
    " settings_file",
    "publisher": "runtime auth content media micropub posts rebuild site store webmention",
    "syndication": "runtime net http indieauth context media micropub content pages posts rebuild"
    " site store webmention",
    "web": "runtime http auth indieauth media micropub content pages posts publisher rebuild site"
    " store webmention syndication",
    "desk": "runtime net http auth indieauth context media micropub content pages posts publisher"
    " rebuild site store web webmention syndication",
    "core": "runtime net media posts rebuild settings_file site store",
    "social": "core desk indieauth net posts rebuild settings_file store syndication webmention",
    "after_start": "*",
    "app": "*",
    "commands": "*",
    "__main__": "commands",
    "__init__": "",
}
#: What imports neither, through however many modules.
NO_AIOHTTP = ("micropub", "content", "store", "site", "settings", "settings_file", "errors")
NO_GIT = ("micropub", "content", "http", "auth", "pages", "indieauth", "context", "net")


@cache
def modules() -> dict[str, Path]:
    """All modules of the project, by dotted name."""
    found = {}
    for package in ("bridge", "pelican_indieauth"):
        for file in (ROOT / package).rglob("*.py"):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = file
    return found


@cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    """The imports and classes of a file, also those in functions."""
    kinds = (ast.Import, ast.ImportFrom, ast.ClassDef)
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    found = list[ast.AST]()
    while waiting:
        node = waiting.pop()
        found += [node] if isinstance(node, kinds) else []
        # Expressions are most of a tree, and have none.
        parts = (
            vars(node).get(name, ())
            for name in ("body", "orelse", "finalbody", "handlers", "cases")
        )
        waiting += chain.from_iterable(part for part in parts if isinstance(part, list))
    return tuple(found)


def imported(file: Path) -> Iterator[str]:
    """All imports of a file, including those in functions and those for types only."""
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules() else node.module


@cache
def graph() -> dict[str, set[str]]:
    """All modules of the project, and what each imports."""
    return {name: {*imported(file)} - {name} for name, file in modules().items()}


def room(module: str) -> str:
    """The folder, or single file, of ``bridge/`` that a module belongs to."""
    return [*module.split("."), "__init__"][1]


def reached(start: str) -> set[str]:
    """Everything that is imported, directly or indirectly."""
    found, waiting = set[str](), {start}
    while waiting:
        found |= waiting
        waiting = {more for each in waiting for more in graph().get(each, ())} - found
    return found


def test_character_references_are_decoded_where_their_length_is_limited() -> None:
    """``html.unescape`` raises at numbers of thousands of digits: ``micropub/post.py`` has
    one that does not, which these may not import.
    """
    decodes = re.compile(r"from html import .*\bunescape\b|\bhtml\.unescape\(")
    found = {name for name, file in modules().items() if decodes.search(file.read_text())}
    ours = {name for name in found if name.startswith("bridge.")}
    assert ours - {"bridge.micropub.post"} == {
        "bridge.rebuild.local.checkout",
        "bridge.rebuild.resident.pelican.links",
    }


def test_folders_only_import_what_the_table_allows() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, others in graph().items()
        if module.startswith("bridge")
        for other in others
        if other.startswith("bridge.") and room(other) != room(module)
        if room(other) not in {"errors", "settings", *MAY_IMPORT[room(module)].split()}
        if MAY_IMPORT[room(module)] != "*"
    ]
    assert wrong == []


def test_the_table_has_no_cycle() -> None:
    table = {name: set(may.split()) - {"*"} for name, may in MAY_IMPORT.items()}
    TopologicalSorter(table).prepare()


def test_no_import_cycles() -> None:
    """Not even in functions, or for types only."""
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_plugin_imports_nothing_of_the_bridge() -> None:
    for module in modules():
        if module.startswith("pelican_indieauth"):
            tops = {name.partition(".")[0] for name in reached(module)}
            assert tops.isdisjoint({"bridge", "aiohttp", "git", "msgspec"}), module


@pytest.mark.parametrize(
    ("rooms", "foreign"), [(NO_AIOHTTP, "aiohttp"), (NO_GIT, "git")], ids=["aiohttp", "git"]
)
def test_folders_that_may_not_import_http_or_git(rooms: tuple[str, ...], foreign: str) -> None:
    guilty = [
        module
        for module in modules()
        if module.startswith("bridge.") and room(module) in rooms
        if foreign in {name.partition(".")[0] for name in reached(module)}
    ]
    assert guilty == []


def test_a_bridge_answers_before_it_imports_what_no_post_needs() -> None:
    """``after_start.py`` does; it is imported when the bridge listens."""
    found, waiting = set[str](), {"bridge.app", "bridge.commands.serve"}
    while waiting:
        found |= waiting
        waiting = {other for each in waiting for other in imported_at_once(each)} - found
    late = (
        "bridge.after_start",
        "bridge.desk",
        "bridge.rebuild.resident",
        "bridge.social",
        "bridge.syndication",
        "jinja2",
    )
    assert {name for name in found if name.startswith(late)} == set()


def imported_at_once(module: str) -> Iterator[str]:
    """What a module of ours imports before any of its functions is called, packages included."""
    if module not in modules():
        return
    for node in ast.parse(modules()[module].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_is_used() -> None:
    """Imported by another module, or named by one that starts it as a program or loads it late."""
    texts = {name: file.read_text() for name, file in modules().items()}
    imported_by_any = set[str]().union(*graph().values())
    unused = [
        name
        for name, file in modules().items()
        if file.name not in {"__init__.py", "__main__.py"} and name not in imported_by_any
        if not any(f'"{name}' in text for other, text in texts.items() if other != name)
    ]
    # The shortest implementation of a store, for tests.
    assert unused == ["bridge.store.memory_store"]


def test_what_docstrings_refer_to_exists() -> None:
    """A name that has moved is found where the text says that it is."""
    role = re.compile(r":\w+:`~?((?:bridge|pelican_indieauth)\.[\w.]+)`")
    texts = {name: file.read_text(encoding="utf-8") for name, file in modules().items()}
    lost, count = list[str](), 0
    for name, text in texts.items():
        for target in role.findall(text):
            count += 1
            parts = target.split(".")
            module = next(
                known
                for end in range(len(parts), 0, -1)
                if (known := ".".join(parts[:end])) in texts
            )
            _, _, rest = target.removeprefix(module).partition(".")
            if rest and not re.search(rf"\b{rest.partition('.')[0]}\b", texts[module]):
                lost.append(f"{name}: {target}")
    assert count > 50
    assert lost == []


def test_no_folder_grows_beyond_what_one_can_look_over() -> None:
    crowded = {
        str(folder.relative_to(ROOT)): count
        for package in ("bridge", "pelican_indieauth")
        for folder in [ROOT / package, *(ROOT / package).rglob("*/")]
        if (count := len([*folder.glob("*.py")])) > 14
    }
    assert crowded == {}


def test_a_class_name_means_one_thing() -> None:
    named: dict[str, list[str]] = {}
    for room in ("bridge", "pelican_indieauth"):
        for file in sorted((ROOT / room).rglob("*.py")):
            for node in nodes(file):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    named.setdefault(node.name, []).append(
                        f"{file.relative_to(ROOT)}:{node.lineno}"
                    )
    assert len(named) > 300
    assert {name: places for name, places in named.items() if len(places) > 1} == {}
