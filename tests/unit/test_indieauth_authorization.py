"""``/auth``: valid requests, trusted apps, and the response to the app."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote_to_bytes, urlsplit

import msgspec
import pytest
from aiohttp import web
from indieauth_kit import (
    CHALLENGE,
    PASSWORD,
    Page,
    Scene,
    allowed,
    asking,
    browser,
    client_site,
    exchange,
    free_socket,
    rough_words,
    scene,
)

from bridge.errors import OAuthError
from bridge.indieauth.oauth.client_id import check_redirect
from bridge.net.fetch import Fetched, FetchError, GuardedFetch
from bridge.settings import IndieAuth, KnownClient


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made


async def test_a_whole_sign_in(stage: Scene) -> None:
    question = await stage.owner.get(asking(stage.app))
    assert question.status == 200
    answer = await stage.owner.submit(question, "/auth/consent", decision="allow")
    assert answer.status == 302
    assert answer.location.startswith(f"{stage.app}/back?")
    assert set(answer.answer) == {"code", "state", "iss"}
    assert answer.answer["iss"] == stage.server.metadata()["issuer"]
    tokens = await exchange(stage.owner, stage.app, answer.answer["code"])
    assert tokens.status == 200


async def test_the_question_names_app_redirect_and_every_scope(stage: Scene) -> None:
    question = await stage.owner.get(asking(stage.app, scope="create update read delete"))
    text = rough_words(question.text)
    assert "Quillpen" in text
    assert f"{stage.app}/" in text
    assert urlsplit(stage.app).netloc in text
    ticks = [value for name, value in question.form("/auth/consent") if name == "scope"]
    assert ticks == ["create", "update", "read"]
    for scope in ("create", "update", "read", "delete"):
        assert f'value="{scope}"' in question.text


@pytest.mark.parametrize("scope", ["delete", "undelete"])
async def test_deleting_is_not_ticked_by_itself(stage: Scene, scope: str) -> None:
    question = await stage.owner.get(asking(stage.app, scope=f"create {scope}"))
    assert "not ticked by default" in question.text
    answer = await stage.owner.submit(question, "/auth/consent", decision="allow")
    tokens = await exchange(stage.owner, stage.app, answer.answer["code"])
    assert '"scope": "create"' in tokens.text


async def test_where_nothing_is_ticked_the_question_says_what_that_means(stage: Scene) -> None:
    question = await stage.owner.get(asking(stage.app, scope="delete"))
    assert "Nothing is ticked yet" in question.text
    answer = await stage.owner.submit(question, "/auth/consent", decision="allow", scope=["delete"])
    tokens = await exchange(stage.owner, stage.app, answer.answer["code"])
    assert '"scope": "delete"' in tokens.text
    for others in ("create delete", "create", ""):
        question = await stage.owner.get(asking(stage.app, scope=others))
        assert "Nothing is ticked yet" not in question.text


async def test_a_scope_that_means_nothing_is_named_without_a_box_and_not_given(
    stage: Scene,
) -> None:
    question = await stage.owner.get(asking(stage.app, scope="create follow launch_rockets"))
    assert "does not get it: launch_rockets" in rough_words(question.text)
    assert 'value="launch_rockets"' not in question.text
    answer = await stage.owner.submit(
        question, "/auth/consent", decision="allow", scope=["create", "follow", "launch_rockets"]
    )
    tokens = await exchange(stage.owner, stage.app, answer.answer["code"])
    assert '"scope": "create follow"' in tokens.text


async def test_the_question_says_what_the_old_word_post_allows(stage: Scene) -> None:
    text = rough_words((await stage.owner.get(asking(stage.app, scope="post"))).text)
    assert "Publish new posts with their files, change posts, and restore deleted posts" in text
    assert "allows nothing here" not in text


async def test_the_question_says_that_writing_is_reading(stage: Scene) -> None:
    for scope, reads in (("media", True), ("profile read", False)):
        question = await stage.owner.get(asking(stage.app, scope=scope))
        assert ("read your posts, drafts included" in rough_words(question.text)) == reads
    assert "allows nothing here" in rough_words(question.text)


@pytest.mark.parametrize(
    ("asked", "ticked", "granted"),
    [
        pytest.param("create update delete", "update delete", "update delete", id="one unticked"),
        pytest.param("update", "update delete", "update", id="one that was not asked for"),
        pytest.param("create profile email", "create email", "create", id="email without profile"),
    ],
)
async def test_the_token_has_the_scopes_that_were_asked_for_and_ticked(
    stage: Scene, asked: str, ticked: str, granted: str
) -> None:
    question = await stage.owner.get(asking(stage.app, scope=asked))
    answer = await stage.owner.submit(
        question, "/auth/consent", decision="allow", scope=ticked.split()
    )
    tokens = await exchange(stage.owner, stage.app, answer.answer["code"])
    assert f'"scope": "{granted}"' in tokens.text


async def test_denial_has_state_and_iss(stage: Scene) -> None:
    question = await stage.owner.get(asking(stage.app))
    answer = await stage.owner.submit(question, "/auth/consent", decision="deny")
    assert answer.answer["error"] == "access_denied"
    assert answer.answer["state"] == "s"
    assert answer.answer["iss"] == stage.server.issuer


async def test_a_form_without_a_decision_gives_no_consent(stage: Scene) -> None:
    question = await stage.owner.get(asking(stage.app))
    answer = await stage.owner.submit(question, "/auth/consent")
    assert answer.answer["error"] == "access_denied"


async def test_a_double_click_gives_one_code_and_the_same_answer(stage: Scene) -> None:
    question = await stage.owner.get(asking(stage.app))
    both = await asyncio.gather(
        *(stage.owner.submit(question, "/auth/consent", decision="allow") for _ in range(2))
    )
    assert both[0].location == both[1].location
    assert len(stage.db.all("SELECT * FROM codes")) == 1


async def test_after_going_back_the_last_decision_counts(stage: Scene) -> None:
    """A second use of the same code would end the app's access."""
    question = await stage.owner.get(asking(stage.app, scope="create update"))

    async def decide(decision: str, *scope: str) -> dict[str, str]:
        form = {"decision": decision, "scope": [*scope]}
        return (await stage.owner.submit(question, "/auth/consent", **form)).answer

    async def status_with(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return (await stage.owner.get("/token", headers=headers)).status

    assert (await decide("deny"))["error"] == "access_denied"
    first = await exchange(stage.owner, stage.app, (await decide("allow", "create"))["code"])
    second = await exchange(stage.owner, stage.app, (await decide("allow", "create"))["code"])
    tokens = [json.loads(page.text)["access_token"] for page in (first, second)]
    assert [await status_with(token) for token in tokens] == [200, 200]
    other = (await decide("allow", "update"))["code"]
    assert [await status_with(token) for token in tokens] == [401, 401]
    assert (await decide("deny", "update"))["error"] == "access_denied"
    assert (await exchange(stage.owner, stage.app, other)).status == 400


@pytest.mark.parametrize(
    "state",
    ["a&b=c", "a#b", "a+b", "a b", "%41", "ü€😀", "a%26b", '"<>', "\n\r\t", "=", "x" * 1000],
)
async def test_state_comes_back_byte_for_byte(stage: Scene, state: str) -> None:
    question = await stage.owner.get(asking(stage.app, state=state))
    answer = await stage.owner.submit(question, "/auth/consent", decision="allow")
    assert _raw_state(answer.location) == state.encode()


async def test_a_state_that_is_not_text_comes_back(stage: Scene) -> None:
    path = asking(stage.app).replace("state=s", "state=%FF%00%80x")
    question = await stage.owner.get(path)
    answer = await stage.owner.submit(question, "/auth/consent", decision="allow")
    assert _raw_state(answer.location) == b"\xff\x00\x80x"


def _raw_state(location: str) -> bytes:
    pairs = dict(pair.split("=", 1) for pair in urlsplit(location).query.split("&"))
    return unquote_to_bytes(pairs["state"].replace("+", " "))


@pytest.mark.parametrize("query", ["?a=b", "?a=b&c", "?", "?a=%2F+x"])
async def test_a_redirect_uri_keeps_its_own_query(stage: Scene, query: str) -> None:
    uri = f"{stage.app}/back{query}"
    question = await stage.owner.get(asking(stage.app, redirect_uri=uri))
    answer = await stage.owner.submit(question, "/auth/consent", decision="allow")
    assert answer.location.startswith(uri)
    assert answer.location[len(uri) :].lstrip("&").startswith("code=")
    tokens = await exchange(stage.owner, stage.app, answer.answer["code"], redirect_uri=uri)
    assert tokens.status == 200


@pytest.mark.parametrize(
    "query",
    [
        "code=evil",
        "a=b&state=s",
        "iss=https://evil.example/",
        "error",
        "error_description=x",
        "error_uri=x",
        "access_token=x",
        "a;code=x",
        "%63ode=x",
        "Code=x",
        "code[]=x",
        "code%5B0%5D=x",
        "+code=x",
        "error.description=x",
        "a?code=x",
    ],
)
async def test_a_redirect_uri_with_response_parameters_is_rejected(
    tmp_path: Path, query: str
) -> None:
    uri = f"com.example.quillpen://back?{query}"
    page = f'<head><link rel="redirect_uri" href="{uri}"></head>'
    async with scene(tmp_path, pages={"/": page}) as made:
        for redirect_uri in (f"{made.app}/back?{query}", uri):
            for changes in ({}, {"response_type": "x"}):
                path = asking(made.app, redirect_uri=redirect_uri, **changes)
                answer = await made.owner.get(path)
                assert answer.status == 400
                assert "Location" not in answer.headers
                assert made.app + "/back" not in answer.text


async def test_a_query_that_only_looks_like_an_answer_is_kept(stage: Scene) -> None:
    uri = f"{stage.app}/back?encode=1&codes=2&my_state=3&q=code"
    question = await stage.owner.get(asking(stage.app, redirect_uri=uri))
    answer = await stage.owner.submit(question, "/auth/consent", decision="allow")
    assert answer.location.startswith(f"{uri}&code=")


async def test_me_in_the_request_is_only_a_hint(stage: Scene) -> None:
    code = await allowed(stage.owner, stage.app, me="https://somebody-else.example/")
    tokens = await exchange(stage.owner, stage.app, code)
    assert '"me": "https://me.example/"' in tokens.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "id"}, "unsupported_response_type"),
        ({"state": None}, "invalid_request"),
        ({"state": ""}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"code_challenge": "too-short"}, "invalid_request"),
        ({"code_challenge": CHALLENGE + "="}, "invalid_request"),
        ({"scope": 'create "quoted"'}, "invalid_scope"),
        ({"scope": "create\tupdate"}, "invalid_scope"),
        ({"scope": "ü"}, "invalid_scope"),
    ],
)
async def test_a_bad_request_is_reported_to_the_app(
    stage: Scene, changes: dict[str, str | None], error: str
) -> None:
    """With a link: a site that makes the owner follow a URL must not choose where they end up."""
    refused = await stage.owner.get(asking(stage.app, **changes))
    answer = reported(refused, stage.app)
    assert answer["error"] == error
    assert answer["iss"] == stage.server.issuer
    assert answer.get("state") == changes.get("state", "s") or "state" in changes
    assert "code" not in answer


