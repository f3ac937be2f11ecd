"""``/token``: codes and refresh tokens, and every way in which they must not work."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from indieauth_kit import VERIFIER, Page, Scene, allowed, client_site, exchange, scene

from bridge.auth.endpoint import IntrospectionVerifier, TokenEndpointVerifier
from bridge.errors import InvalidToken
from bridge.indieauth.oauth.app_tokens import create_token
from bridge.settings import IndieAuth, KnownClient


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, IndieAuth(name="Maren", email="maren@me.example")) as made:
        yield made


async def signed_in(stage: Scene, scope: str = "create update") -> dict[str, str]:
    code = await allowed(stage.owner, stage.app, scope=scope)
    reply = await exchange(stage.owner, stage.app, code)
    assert reply.status == 200, reply.text
    found: dict[str, str] = json.loads(reply.text)
    return found


async def works(stage: Scene, token: str) -> bool:
    reply = await stage.owner.get("/token", headers={"Authorization": f"Bearer {token}"})
    return reply.status == 200


async def refresh(stage: Scene, token: str, **changes: str | None) -> Page:
    values = {
        "grant_type": "refresh_token",
        "refresh_token": token,
        "client_id": f"{stage.app}/",
    } | changes
    form = {key: value for key, value in values.items() if value is not None}
    return await stage.owner.post("/token", data=form)


def error(reply: Page) -> str:
    assert reply.status == 400, reply.text
    assert reply.headers["Content-Type"].startswith("application/json")
    found: str = json.loads(reply.text)["error"]
    return found


def rewind(stage: Scene, table: str, seconds: float) -> None:
    """Move the times in a table into the past."""
    with stage.db.transaction() as connection:
        connection.execute(f"UPDATE {table} SET expires = expires - ?", (seconds,))


# --- codes -------------------------------------------------------------------------------


async def test_a_code_may_come_in_a_multipart_form(stage: Scene) -> None:
    """Epilogue and other JavaScript apps send FormData."""
    code = await allowed(stage.owner, stage.app)
    fields = aiohttp.FormData(default_to_multipart=True)
    for name, value in {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": f"{stage.app}/",
        "redirect_uri": f"{stage.app}/back",
        "code_verifier": VERIFIER,
    }.items():
        fields.add_field(name, value)
    reply = await stage.owner.post("/token", fields)
    assert reply.status == 200, reply.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="code"\r\n\r\n1',
        b'--x\r\nContent-Disposition: form-data; name="code"; filename="a"\r\n\r\n1\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="code"\r\n\r\n1\r\n' * 2 + b"--x--\r\n",
    ],
)
async def test_a_multipart_form_that_is_none_is_refused(stage: Scene, body: bytes) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert error(await stage.owner.post("/token", body, headers=kind)) == "invalid_request"


async def test_the_reply(stage: Scene) -> None:
    code = await allowed(stage.owner, stage.app, scope="create profile email")
    reply = await exchange(stage.owner, stage.app, code)
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Content-Type"].startswith("application/json")
    body = json.loads(reply.text)
    assert body["token_type"] == "Bearer"
    assert body["me"] == "https://me.example/"
    assert body["scope"] == "create profile email"
    assert body["expires_in"] > 0
    assert body["profile"] == {
        "name": "Maren",
        "url": "https://me.example/",
        "email": "maren@me.example",
    }
    assert await works(stage, body["access_token"])


async def test_no_email_without_its_scope(stage: Scene) -> None:
    body = await signed_in(stage, "create profile")
    assert "email" not in body["profile"]
    assert "profile" not in await signed_in(stage, "create")


@pytest.mark.parametrize("accept", ["text/html", "application/x-www-form-urlencoded", "*/*"])
async def test_json_whatever_accept_says(stage: Scene, accept: str) -> None:
    reply = await stage.owner.post("/token", data={}, headers={"Accept": accept})
    assert error(reply) == "invalid_request"


@pytest.mark.parametrize("missing", ["code", "client_id", "redirect_uri"])
async def test_each_missing_parameter(stage: Scene, missing: str) -> None:
    code = await allowed(stage.owner, stage.app)
    reply = await exchange(stage.owner, stage.app, code, **{missing: None})
    assert error(reply) == "invalid_request"
    assert missing in reply.text


async def test_a_missing_grant_type_is_understood(stage: Scene) -> None:
    code = await allowed(stage.owner, stage.app)
    assert (await exchange(stage.owner, stage.app, code, grant_type=None)).status == 200


@pytest.mark.parametrize("kind", ["password", "client_credentials", "Authorization_Code", "x"])
async def test_other_grant_types_are_not(stage: Scene, kind: str) -> None:
    code = await allowed(stage.owner, stage.app)
    reply = await exchange(stage.owner, stage.app, code, grant_type=kind)
    assert error(reply) == "unsupported_grant_type"


async def test_a_parameter_that_comes_twice_is_refused(stage: Scene) -> None:
    code = await allowed(stage.owner, stage.app)
    reply = await stage.owner.post("/token", data=[("code", code), ("code", code)])
    assert error(reply) == "invalid_request"


async def test_a_body_that_is_no_form_is_refused(stage: Scene) -> None:
    assert error(await stage.owner.post("/token", json={"code": "x"})) == "invalid_request"
    long = await stage.owner.post("/token", data={"code": "x" * 70_000})
    assert error(long) == "invalid_request"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "https://another.example/"},
        {"redirect_uri": "https://another.example/back"},
        {"code_verifier": "w" * 64},
        {"code_verifier": "short"},
        {"code_verifier": "é" * 64},
        {"code_verifier": None},
        {"code_verifier": ""},
    ],
)
async def test_what_does_not_fit_the_code_consumes_it(
    stage: Scene, changes: dict[str, str | None]
) -> None:
    code = await allowed(stage.owner, stage.app)
    assert error(await exchange(stage.owner, stage.app, code, **changes)) == "invalid_grant"
    assert error(await exchange(stage.owner, stage.app, code)) == "invalid_grant"


async def test_the_redirect_uri_is_compared_exactly(stage: Scene) -> None:
    code = await allowed(stage.owner, stage.app)
    near = f"{stage.app}/back/"
    assert error(await exchange(stage.owner, stage.app, code, redirect_uri=near)) == "invalid_grant"


async def test_the_client_id_is_compared_as_an_address(stage: Scene) -> None:
    code = await allowed(stage.owner, stage.app)
    same = stage.app.replace("http:", "HTTP:")
    assert (await exchange(stage.owner, stage.app, code, client_id=same)).status == 200


async def test_a_code_works_once_and_reuse_revokes_what_it_gave(stage: Scene) -> None:
    code = await allowed(stage.owner, stage.app)
    given = json.loads((await exchange(stage.owner, stage.app, code)).text)
    assert await works(stage, given["access_token"])
    assert error(await exchange(stage.owner, stage.app, code)) == "invalid_grant"
    assert not await works(stage, given["access_token"])
    assert error(await refresh(stage, given["refresh_token"])) == "invalid_grant"


async def test_a_code_works_once_for_eight_requests_at_once(stage: Scene) -> None:
    code = await allowed(stage.owner, stage.app)
    replies = await asyncio.gather(*(exchange(stage.owner, stage.app, code) for _ in range(8)))
    assert sorted(reply.status for reply in replies) == [200] + [400] * 7


async def test_a_code_is_good_for_ten_minutes(stage: Scene) -> None:
    code = await allowed(stage.owner, stage.app)
    (row,) = stage.db.all("SELECT expires FROM codes")
    assert row["expires"] - time.time() == pytest.approx(600, abs=60)
    rewind(stage, "codes", 601)
    assert error(await exchange(stage.owner, stage.app, code)) == "invalid_grant"


async def test_an_unknown_code(stage: Scene) -> None:
    assert error(await exchange(stage.owner, stage.app, "x" * 43)) == "invalid_grant"


async def test_a_verifier_without_a_challenge_is_refused(tmp_path: Path) -> None:
    async with client_site() as app:
        config = IndieAuth(clients=(KnownClient(id=f"{app}/", pkce=False),))
        async with scene(tmp_path, config) as made:
            changes = {"code_challenge": None, "code_challenge_method": None}
            code = await allowed(made.owner, app, **changes)
            reply = await exchange(made.owner, app, code, code_verifier=VERIFIER)
            assert error(reply) == "invalid_grant"


async def test_a_code_is_no_token_and_a_token_no_code(stage: Scene) -> None:
    code = await allowed(stage.owner, stage.app)
    assert not await works(stage, code)
    given = await signed_in(stage)
    for secret in (given["access_token"], given["refresh_token"]):
        assert error(await exchange(stage.owner, stage.app, secret)) == "invalid_grant"
    assert not await works(stage, given["refresh_token"])
    assert error(await refresh(stage, given["access_token"])) == "invalid_grant"
    assert error(await refresh(stage, code)) == "invalid_grant"


@pytest.mark.parametrize("scope", ["", "profile", "profile email"])
async def test_identity_scopes_give_no_access_token(stage: Scene, scope: str) -> None:
    code = await allowed(stage.owner, stage.app, scope=scope or None)
    reply = await exchange(stage.owner, stage.app, code)
    assert error(reply) == "invalid_scope"
    assert "access_token" not in reply.text
    assert stage.db.all("SELECT * FROM tokens") == []


@pytest.mark.parametrize("scope", ["", "profile", "profile email", "create"])
async def test_the_authorization_endpoint_says_who_and_gives_no_token(
    stage: Scene, scope: str
) -> None:
    code = await allowed(stage.owner, stage.app, scope=scope or None)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": f"{stage.app}/",
        "redirect_uri": f"{stage.app}/back",
        "code_verifier": VERIFIER,
    }
    reply = await stage.owner.post("/auth", data=form)
    body = json.loads(reply.text)
    assert body["me"] == "https://me.example/"
    assert "access_token" not in body
    assert ("profile" in body) == ("profile" in scope)
    assert ("email" in body.get("profile", {})) == ("email" in scope)
    assert error(await stage.owner.post("/auth", data=form)) == "invalid_grant"


async def test_a_slow_client_is_not_waited_for(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.http.form._BODY_SECONDS", 0.05)
    host, _, port = stage.owner.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ngrant_type=")
    async with asyncio.timeout(300):
        assert (await reader.readline()).split()[1] == b"400"
    writer.close()
    await writer.wait_closed()


# --- refresh tokens ------------------------------------------------------------------------


async def test_refreshing_rotates(stage: Scene) -> None:
    first = await signed_in(stage)
    second = json.loads((await refresh(stage, first["refresh_token"])).text)
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert second["scope"] == "create update"
    assert await works(stage, second["access_token"])
    assert not await works(stage, first["access_token"])


async def test_a_refresh_token_used_twice_ends_the_whole_family(stage: Scene) -> None:
    first = await signed_in(stage)
    second = json.loads((await refresh(stage, first["refresh_token"])).text)
    assert error(await refresh(stage, first["refresh_token"])) == "invalid_grant"
    assert not await works(stage, first["access_token"])
    assert not await works(stage, second["access_token"])
    assert error(await refresh(stage, second["refresh_token"])) == "invalid_grant"


async def test_two_refreshes_at_once_end_the_family(stage: Scene) -> None:
    first = await signed_in(stage)
    replies = await asyncio.gather(*(refresh(stage, first["refresh_token"]) for _ in range(2)))
    assert sorted(reply.status for reply in replies) == [200, 400]
    assert not await works(stage, first["access_token"])


async def test_another_family_is_left_alone(stage: Scene) -> None:
    first, other = await signed_in(stage), await signed_in(stage)
    await refresh(stage, first["refresh_token"])
    await refresh(stage, first["refresh_token"])
    assert await works(stage, other["access_token"])


async def test_refreshing_can_narrow_and_never_widens(stage: Scene) -> None:
    first = await signed_in(stage)
    wider = await refresh(stage, first["refresh_token"], scope="create update delete")
    assert error(wider) == "invalid_scope"
    second = json.loads((await refresh(stage, first["refresh_token"], scope="create create")).text)
    assert second["scope"] == "create"
    back = await refresh(stage, second["refresh_token"], scope="create update")
    assert error(back) == "invalid_scope"


async def test_narrowing_to_nothing_but_a_name_is_refused(stage: Scene) -> None:
    first = await signed_in(stage, "create profile")
    assert error(await refresh(stage, first["refresh_token"], scope="profile")) == "invalid_scope"
    assert (await refresh(stage, first["refresh_token"])).status == 200


@pytest.mark.parametrize("missing", ["refresh_token", "client_id"])
async def test_each_missing_parameter_of_a_refresh(stage: Scene, missing: str) -> None:
    first = await signed_in(stage)
    reply = await refresh(stage, first["refresh_token"], **{missing: None})
    assert error(reply) == "invalid_request"


async def test_a_refresh_token_of_another_app(stage: Scene) -> None:
    first = await signed_in(stage)
    reply = await refresh(stage, first["refresh_token"], client_id="https://another.example/")
    assert error(reply) == "invalid_grant"
    assert (await refresh(stage, first["refresh_token"])).status == 200


async def test_tokens_expire(stage: Scene) -> None:
    first = await signed_in(stage)
    rewind(stage, "tokens", 400 * 86400)
    assert not await works(stage, first["access_token"])
    assert (await refresh(stage, first["refresh_token"])).status == 200
    second = await signed_in(stage)
    rewind(stage, "refreshes", 400 * 86400)
    assert error(await refresh(stage, second["refresh_token"])) == "invalid_grant"


# --- verification, introspection, revocation, userinfo ---------------------------------------


async def test_get_verifies_in_the_older_way(stage: Scene) -> None:
    given = await signed_in(stage)
    reply = await stage.owner.get(
        "/token", headers={"Authorization": f"Bearer {given['access_token']}"}
    )
    body = json.loads(reply.text)
    assert body["me"] == "https://me.example/"
    assert body["client_id"] == f"{stage.app}/"
    assert body["scope"] == "create update"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}])
async def test_get_refuses_all_else(stage: Scene, headers: dict[str, str]) -> None:
    given = await signed_in(stage)
    reply = await stage.owner.get(f"/token?access_token={given['access_token']}", headers=headers)
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")


async def introspect(stage: Scene, caller: str | None, token: str | None) -> Page:
    headers = {"Authorization": f"Bearer {caller}"} if caller else {}
    return await stage.owner.post(
        "/introspect", data={"token": token} if token else {}, headers=headers
    )


async def test_introspection_with_real_json_types(stage: Scene) -> None:
    given = await signed_in(stage)
    token = given["access_token"]
    body = json.loads((await introspect(stage, token, token)).text)
    assert body["active"] is True
    assert body["me"] == "https://me.example/"
    assert body["client_id"] == f"{stage.app}/"
    assert body["scope"] == "create update"
    assert isinstance(body["exp"], int)
    assert isinstance(body["iat"], int)


async def test_introspection_of_anything_else_says_no_more_than_inactive(stage: Scene) -> None:
    caller = create_token(stage.db, "server", ["media"])
    given = await signed_in(stage)
    code = await allowed(stage.owner, stage.app)
    revoked = (await signed_in(stage))["access_token"]
    await stage.owner.post("/revoke", data={"token": revoked})
    for token in ("unknown", given["refresh_token"], code, revoked, "\x00", "é"):
        reply = await introspect(stage, caller, token)
        assert (reply.status, reply.text) == (200, '{"active": false}')


async def test_introspection_needs_authorization(stage: Scene) -> None:
    given = await signed_in(stage)
    for caller in (None, "guess", given["refresh_token"]):
        assert (await introspect(stage, caller, given["access_token"])).status == 401


async def test_introspection_without_a_token_is_a_bad_request(stage: Scene) -> None:
    caller = create_token(stage.db, "server", ["media"])
    assert error(await introspect(stage, caller, None)) == "invalid_request"


@pytest.mark.parametrize("token", ["unknown", "", None])
async def test_revoking_an_unknown_token_is_fine(stage: Scene, token: str | None) -> None:
    reply = await stage.owner.post("/revoke", data={"token": "unknown"})
    assert reply.status == 200
    if not token:
        refused = await stage.owner.post("/revoke", data={"token": token or ""})
        assert refused.status == 400


async def test_signing_out_of_an_app_ends_all_its_tokens(stage: Scene) -> None:
    for which in ("access_token", "refresh_token"):
        given, other = await signed_in(stage), await signed_in(stage)
        # In the body, without an Authorization header.
        assert (await stage.owner.post("/revoke", data={"token": given[which]})).status == 200
        assert not await works(stage, given["access_token"])
        assert error(await refresh(stage, given["refresh_token"])) == "invalid_grant"
        assert await works(stage, other["access_token"])


async def test_the_older_way_to_revoke(stage: Scene) -> None:
    given = await signed_in(stage)
    form = {"action": "revoke", "token": given["access_token"]}
    assert (await stage.owner.post("/token", data=form)).status == 200
    assert not await works(stage, given["access_token"])
    assert (await stage.owner.post("/token", data=form)).status == 200


async def test_userinfo_needs_profile(stage: Scene) -> None:
    async def userinfo(scope: str) -> Page:
        token = (await signed_in(stage, scope))["access_token"]
        return await stage.owner.get("/userinfo", headers={"Authorization": f"Bearer {token}"})

    assert json.loads((await userinfo("create profile")).text) == {
        "name": "Maren",
        "url": "https://me.example/",
    }
    assert "maren@me.example" in (await userinfo("create profile email")).text
    refused = await userinfo("create")
    assert refused.status == 403
    assert 'error="insufficient_scope", scope="profile"' in refused.headers["WWW-Authenticate"]
    assert (await stage.owner.get("/userinfo")).status == 401


async def test_our_own_verifiers_understand_our_own_server(stage: Scene) -> None:
    given = await signed_in(stage)
    token, session = given["access_token"], stage.owner.session
    for verifier in (
        TokenEndpointVerifier(session, f"{stage.owner.base}/token"),
        IntrospectionVerifier(session, f"{stage.owner.base}/introspect", auth="same-token"),
        stage.server.verifier,
    ):
        verdict = await verifier.verify(token)
        assert verdict.me == "https://me.example/"
        assert verdict.scopes == {"create", "update"}
        assert verdict.client_id == f"{stage.app}/"
        assert verdict.expires is not None
        with pytest.raises(InvalidToken):
            await verifier.verify("unknown")


# --- metadata ----------------------------------------------------------------------------


async def test_metadata_never_listens_to_the_request(stage: Scene) -> None:
    reply = await stage.owner.get(
        "/.well-known/oauth-authorization-server",
        headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"},
    )
    body = json.loads(reply.text)
    base = stage.owner.base
    assert "evil.example" not in reply.text
    assert body["issuer"] == f"{base}/"
    assert f"{base}/.well-known/oauth-authorization-server".startswith(body["issuer"])
    assert body["authorization_endpoint"] == f"{base}/auth"
    assert body["token_endpoint"] == f"{base}/token"
    assert body["introspection_endpoint"] == f"{base}/introspect"
    assert body["revocation_endpoint"] == f"{base}/revoke"
    assert body["userinfo_endpoint"] == f"{base}/userinfo"
    assert body["code_challenge_methods_supported"] == ["S256"]
    assert body["response_types_supported"] == ["code"]
    assert body["grant_types_supported"] == ["authorization_code", "refresh_token"]
    assert body["authorization_response_iss_parameter_supported"] is True
    assert body["client_id_metadata_document_supported"] is True
    assert {"create", "update", "delete", "media", "profile", "email"} <= set(
        body["scopes_supported"]
    )


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke", "/userinfo"])
async def test_apps_in_a_browser_may_call_from_anywhere(stage: Scene, path: str) -> None:
    async with stage.owner.session.options(f"{stage.owner.base}{path}") as preflight:
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    refused = await stage.owner.post(path) if path != "/userinfo" else await stage.owner.get(path)
    assert refused.status in {400, 401}
    assert refused.headers["Access-Control-Allow-Origin"] == "*"
