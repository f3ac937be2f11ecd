"""Settings: an invalid one is an error that names file, key, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.settings import SettingsError, Target
from bridge.settings_file import load

LEAST = '[site]\nme = "https://example.com/"\nrepo = "site.git"\n'


def write(folder: Path, text: str) -> Path:
    file = folder / "bridge.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_minimal_file_has_all_defaults(tmp_path: Path) -> None:
    settings = load(write(tmp_path, LEAST), {})
    assert settings.site.repo == tmp_path / "site.git"
    assert settings.content.path == "{category}/{published:%Y}/{published:%m}/{slug}.md"
    assert settings.server.port == 8080
    assert settings.indieauth.database == tmp_path / "indieauth.sqlite"


def test_the_state_is_beside_the_settings_and_never_inside_of_the_repo(tmp_path: Path) -> None:
    assert load(write(tmp_path, LEAST), {}).site.state == tmp_path / "state"
    elsewhere = load(write(tmp_path, LEAST + 'state = "/var/lib/bridge"\n'), {}).site.state
    assert elsewhere == Path("/var/lib/bridge")
    for inside in ("site.git", "site.git/state", "x/../site.git/state", f"{tmp_path}/site.git/x"):
        with pytest.raises(SettingsError, match=r"site\.state.*inside the repo.*beside it"):
            load(write(tmp_path, LEAST + f'state = "{inside}"\n'), {})


def test_the_pages_are_never_in_a_folder_with_what_is_private(tmp_path: Path) -> None:
    def output(folder: str | Path, more: str = "") -> str:
        return load(
            write(tmp_path, f'{LEAST}{more}[rebuild]\noutput = "{folder}"\n'), {}
        ).rebuild.output

    assert output("output") == f"{tmp_path}/output"
    assert output("../www") == f"{tmp_path}/../www"
    for private in (".", "..", tmp_path, "state", "site.git", "site.git/www", "x/../site.git"):
        with pytest.raises(SettingsError, match=r"rebuild\.output: .*nothing but the pages"):
            output(private)
    for home in (Path.home(), Path.home().parent, "/"):
        with pytest.raises(SettingsError, match=r"rebuild\.output: .*nothing but the pages"):
            output(home)
    for ours in ("state/keep", "state/site/checkout"):
        with pytest.raises(SettingsError, match=r"bridge itself uses in \[site\] state"):
            output(ours)
    assert output("state/output") == f"{tmp_path}/state/output"
    database = '[indieauth]\ndatabase = "www/indieauth.sqlite"\n'
    with pytest.raises(SettingsError, match=r"contains .*/www/indieauth\.sqlite"):
        output("www", database)


def test_a_tilde_is_the_home_folder_in_every_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/maren")
    text = """
        [site]
        me = "https://example.com/"
        repo = "~/site.git"
        state = "~/state"
        folders = ["~/themes"]
        [indieauth]
        database = "~/who.sqlite"
        [rebuild]
        output = "~/www"
        [[syndication.targets]]
        uid = "https://social.example/@maren"
        name = "Mastodon"
        token_file = "~/token"
    """
    found = load(write(tmp_path, text), {})
    token_file = found.syndication.targets[0].token_file
    site, pages = found.site, found.rebuild.output
    paths = [site.repo, site.state, *site.folders, found.indieauth.database, pages, token_file]
    names = ("site.git", "state", "themes", "who.sqlite", "www", "token")
    assert [str(path) for path in paths] == [f"/home/maren/{name}" for name in names]


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert load(write(tmp_path, f"\ufeff{LEAST}"), {}).site.me == "https://example.com/"


def test_the_sites_code_gets_the_environment_variables_that_are_named(tmp_path: Path) -> None:
    text = f'{LEAST}environment = {{ SITE_ENV = "production" }}\n'
    assert load(write(tmp_path, text), {}).site.environment == {"SITE_ENV": "production"}
    from_outside = {"BRIDGE_SITE__ENVIRONMENT": '{"A": "b"}'}
    assert load(write(tmp_path, LEAST), from_outside).site.environment == {"A": "b"}
    for wrong in ('"A=B" = "x"', '"" = "x"', '"1A" = "x"', 'A = "\\u0000"'):
        with pytest.raises(SettingsError, match=r"site\.environment.*letters, digits"):
            load(write(tmp_path, f"{LEAST}environment = {{ {wrong} }}\n"), {})


@pytest.mark.parametrize(
    ("settings", "content", "given", "folder"),
    [
        ("pelicanconf.py", "content", None, ""),
        ("src/pelicanconf.py", "src/content", None, "src"),
        ("a/b/pelicanconf.py", "a/b/content", None, "a/b"),
        ("conf/pelicanconf.py", "content", None, ""),
        ("src/pelicanconf.py", "src/content", ".", ""),
        ("conf/pelicanconf.py", "content", "./conf/", "conf"),
        (".site/pelicanconf.py", ".site/content", None, ".site"),
    ],
)
def test_pelican_is_run_where_the_owner_runs_it(
    tmp_path: Path, settings: str, content: str, given: str | None, folder: str
) -> None:
    run_in = "" if given is None else f'run_in = "{given}"\n'
    text = f'{LEAST}settings = "{settings}"\n{run_in}[content]\nfolder = "{content}"\n'
    assert load(write(tmp_path, text), {}).run_in == folder
    for outside in ("..", "/src", "src/../.."):
        with pytest.raises(
            SettingsError, match=r"run_in.*is outside of the repo.*'\.' for its root"
        ):
            load(write(tmp_path, f'{LEAST}run_in = "{outside}"\n'), {})


def test_what_is_laid_over_goes_before_the_file_and_the_environment_before_both(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, LEAST + '[server]\nport = 9000\nhost = "::1"\n')
    over: dict[str, dict[str, object]] = {
        "server": {"port": 1234},
        "site": {"me": "http://127.0.0.1:1234/"},
    }
    settings = load(file, {}, over=over)
    assert (settings.server.port, settings.server.host) == (1234, "::1")
    assert settings.site.me == "http://127.0.0.1:1234/"
    assert load(file, {"BRIDGE_SERVER__PORT": "5678"}, over=over).server.port == 5678


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("bearer:xyzzy\n", encoding="utf-8")
    settings = load(
        write(tmp_path, LEAST + "[server]\nport = 9000\n"),
        {
            "BRIDGE_SERVER__PORT": "0",
            "BRIDGE_AUTH__STRICT": "true",
            "BRIDGE_SITE__ALIASES": '["https://www.example.com/"]',
            "BRIDGE_AUTH__INTROSPECTION_AUTH_FILE": str(secret),
        },
    )
    assert settings.server.port == 0
    assert settings.auth.strict is True
    assert settings.site.aliases == ("https://www.example.com/",)
    assert settings.auth.introspection_auth == "bearer:xyzzy"


@pytest.mark.parametrize(
    ("said", "meant"), [(".", ""), ("./", ""), ("posts/", "posts"), ("./a/b", "a/b")]
)
def test_posts_may_be_at_the_root_of_the_repo(tmp_path: Path, said: str, meant: str) -> None:
    text = LEAST + f'[content]\nfolder = "{said}"\n'
    assert load(write(tmp_path, text), {}).content.folder == meant


def test_the_environment_alone_is_enough() -> None:
    variables = {"BRIDGE_SITE__ME": "https://example.com/", "BRIDGE_SITE__REPO": "/srv/site.git"}
    assert load(None, variables).site.repo == Path("/srv/site.git")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["site", "missing"]),
        ('[site]\nrepo = "x"', ["site.me", "missing"]),
        ('[site]\nme = "example.com"\nrepo = "x"', ["site.me", "example.com", "https://"]),
        (LEAST + "[server]\nprot = 1", ["server.prot", "not a setting", "'port'"]),
        (LEAST + '[server]\nport = "x"', ["server.port", "'x'", "a whole number"]),
        (LEAST + "[server]\nport = 70000", ["server.port", "70000", "65535"]),
        (LEAST + '[server]\nhost = "0.0.0.0"', ["server.public_url", "URL"]),
        (
            LEAST + '[server]\npublic_url = "https://me.example/bridge/"',
            ["server.public_url", "a path", "Write 'https://me.example/'"],
        ),
        (LEAST + '[rebuild]\nmode = "fast"', ["rebuild.mode", "'fast'", "resident, command"]),
        (LEAST + '[rebuild]\nmode = "webhook"', ["rebuild.webhook", "empty"]),
        (LEAST + '[content]\nfolder = "/etc"', ["content.folder", "/etc", "relative"]),
        (LEAST + '[content]\nfolder = ""', ["content.folder", "outside of its folder"]),
        (LEAST + '[media]\nfolder = "../x"', ["media.folder", "../x"]),
        (LEAST + '[media]\nfolder = "."', ["media.folder", "'.'"]),
        (LEAST + '[publish]\nauthor = "me"', ["publish.author", "Name <mail@host>"]),
        (LEAST + "[site", ["TOML"]),
    ],
)
def test_an_invalid_setting_is_reported_with_its_remedy(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load(file, {})
    for part in [str(file), *parts]:
        assert part in str(caught.value)


def test_an_invalid_environment_variable_is_reported_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"BRIDGE_SERVER__PORT: server\.port: 'x'"):
        load(write(tmp_path, LEAST), {"BRIDGE_SERVER__PORT": "x"})
    with pytest.raises(SettingsError, match=r"BRIDGE_SEVER__PORT: sever: .*'server'"):
        load(write(tmp_path, LEAST), {"BRIDGE_SEVER__PORT": "1"})
    with pytest.raises(SettingsError, match=r"CATEGORIES: .*'x' is not JSON. Write a JSON object"):
        load(write(tmp_path, LEAST), {"BRIDGE_CONTENT__CATEGORIES": "x"})


def test_a_variable_with_one_underscore_is_not_ignored(tmp_path: Path) -> None:
    for name, meant in (
        ("BRIDGE_SERVER_PORT", "BRIDGE_SERVER__PORT"),
        ("BRIDGE_SERVER_PUBLIC_URL", "BRIDGE_SERVER__PUBLIC_URL"),
        ("BRIDGE_PUBLISH_TOKEN_FILE", "BRIDGE_PUBLISH__TOKEN_FILE"),
    ):
        with pytest.raises(SettingsError, match=f"^{name}: .*{meant}$"):
            load(write(tmp_path, LEAST), {name: "/x"})
    load(write(tmp_path, LEAST), {"BRIDGE_SERVER_ROOM": "2", "BRIDGE_SOAK": "1", "BRIDGE_": ""})


def test_a_folder_is_not_a_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"this is a folder. Name .*-c {tmp_path}/bridge.toml"):
        load(tmp_path, {})


def test_sign_in_links_need_an_address(tmp_path: Path) -> None:
    smtp = '[indieauth]\nsmtp_host = "mail.example.com"\n'
    with pytest.raises(SettingsError, match=r"indieauth\.email: is empty, and smtp_host is set"):
        load(write(tmp_path, LEAST + smtp), {})
    assert load(write(tmp_path, LEAST + smtp + 'email = "a@example.com"\n'), {}).indieauth.email


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        ('[auth]\nintrospection_auth = "hunter2"', "bearer:SECRET"),
        ('[rebuild]\nwebhook = "hooks.example/hunter2"', "absolute URL"),
        ('[rebuild]\nwebhook_secret = ["hunter2"]', "a text in quotes"),
        ('[publish]\ntoken = ["hunter2"]', "a text in quotes"),
        ('[publish]\nhook_secret = ["hunter2"]', "a text in quotes"),
        ('[indieauth]\nsmtp_password = ["hunter2"]', "a text in quotes"),
    ],
)
def test_an_invalid_secret_is_not_shown(tmp_path: Path, setting: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, LEAST + setting), {})
    assert "hunter2" not in str(caught.value)
    assert remedy in str(caught.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="micropub-bridge init"):
        load(tmp_path / "bridge.toml", {})


def test_webmentions_are_off_without_their_section_and_on_with_it(tmp_path: Path) -> None:
    without = load(write(tmp_path, LEAST), {}).webmention
    assert (without.send, without.receive) == (False, False)
    empty = load(write(tmp_path, LEAST + "[webmention]\n"), {}).webmention
    assert (empty.send, empty.receive, empty.folder) == (True, True, "mentions")
    assert (empty.approve, empty.faces, empty.batch_seconds) == ("known", "store", 600)
    environment = {"BRIDGE_WEBMENTION__BATCH_SECONDS": "0", "BRIDGE_WEBMENTION__SEND": "false"}
    told = load(write(tmp_path, LEAST + "[webmention]\n"), environment).webmention
    assert (told.send, told.receive, told.batch_seconds) == (False, True, 0)
    with pytest.raises(SettingsError, match=r"webmention\.approve.*one of known, all, none"):
        load(write(tmp_path, LEAST + '[webmention]\napprove = "some"\n'), {})
    with pytest.raises(SettingsError, match=r"webmention\.folder.*is outside of its folder"):
        load(write(tmp_path, LEAST + '[webmention]\nfolder = "../x"\n'), {})


TARGET = """
[[syndication.targets]]
uid = "https://social.example/@you"
name = "Mastodon"
type = "mastodon"
"""


def test_a_syndication_target_has_every_default(tmp_path: Path) -> None:
    (target,) = load(write(tmp_path, LEAST + TARGET), {}).syndication.targets
    assert target.base == "https://social.example"
    assert (target.link, target.default, target.visibility) == ("if-cut", False, "public")
    assert (target.tags, target.edit, target.delete) == (False, True, True)
    assert (target.backfeed, target.likes) == ("replies", "count")


def test_token_files_are_relative_to_the_settings(tmp_path: Path) -> None:
    text = LEAST + TARGET + 'token_file = "secrets/mastodon"\n'
    (target,) = load(write(tmp_path, text), {}).syndication.targets
    assert target.token_file == str(tmp_path / "secrets/mastodon")


@pytest.mark.parametrize(
    ("uid", "handle", "base"),
    [
        ("https://bsky.app/profile/you.example", "you.example", "https://bsky.social"),
        ("https://bsky.app/profile/did:plc:abc", "did:plc:abc", "https://bsky.social"),
        ("@you.bsky.social", "you.bsky.social", "https://bsky.social"),
        ("http://127.0.0.1:2583/profile/you.test", "you.test", "http://127.0.0.1:2583"),
        ("https://bsky.app/", "", "https://bsky.social"),
    ],
)
def test_the_bluesky_account_is_taken_from_the_uid(uid: str, handle: str, base: str) -> None:
    target = Target(uid=uid, name="B", type="bluesky")
    assert (target.handle, target.base) == (handle, base)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('colour = "red"', r"targets\[0\]\.colour: is not a setting.*Known keys: uid, name"),
        ("tag = true", r"targets\[0\]\.tag: is not a setting.*Did you mean 'tags'"),
        (
            'link = "often"',
            r"targets\[0\]\.link: 'often' is not valid.*if-cut, always, never",
        ),
        ('default = "yes"', r"targets\[0\]\.default: 'yes' is not valid"),
        ('server = "social.example"', r"targets\[0\]\.server: 'social.example' cannot be used"),
        ('server = "http://social.example"', r"targets\[0\]\.server: .*https URL"),
        ('appview = "ftp://x"', r"targets\[0\]\.appview: 'ftp://x' cannot be used"),
        ('user = { nickname = "x" }', r"targets\[0\]\.user\.nickname: is not a setting"),
    ],
)
def test_an_invalid_target_is_reported(tmp_path: Path, line: str, words: str) -> None:
    file = write(tmp_path, LEAST + TARGET + line + "\n")
    with pytest.raises(SettingsError, match=words) as caught:
        load(file, {})
    assert caught.value.source == str(file)


def test_targets_come_from_the_environment_as_json(tmp_path: Path) -> None:
    name = "BRIDGE_SYNDICATION__TARGETS"
    given = (
        '[{"uid": "https://social.example/@you", "name": "M", "type": "mastodon", "tags": true}]'
    )
    (target,) = load(write(tmp_path, LEAST), {name: given}).syndication.targets
    assert target.tags
    for wrong, words in {
        '[{"uid": "u", "name": "n", "type": "myspace"}]': r"targets\[0\]\.type: 'myspace'",
        '[{"uid": "u"}]': r"targets\[0\]\.name: is missing",
        '[{"uid": "u", "name": "n", "x": 1}]': r"targets\[0\]\.x: is not a setting",
        '[{"uid": "u", "name": "n", "type": "mastodon"}]': r"targets\[0\]\.server: is missing",
        '[{"uid": "u", "name": "n", "type": "bluesky"}]': r"targets\[0\]\.uid: 'u' does not name",
        '[{"uid": "u", "name": "n"}, {"uid": "u", "name": "m"}]': r"targets\[1\]\.uid.*twice",
        "[": "is not JSON",
    }.items():
        with pytest.raises(SettingsError, match=words) as caught:
            load(write(tmp_path, LEAST), {name: wrong})
        assert caught.value.source == name


@pytest.mark.parametrize("mode", ["resident", "command"])
def test_a_confined_command_without_the_output_placeholder_is_refused(
    tmp_path: Path, mode: str
) -> None:
    text = f'{LEAST}[rebuild]\nmode = "{mode}"\ncommand = ["make", "publish"]\n'
    told = r"rebuild\.command.*contains no \{output\}.*OUTPUTDIR=\{output\}.*confined = false"
    with pytest.raises(SettingsError, match=told):
        load(write(tmp_path, text), {})
    # It could write its pages nowhere; unconfined it knows itself where they go.
    settings = load(write(tmp_path, text + "confined = false\n"), {})
    assert settings.rebuild.command == ("make", "publish")
    named = text.replace('"publish"', '"publish", "OUTPUTDIR={output}"')
    assert load(write(tmp_path, named), {}).rebuild.command[-1] == "OUTPUTDIR={output}"


def test_a_command_that_is_not_used_is_not_checked(tmp_path: Path) -> None:
    text = f'{LEAST}[rebuild]\nmode = "none"\ncommand = ["make"]\n'
    assert load(write(tmp_path, text), {}).rebuild.command == ("make",)