def reported(page: Page, app: str) -> dict[str, str]:
    """The parameters of the link on an error page, which is not followed automatically."""
    assert page.status == 400
    assert "Location" not in page.headers
    (link,) = re.findall(rf'href="({re.escape(app)}/back[^"]*)"', page.text)
    return {key: values[0] for key, values in parse_qs(urlsplit(unescape(link)).query).items()}


@pytest.mark.parametrize("name", ["response_type", "scope", "code_challenge", "state"])
async def test_a_parameter_that_comes_twice_is_refused(stage: Scene, name: str) -> None:
    refused = await stage.owner.get(asking(stage.app) + f"&{name}=x")
    assert reported(refused, stage.app)["error"] == "invalid_request"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_a_repeated_client_or_redirect_uri_is_rejected(stage: Scene, name: str) -> None:
    answer = await stage.owner.get(asking(stage.app) + f"&{name}=https://evil.example/")
    assert answer.status == 400
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "client_id",
    [
        None,
        "",
        "not a url",
        "app.example",
        "javascript:alert(1)",
        "https://user@app.example/",
        "https://user:pw@app.example/",
        "https://app.example/#x",
        "https://app.example/a/../b",
        "https://app.example/./",
        "https://192.0.2.1/",
        "https://10.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://[::2]/",
        "http://[::ffff:127.0.0.1]/",
        "mailto:app@app.example",
        "https://app.example\\@evil.example/",
    ],
)
async def test_an_invalid_client_id_is_rejected(stage: Scene, client_id: str | None) -> None:
    answer = await stage.owner.get(asking(stage.app, client_id=client_id))
    assert answer.status == 400
    assert "Location" not in answer.headers


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "scope", "code_challenge"])
async def test_invalid_utf_8_is_refused(stage: Scene, name: str) -> None:
    path = asking(stage.app, **{name: f"{stage.app}/\ue000"}).replace("%EE%80%80", "%FF")
    answer = await stage.owner.get(path)
    if name in {"client_id", "redirect_uri"}:
        assert answer.status == 400
        assert "is not UTF-8" in answer.text
    else:
        assert reported(answer, stage.app)["error"] == "invalid_request"


