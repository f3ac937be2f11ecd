"""Drafts from apps have no page, and scheduled posts have none before their date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from plugin_site import Built, build, note, post

from pelican_indieauth.lists.withheld import PREVIEWS

DRAFT = note({}, draft="app")
#: A theme that lists drafts, as some do for their authors.
SETTINGS = {"THEME": "simple", "TAG_FEED_ATOM": "tag-{slug}.xml", "RELATED": True}


def words(site: Built) -> str:
    """The text of the whole output."""
    return "\n".join(
        file.read_text("utf-8", errors="replace")
        for file in sorted(site.output.rglob("*"))
        if file.is_file()
    )


def test_a_draft_created_by_an_app_is_not_in_the_output(tmp_path: Path) -> None:
    site = build(
        tmp_path,
        {
            "secret": post("secret", DRAFT, "Hush-hush.", status="draft", tags="hidden-tag;"),
            "gone": post("gone", note({}, draft="app", aliases=["old/x/"]), status="draft"),
            "broken": post("broken", body="Hush-hush.", status="draft").replace(
                "\n\n", "\nMf2: {broken\n\n", 1
            ),
            "by-hand": post("by-hand", body="For those who know.", status="draft"),
            "edited": post("edited", note({}), "A draft of old.", status="draft"),
            "public": post("public", DRAFT, "Out since today. [s]({filename}secret.md)"),
        },
        **SETTINGS,
    )
    assert (site.output / "drafts" / "by-hand.html").exists()
    assert (site.output / "drafts" / "edited.html").exists()
    assert "Out since today." in site.text("public.html")
    for name in ("secret", "gone", "broken"):
        assert not list(site.output.rglob(f"*{name}*"))
    assert "Hush-hush" not in words(site)
    assert "hidden-tag" not in words(site)


def test_handwritten_drafts_are_withheld_if_configured(tmp_path: Path) -> None:
    draft = post("by-hand", body="Hush-hush.", status="draft")
    (tmp_path / "content" / "pages").mkdir(parents=True)
    (tmp_path / "content" / "pages" / "page.md").write_text(draft.replace("by-hand", "a-page"))
    site = build(tmp_path, {"by-hand": draft}, INDIEAUTH_PRIVATE_DRAFTS=True, **SETTINGS)
    assert "Hush-hush" not in words(site)
    assert not (site.output / "drafts").exists()


def test_without_settings_nothing_is_withheld(tmp_path: Path) -> None:
    site = build(
        tmp_path, {"d": post("d", DRAFT, status="draft")}, INDIEAUTH_BRIDGE=None, **SETTINGS
    )
    assert (site.output / "drafts" / "d.html").exists()


@pytest.mark.parametrize("zone", ["+01:00", ""])
def test_a_scheduled_post_is_withheld_until_its_date(tmp_path: Path, zone: str) -> None:
    def at(**delta: float) -> str:
        return f"{datetime.now(UTC) + timedelta(**delta):%Y-%m-%dT%H:%M:%S}{zone}"

    site = build(
        tmp_path,
        {
            "later": post("later", note({}), "Not yet.", date=at(days=2), tags="early-tag;"),
            "hidden": post("hidden", note({}), "Not yet.", date=at(days=2), status="hidden"),
            "by-hand": post("by-hand", body="As Pelican has it.", date=at(days=2)),
            "past": post("past", note({}), "Long since.", date=at(days=-2)),
        },
        **SETTINGS,
    )
    assert "Not yet" not in words(site)
    assert "early-tag" not in words(site)
    assert "As Pelican has it." in site.text("by-hand.html")
    assert "Long since." in site.text("past.html")


def test_the_preview_is_the_page_in_the_theme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    previews = tmp_path / "previews"
    monkeypatch.setenv(PREVIEWS, str(previews))
    posts = {
        "secret": post("secret", DRAFT, "Hush-hush.", status="draft"),
        "odd": post("odd", DRAFT, "Odd.", status="draft", save_as="../../odd.html"),
        "public": post("public", DRAFT, "Out."),
    }
    site = build(tmp_path, posts, **SETTINGS)
    assert "Hush-hush." not in words(site)
    page = (previews / "drafts" / "secret.html").read_text("utf-8")
    assert "<html" in page
    assert "Hush-hush." in page
    assert "h-entry" in page
    nowhere = {"DRAFT_URL": "", "DRAFT_SAVE_AS": ""}
    site = build(tmp_path, posts, **SETTINGS, **nowhere)
    assert "Hush-hush." not in words(site)
    assert "Hush-hush." in (previews / "secret.html").read_text("utf-8")
    (tmp_path / "content" / "secret.md").unlink()
    build(tmp_path, {"public": posts["public"]}, **SETTINGS)
    assert not (previews / "drafts" / "secret.html").exists()
    assert not (previews / "secret.html").exists()
    assert not (tmp_path / "odd.html").exists()
