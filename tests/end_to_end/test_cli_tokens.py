"""App tokens and the owner's reset link, created by commands beside a running bridge."""

from __future__ import annotations

import aiohttp
from cli_kit import done, refused
from demo_kit import Demo


def command(demo: Demo, *arguments: str) -> str:
    return done(*arguments, "-c", str(demo.repo.parent / "bridge.toml"), cwd=demo.repo.parent)


async def status_with(http: aiohttp.ClientSession, demo: Demo, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with http.get(demo.micropub, params={"q": "config"}, headers=headers) as answer:
        return answer.status


async def test_a_token_is_valid_from_creation_to_revocation(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    secret = command(demo, "token", "create", "iA Writer", "--scope", "create media").strip()
    assert await status_with(http, demo, secret) == 200

    (line,) = [line for line in command(demo, "token", "list").splitlines() if "iA Writer" in line]
    number, name, scopes, used, until = line.split("\t")
    assert (name, scopes, until) == ("iA Writer", "create media", "until revoked")
    assert used != "never used"
    assert secret not in line

    assert command(demo, "token", "revoke", number) == "revoked\n"
    assert await status_with(http, demo, secret) == 401
    assert "iA Writer" not in command(demo, "token", "list")


async def test_a_token_can_be_revoked_by_its_name(demo: Demo, http: aiohttp.ClientSession) -> None:
    secret = command(demo, "token", "create", "lost phone").strip()
    command(demo, "token", "revoke", "lost phone")
    assert await status_with(http, demo, secret) == 401


def test_a_token_can_expire(demo: Demo) -> None:
    command(demo, "token", "create", "for a week", "--days", "7")
    assert "\tfor a week\t" in command(demo, "token", "list")
    assert "until 20" in command(demo, "token", "list")


def test_invalid_values_are_refused_with_the_valid_ones(demo: Demo) -> None:
    folder = demo.repo.parent
    told = refused("token", "create", "x", "--scope", "create everything", cwd=folder)
    assert "create update delete" in told
    assert "give the token a name" in refused("token", "create", " ", cwd=folder)
    assert "There is no token '9999'" in refused("token", "revoke", "9999", cwd=folder)
    assert "`token list` shows" in refused("token", "revoke", "nobody", cwd=folder)


async def test_owner_reset_prints_a_link_that_replaces_the_previous_one(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    first, second = (command(demo, "owner", "reset").strip() for _ in range(2))
    assert second.startswith(f"{demo.site}auth/set-up?key=")
    async with http.get(first) as answer:
        assert answer.status >= 400
    async with http.get(second) as answer:
        assert answer.status == 200
        assert "password" in await answer.text()


def test_no_new_database_is_made_beside_a_running_bridge(demo: Demo) -> None:
    """If the file was deleted, a command would make one without the owner's passkeys."""
    folder = demo.repo.parent
    env = {"BRIDGE_INDIEAUTH__DATABASE": str(folder / "gone.sqlite")}
    assert "Copy a backup of it there" in refused("token", "create", "x", cwd=folder, env=env)
    assert not (folder / "gone.sqlite").exists()