async def test_a_client_id_has_no_invisible_or_turning_characters(tmp_path: Path) -> None:
    async with scene(tmp_path, sign_in=False) as made:
        path = asking(made.app, client_id=f"{made.app}/\u202egro.lliuq\u200b")
        for page in (await made.owner.get(path), await made.owner.sign_in(path)):
            assert f"{made.app}/%E2%80%AEgro.lliuq%E2%80%8B" in rough_words(page.text)
            assert "\u202e" not in page.text


@pytest.mark.parametrize(
    "client_id", ["http://127.0.0.1:9/", "http://[::1]:9/", "http://localhost:9/app"]
)
async def test_an_app_on_this_machine_may_be_a_client(stage: Scene, client_id: str) -> None:
    answer = await stage.owner.get(
        asking(stage.app, client_id=client_id, redirect_uri=client_id + "back")
    )
    assert answer.status == 200
    assert client_id in rough_words(answer.text)


@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "",
        "/back",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://app.example/x",
        "https://app.example/#x",
        "https://u:p@app.example/",
        "https://app.example\\.evil.example/",
        "https://app.example/\r\nX: y",
        "https://app.example/ x",
        "https://äpp.example/",
        "//evil.example/",
        "quillpen://back",
        "ms-msdt:/id",
        "intent://x",
        "ftp://app.example/",
        "mailto:a@app.example",
        "tel:1",
        "web+app://x",
        "app.://x",
        ".app://x",
        "a..b://x",
    ],
)
async def test_an_invalid_redirect_uri_is_rejected(stage: Scene, redirect_uri: str | None) -> None:
    answer = await stage.owner.get(asking(stage.app, redirect_uri=redirect_uri))
    assert answer.status == 400
    assert "Location" not in answer.headers
    with pytest.raises(OAuthError):
        check_redirect(redirect_uri or "", None)  # Not even if the app has published it.


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://evil.example/back",
        "http://127.0.0.1:1/back",
        "com.example.quillpen://back",
        "{app}@evil.example/back",
        "{app}.evil.example/back",
        "https://evil.example/?{app}/back",
    ],
)
async def test_an_unpublished_address_gets_a_page_and_no_redirect(
    stage: Scene, redirect_uri: str
) -> None:
    """Not even errors are sent to it."""
    uri = redirect_uri.format(app=stage.app)
    for changes in ({}, {"response_type": "x"}):
        answer = await stage.owner.get(asking(stage.app, redirect_uri=uri, **changes))
        assert answer.status == 400
        assert "Location" not in answer.headers


