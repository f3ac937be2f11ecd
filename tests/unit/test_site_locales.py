"""The message about a site's locales that this machine lacks."""

from __future__ import annotations

import locale
from pathlib import Path

import pytest
from site_kit import CONF, InProcessSite, lay_out, start_of

from bridge.site.missing_locales import how_to_install, locales_warning


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("", ()),
        ('LOCALE = "C"', ()),
        ('LOCALE = "xx_YY.UTF-8"', ("xx_YY.UTF-8",)),
        ('LOCALE = ["Elvish", "xx_YY"]', ("xx_YY",)),
        ('LOCALE = ["xx_YY", "C"]', ()),
        ('DATE_FORMATS = {"de": ("xx_YY", "%d %B"), "en": "%d %B"}', ("xx_YY",)),
        ('DEFAULT_DATE_FORMAT = ("xx_ZZ", "%d %B")', ("xx_ZZ",)),
    ],
)
async def test_locales_that_pelican_could_not_set_are_missing(
    line: str, missing: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_TIME", "LANG"):
        monkeypatch.delenv(name, raising=False)
    before = locale.setlocale(locale.LC_ALL)
    site = InProcessSite(start_of(lay_out(tmp_path / "site", {}, f"{CONF}\n{line}\n")))
    try:
        assert (await site.load()).missing_locales == missing
    finally:
        await site.close()
        locale.setlocale(locale.LC_ALL, before)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("de_DE.UTF-8", "de_DE.UTF-8 UTF-8"),
        ("de_DE.utf8", "de_DE.UTF-8 UTF-8"),
        ("de_DE", "de_DE UTF-8"),
        ("de_DE@euro", "de_DE@euro UTF-8"),
        ("de_DE.ISO-8859-1", "de_DE.ISO-8859-1 ISO-8859-1"),
    ],
)
def test_the_commands_for_installing_a_locale(name: str, line: str) -> None:
    assert f"echo '{line}' >> /etc/locale.gen; locale-gen" in how_to_install([name])
    assert name in locales_warning([name])


def test_names_in_settings_cannot_inject_commands() -> None:
    assert "locale -a" in how_to_install(["x'; rm -r /; '"])
    assert locales_warning([]) == ""
