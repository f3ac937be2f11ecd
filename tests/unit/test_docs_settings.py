"""``docs/settings.md`` has every setting in the section that it belongs to, with its default."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pelican
import pytest

from bridge.settings import Settings, Target

PAGE_FILE = Path(__file__).parents[2] / "docs" / "settings.md"
PAGE = PAGE_FILE.read_text(encoding="utf-8")
FIELDS = [
    (section.name, field)
    for section in msgspec.structs.fields(Settings)
    for field in msgspec.structs.fields(Target if section.name == "syndication" else section.type)
]


def rows(section: str) -> dict[str, str]:
    """The second column of a section's table by each key that the first column names."""
    _, _, after = PAGE.partition(f"\n## `[{section}]`")
    table = re.findall(r"(?m)^\| (`[^|]*) \| ([^|]*) ?\|", after.partition("\n## ")[0])
    return {key: default.strip() for keys, default in table for key in re.findall(r"`(\w+)`", keys)}


def as_written(value: object) -> object:
    """A value that TOML has no type for."""
    return dict(value) if isinstance(value, Mapping) else str(value)


@pytest.mark.parametrize(("section", "field"), FIELDS, ids=lambda each: getattr(each, "name", each))
def test_a_setting_is_documented_with_its_default(
    section: str, field: msgspec.structs.FieldInfo
) -> None:
    documented = rows(section)
    assert field.name in documented
    told = documented[field.name]
    if literal := re.fullmatch(r"`([^`]+)`", told):
        default = (
            field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        )
        written = msgspec.json.decode(msgspec.json.encode(default, enc_hook=as_written))
        assert written == tomllib.loads(f"x = {literal[1]}")["x"]
    assert (told == "required") == field.required


@pytest.mark.parametrize("section", dict.fromkeys(section for section, _ in FIELDS))
def test_the_docs_name_no_setting_that_is_gone(section: str) -> None:
    assert set(rows(section)) <= {field.name for name, field in FIELDS if name == section}


def test_the_documented_command_suits_the_makefile_of_pelican_quickstart() -> None:
    page = PAGE_FILE.with_name("building.md").read_text(encoding="utf-8")
    (example,) = re.findall(r'(?m)^command = \["make", "(\w+)", "(\w+)={output}"\]$', page)
    target, variable = example
    templates = Path(pelican.__file__).parent / "tools" / "templates"
    makefile = (templates / "Makefile.jinja2").read_text(encoding="utf-8")
    recipe = makefile.partition(f"\n{target}:")[2].partition("\n\n")[0]
    assert f"$({variable})" in recipe