async def test_nothing_is_fetched_before_the_owner_has_signed_in(tmp_path: Path) -> None:
    fetched = []

    class Watching:
        async def fetch(self, url: str, **_: object) -> None:
            fetched.append(url)
            raise AssertionError

    async with scene(tmp_path, sign_in=False) as made:
        made.server.fetch = Watching()  # type: ignore[assignment]
        page = await made.owner.get(asking(made.app))
        assert page.status == 200
        assert 'type="password"' in page.text
        refused = await made.owner.get(asking(made.app, response_type="x"))
        assert refused.status == 400
    assert fetched == []


async def test_a_stranger_is_not_redirected_but_given_a_link(tmp_path: Path) -> None:
    """RFC 9700 4.11.2: an error redirect before signing in would serve an attacker."""
    async with scene(tmp_path, sign_in=False) as made:
        refused = await made.owner.get(asking(made.app, code_challenge=None))
        assert refused.status == 400
        assert "Location" not in refused.headers
        assert f'href="{made.app}/back?error=invalid_request' in refused.text
        elsewhere = await made.owner.get(
            asking(made.app, code_challenge=None, redirect_uri="https://evil.example/")
        )
        assert 'href="https://evil.example/' not in elsewhere.text


async def test_signing_in_leads_back_to_the_question(tmp_path: Path) -> None:
    async with scene(tmp_path, sign_in=False) as made:
        question = await made.owner.sign_in(asking(made.app, state="a&b #é"))
        assert "Quillpen" in question.text
        answer = await made.owner.submit(question, "/auth/consent", decision="allow")
        assert _raw_state(answer.location) == "a&b #é".encode()


async def test_a_question_belongs_to_the_session_that_was_asked(stage: Scene) -> None:
    question = await stage.owner.get(asking(stage.app))
    async with browser(stage.owner.base) as other:
        await other.sign_in()
        own = dict((await other.get("/tokens")).form("/tokens"))
        stolen = await other.submit(question, "/auth/consent", decision="allow", csrf=own["csrf"])
        assert stolen.status == 403
    assert stage.db.all("SELECT * FROM codes") == []


async def test_without_the_csrf_token_nothing_is_granted(stage: Scene) -> None:
    question = await stage.owner.get(asking(stage.app))
    for csrf in (None, "", "wrong", "é"):
        answer = await stage.owner.submit(question, "/auth/consent", decision="allow", csrf=csrf)
        assert answer.status == 403
    cross = await stage.owner.post(
        "/auth/consent",
        data=[*question.form("/auth/consent"), ("decision", "allow")],
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert cross.status == 403
    assert stage.db.all("SELECT * FROM codes") == []


async def test_what_an_app_calls_itself_is_only_text(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>\u202eexe"
    app_page = f'<div class="h-app"><p class="p-name">{name.replace("<", "&lt;")}</p></div>'
    async with scene(tmp_path, pages={"/": app_page}) as made:
        question = await made.owner.get(asking(made.app))
        assert "&lt;script&gt;" in question.text
        assert "<script>alert" not in question.text
        assert "\u202e" not in question.text


async def test_no_picture_of_the_apps_is_loaded(tmp_path: Path) -> None:
    page = '<div class="h-app"><img class="u-logo" src="/spy.png"><b class="p-name">X</b></div>'
    async with scene(tmp_path, pages={"/": page}) as made:
        question = await made.owner.get(asking(made.app))
        assert "spy.png" not in question.text
        assert "<img" not in question.text


# --- requiring a recent sign-in ---------------------------------------------------------------

CROSS = {"Sec-Fetch-Site": "cross-site"}


def sign_in_is_old(stage: Scene, seconds: float = 301) -> None:
    with stage.db.transaction() as connection:
        connection.execute("UPDATE sessions SET created = created - ?", (seconds,))


async def allow(
    stage: Scene, scopes: list[str], headers: dict[str, str] | None = None, **more: str
) -> Page:
    path = asking(stage.app, scope="create update delete undelete post media profile")
    question = await stage.owner.get(path, headers=CROSS if headers is None else headers)
    return await stage.owner.submit(
        question, "/auth/consent", decision="allow", scope=scopes, **more
    )


@pytest.mark.parametrize("strong", ["update", "delete", "undelete", "post"])
async def test_a_strong_scope_for_a_page_elsewhere_needs_a_new_proof(
    stage: Scene, strong: str
) -> None:
    sign_in_is_old(stage)
    asked = await allow(stage, ["create", strong])
    assert asked.status == 200
    assert "Confirm that it is you" in asked.text
    wrong = await stage.owner.submit(asked, "/auth/consent", proof="another pass phrase")
    assert "That is not the password" in wrong.text
    assert stage.db.all("SELECT * FROM codes") == []
    answer = await stage.owner.submit(wrong, "/auth/consent", proof=PASSWORD)
    tokens = await exchange(stage.owner, stage.app, answer.answer["code"])
    assert f'"scope": "create {strong}"' in tokens.text
    # This counts as a sign-in for the next minutes.
    assert (await allow(stage, ["update"])).status == 302


@pytest.mark.parametrize(
    ("old", "headers", "scopes"),
    [
        (False, CROSS, ["update", "delete"]),
        (True, CROSS, ["create", "media", "profile"]),
        (False, {"Sec-Fetch-Site": "same-origin"}, ["update", "delete"]),
        (True, {"Sec-Fetch-Site": "none"}, ["update", "delete"]),
    ],
)
async def test_without_one_of_the_three_reasons_no_proof_is_asked_for(
    stage: Scene, old: bool, headers: dict[str, str], scopes: list[str]
) -> None:
    sign_in_is_old(stage, 301 if old else 290)
    assert (await allow(stage, scopes, headers)).status == 302


@pytest.mark.parametrize("site", ["", "same-site", "same-origin"])
async def test_unknown_requests_and_links_on_pages_of_ones_own_count_as_cross_site(
    stage: Scene, site: str
) -> None:
    """Where the site shares the host name, an app may have put the link into a post."""
    headers = {"Sec-Fetch-Site": site} if site else {}
    sign_in_is_old(stage)
    assert "Confirm that it is you" in (await allow(stage, ["update"], headers)).text


async def test_a_sign_in_while_the_clock_was_ahead_is_not_recent_for_as_long(stage: Scene) -> None:
    sign_in_is_old(stage, -86400)
    asked = await allow(stage, ["update"])
    assert "Confirm that it is you" in asked.text
    assert (await stage.owner.submit(asked, "/auth/consent", proof=PASSWORD)).status == 302
    assert (await allow(stage, ["update"])).status == 302


async def test_the_owner_may_go_on_without_the_strong_scopes(stage: Scene) -> None:
    sign_in_is_old(stage)
    asked = await allow(stage, ["create", "update", "delete"])
    answer = await stage.owner.submit(asked, "/auth/consent", proof="", without="strong")
    assert answer.status == 302
    tokens = await exchange(stage.owner, stage.app, answer.answer["code"])
    assert '"scope": "create"' in tokens.text


async def test_the_proof_cannot_be_guessed_for_ever(stage: Scene) -> None:
    sign_in_is_old(stage)
    asked = await allow(stage, ["update"])
    for _ in range(10):
        await stage.owner.submit(asked, "/auth/consent", proof="another pass phrase")
    assert (await stage.owner.submit(asked, "/auth/consent", proof=PASSWORD)).status == 429
    assert stage.db.all("SELECT * FROM codes") == []


async def test_a_click_that_comes_while_the_password_is_checked_gives_no_second_code(
    stage: Scene,
) -> None:
    sign_in_is_old(stage)
    asked = await allow(stage, ["update"])
    both = await asyncio.gather(
        *(stage.owner.submit(asked, "/auth/consent", proof=PASSWORD) for _ in range(3))
    )
    assert len({answer.location for answer in both}) == 1
    assert len(stage.db.all("SELECT * FROM codes")) == 1


# --- what apps publish -------------------------------------------------------------------


async def test_redirect_addresses_that_an_app_publishes(tmp_path: Path) -> None:
    page = web.Response(
        text='<head><link rel="redirect_uri" href="com.example.quillpen://signed-in">'
        '<link rel="redirect_uri" href="microblog://indieauth">'
        '<link rel="redirect_uri" href="/other"></head>'
        '<body><a rel="redirect_uri" href="https://evil.example/a">x</a>'
        '<link rel="redirect_uri" href="https://evil.example/b"></body>',
        content_type="text/html",
        headers={"Link": '<https://elsewhere.example/back>; rel="redirect_uri"'},
    )
    async with scene(tmp_path, pages={"/": page}) as made:
        for uri in (
            "com.example.quillpen://signed-in",
            "microblog://indieauth",
            "https://elsewhere.example/back",
            f"{made.app}/other",
        ):
            question = await made.owner.get(asking(made.app, redirect_uri=uri))
            answer = await made.owner.submit(question, "/auth/consent", decision="allow")
            assert answer.location.startswith(f"{uri}?code=")
        for uri in (
            "https://evil.example/a",
            "https://evil.example/b",
            "com.example.quillpen://signed-in/",
            "com.example.quillpen://signed-in?x",
            "https://elsewhere.example/back/",
        ):
            assert (await made.owner.get(asking(made.app, redirect_uri=uri))).status == 400


async def test_a_custom_scheme_is_shown_as_what_it_is(tmp_path: Path) -> None:
    uri = "com.example.quillpen://signed-in"
    page = f'<head><link rel="redirect_uri" href="{uri}"></head>'
    async with scene(tmp_path, pages={"/": page}) as made:
        question = await made.owner.get(asking(made.app, redirect_uri=uri))
        assert "opens com.example.quillpen: addresses" in rough_words(question.text)


async def test_an_unreadable_app_has_no_name_and_is_answered(tmp_path: Path) -> None:
    for page in (web.Response(status=500), "", "\x00<<<", web.Response(body=b"\xff\xfe")):
        async with scene(tmp_path, pages={"/": page}) as made:
            question = await made.owner.get(asking(made.app))
            assert question.status == 200
            assert "An app wants to sign you in" in rough_words(question.text)


async def test_an_app_that_was_down_is_read_again(tmp_path: Path) -> None:
    pages: dict[str, web.Response | str] = {"/": web.Response(status=500)}
    async with scene(tmp_path, pages=pages) as made:
        assert "Quillpen" not in (await made.owner.get(asking(made.app))).text
    async with scene(tmp_path) as made:
        assert "Quillpen" in (await made.owner.get(asking(made.app))).text


# --- old apps, allowed by the settings --------------------------------------------------------


def old(app: str, **values: object) -> IndieAuth:
    return IndieAuth(enabled=True, clients=(KnownClient(id=f"{app}/", pkce=False, **values),))  # type: ignore[arg-type]


@pytest.mark.parametrize("response_type", ["code", "id", None])
async def test_an_old_app_that_the_settings_name(tmp_path: Path, response_type: str | None) -> None:
    async with client_site() as app, scene(tmp_path, old(app)) as made:
        changes = {"code_challenge": None, "code_challenge_method": None}
        question = await made.owner.get(asking(app, response_type=response_type, **changes))
        assert "does not protect its sign-in with PKCE" in rough_words(question.text)
        answer = await made.owner.submit(question, "/auth/consent", decision="allow")
        assert answer.answer["me"] == "https://me.example/"
        code = answer.answer["code"]
        assert (await exchange(made.owner, app, code, code_verifier=None)).status == 200


async def test_an_old_app_may_use_pkce_all_the_same_but_not_half_of_it(tmp_path: Path) -> None:
    async with client_site() as app, scene(tmp_path, old(app)) as made:
        code = await allowed(made.owner, app)
        assert (await exchange(made.owner, app, code)).status == 200
        for changes in ({"code_challenge": None}, {"code_challenge_method": "plain"}):
            answer = await made.owner.get(asking(app, **changes))
            assert reported(answer, app)["error"] == "invalid_request"


async def test_only_an_old_app_must_not_have_me_in_its_own_query(tmp_path: Path) -> None:
    """Only such apps get ``me`` in the response."""
    async with client_site() as app, scene(tmp_path, old(app)) as made:
        for client, status in ((app, 400), (made.app, 200)):
            uri = f"{client}/back?me=https://evil.example/"
            assert (await made.owner.get(asking(client, redirect_uri=uri))).status == status


async def test_other_apps_get_no_exception(tmp_path: Path) -> None:
    async with client_site() as app, scene(tmp_path, old(app)) as made:
        answer = await made.owner.get(asking(made.app, code_challenge=None))
        assert reported(answer, made.app)["error"] == "invalid_request"


async def test_an_address_registered_in_the_settings(tmp_path: Path) -> None:
    async with client_site() as app:
        config = IndieAuth(
            clients=(KnownClient(id=f"{app}/", redirect_uris=("oldapp://signin/",)),)
        )
        async with scene(tmp_path, config) as made:
            question = await made.owner.get(asking(app, redirect_uri="oldapp://signin/"))
            answer = await made.owner.submit(question, "/auth/consent", decision="allow")
            assert answer.location.startswith("oldapp://signin/?code=")
            refused = await made.owner.get(
                asking(made.app, redirect_uri=quote("oldapp://signin/", safe=":/"))
            )
            assert refused.status == 400


NO_PKCE = {"code_challenge": None, "code_challenge_method": None}


def lines_to_copy(page: Page) -> IndieAuth:
    """The settings that a page offers, parsed as ``bridge.toml``."""
    (shown,) = re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page.text, re.DOTALL)
    section = tomllib.loads(unescape(shown))["indieauth"]
    return msgspec.convert(section, IndieAuth)


async def test_the_owner_can_copy_what_lets_an_app_without_pkce_in(tmp_path: Path) -> None:
    for response_type in ("code", "id", None):
        async with scene(tmp_path) as made:
            path = asking(made.app, response_type=response_type, **NO_PKCE)
            refused = await made.owner.get(path)
            assert refused.status == 400
            offered = lines_to_copy(refused)
        known = KnownClient(id=f"{made.app}/", pkce=False, redirect_uris=(f"{made.app}/back",))
        assert offered.clients == (known,)


async def test_with_the_lines_copied_the_app_is_let_in(tmp_path: Path) -> None:
    async with client_site({"/": "an old app"}) as app:
        for back in (f"{app}/back", "com.example.old://in", "http://127.0.0.1:12345/callback"):
            path = asking(app, redirect_uri=back, **NO_PKCE)
            async with scene(tmp_path) as made:
                offered = lines_to_copy(await made.owner.get(path))
            async with scene(tmp_path, offered) as made:
                question = await made.owner.get(path)
                answer = await made.owner.submit(question, "/auth/consent", decision="allow")
                assert answer.location.startswith(f"{back}?code="), back


async def test_only_the_owner_learns_how_to_allow_an_old_app(tmp_path: Path) -> None:
    async with scene(tmp_path, sign_in=False) as made:
        refused = await made.owner.get(asking(made.app, **NO_PKCE))
        assert refused.status == 400
        assert "[[indieauth.clients]]" not in refused.text
        # The link to sign in returns to this request.
        (way,) = re.findall(r'href="(/auth/sign-in[?]then=[^"]*)"', refused.text)
        offer = await made.owner.sign_in(unescape(way))
        assert lines_to_copy(offer).clients[0].pkce is False


@pytest.mark.parametrize(
    ("published", "changes"),
    [
        # PKCE is not what is missing, or not all.
        (None, {"state": None}),
        (None, {"code_challenge": "short"}),
        (None, {"response_type": "token", **NO_PKCE}),
        # The response would go to someone else.
        (None, {"redirect_uri": "https://elsewhere.example/back", **NO_PKCE}),
        ("com.example.old://in", {"redirect_uri": "com.example.evil://in", **NO_PKCE}),
    ],
)
async def test_other_errors_do_not_suggest_a_setting(
    tmp_path: Path, published: str | None, changes: dict[str, str | None]
) -> None:
    page = f'<link rel="redirect_uri" href="{published}">' if published else ""
    async with scene(tmp_path, pages={"/": f"<title>App</title>{page}"}) as made:
        refused = await made.owner.get(asking(made.app, **changes))
        assert refused.status == 400
        assert "[[indieauth.clients]]" not in refused.text


async def test_an_app_that_cannot_be_reached_is_not_called_unsafe(tmp_path: Path) -> None:
    with free_socket() as closed:
        app = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with scene(tmp_path) as made:
            refused = await made.owner.get(asking(app, redirect_uri="com.example.app://in"))
    said = rough_words(refused.text)
    assert refused.status == 400
    assert "The app cannot be reached" in said
    assert "could not be read" in said
    assert "not safe" not in said


async def no_network(*_: object, **__: object) -> Fetched:
    raise FetchError("there is no network here")


@pytest.mark.parametrize(
    ("client_id", "redirect_uri"),
    [
        ("https://micro.blog/", "https://micro.blog/micropub/redirect"),
        ("https://epilogue.micro.blog/", "https://epilogue.micro.blog/indieauth/"),
        ("http://cweiske.de/shpub.htm", "http://127.0.0.1:12345/callback"),
        ("https://micropub.rocks/", "https://micropub.rocks/endpoints/callback"),
    ],
)
@pytest.mark.parametrize("owners", [(), ("other://address",)])
async def test_known_old_apps_sign_in_as_they_are(
    tmp_path: Path,
    client_id: str,
    redirect_uri: str,
    owners: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if the settings name one of them, for a further redirect URI."""
    monkeypatch.setattr(GuardedFetch, "fetch", no_network)
    config = IndieAuth(
        enabled=True, clients=(KnownClient(id=client_id, redirect_uris=owners),) if owners else ()
    )
    # Their pages cannot be fetched here, and need not be.
    async with scene(tmp_path, config) as made:
        wish = {"client_id": client_id, "redirect_uri": redirect_uri, "scope": "create"}
        question = await made.owner.get(asking(made.app, **wish, **NO_PKCE))
        assert question.status == 200, rough_words(question.text)
        answer = await made.owner.submit(question, "/auth/consent", decision="allow")
        assert answer.answer["me"] == "https://me.example/"
        code = {"client_id": client_id, "redirect_uri": redirect_uri, "code_verifier": None}
        token = await exchange(made.owner, made.app, answer.answer["code"], **code)
        assert token.status == 200, token.text
        elsewhere = await made.owner.get(
            asking(made.app, **{**wish, "redirect_uri": "https://evil.example/"}, **NO_PKCE)
        )
        assert elsewhere.status == 400


async def test_the_owner_may_ask_pkce_of_a_known_old_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = IndieAuth(enabled=True, clients=(KnownClient(id="https://micro.blog/", pkce=True),))
    async with scene(tmp_path, config) as made:
        back = "https://micro.blog/micropub/redirect"
        path = asking(made.app, client_id="https://micro.blog/", redirect_uri=back, **NO_PKCE)
        monkeypatch.setattr(GuardedFetch, "fetch", no_network)
        assert (await made.owner.get(path)).status == 400
