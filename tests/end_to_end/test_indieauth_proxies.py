"""The files in ``docs/proxies``, run unchanged in front of a real server, except for names,
ports, certificates and log files; and what ``docs/deploy.md`` shows for the site's own pages.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from stat import S_IMODE
from tempfile import TemporaryDirectory

import aiohttp
import pytest
from aiohttp import web
from indieauth_kit import listening
from process_kit import port_of_its_own
from yarl import URL

from pelican_indieauth.discovery.endpoints import Link
from pelican_indieauth.discovery.headers import write

DOCS = Path(__file__).parents[2] / "docs" / "proxies"
BODY = 3_000_000


def settle(text: str, folder: Path, https: int, http: int, upstream: str) -> str:
    """A file of ``docs/proxies``, adapted to this machine."""
    for old, new in (
        ("127.0.0.1:8080", upstream),
        ("bridge.example.com/fullchain.pem", "cert.pem"),
        ("bridge.example.com/privkey.pem", "key.pem"),
        ("/etc/letsencrypt/live", str(folder)),
        ("/var/log/nginx", str(folder)),
        ("/var/log/apache2", str(folder)),
        ("bridge.example.com", "localhost"),
    ):
        text = text.replace(old, new)
    for line in ("listen [::]:443 ssl http2;", "listen [::]:80;"):
        text = text.replace(line, "")
    for old, new in (
        ("listen 443", f"listen 127.0.0.1:{https}"),
        ("listen 80;", f"listen 127.0.0.1:{http};"),
        ("*:443", f"127.0.0.1:{https}"),
        ("*:80", f"127.0.0.1:{http}"),
        ("localhost {", f"https://localhost:{https} {{\n\ttls {folder}/cert.pem {folder}/key.pem"),
    ):
        text = text.replace(old, new)
    return text


def nginx(folder: Path, https: int, http: int, upstream: str) -> list[str]:
    site = settle((DOCS / "nginx.conf").read_text(), folder, https, http, upstream)
    as_root = "user root; " if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{as_root}daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ client_body_temp_path {folder}/body; proxy_temp_path {folder}/p;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"{site} }}\n"
    )
    return ["nginx", "-p", str(folder), "-e", "error.log", "-c", f"{folder}/nginx.conf"]


def caddy(folder: Path, https: int, http: int, upstream: str) -> list[str]:
    site = settle((DOCS / "Caddyfile").read_text(), folder, https, http, upstream)
    (folder / "Caddyfile").write_text(
        f"{{\n\tadmin off\n\thttp_port {http}\n\tdefault_bind 127.0.0.1\n}}\n{site}"
    )
    return ["caddy", "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]


def apache(folder: Path, https: int, http: int, upstream: str) -> list[str]:
    site = settle((DOCS / "apache.conf").read_text(), folder, https, http, upstream)
    modules = ("mpm_event", "ssl", "headers", "proxy", "proxy_http", "alias", "authz_core")
    loads = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in modules
    )
    (folder / "apache.conf").write_text(
        f"{loads}\nServerRoot {folder}\nPidFile {folder}/pid\nErrorLog {folder}/error.log\n"
        f"DefaultRuntimeDir {folder}\nServerName localhost\nUser www-data\nGroup www-data\n"
        f"Listen 127.0.0.1:{https}\nListen 127.0.0.1:{http}\n{site}"
    )
    return ["apache2", "-f", f"{folder}/apache.conf", "-DFOREGROUND"]


@pytest.fixture(
    params=[
        pytest.param(nginx, id="nginx", marks=pytest.mark.nginx),
        pytest.param(caddy, id="caddy", marks=pytest.mark.caddy),
        pytest.param(apache, id="apache", marks=pytest.mark.apache),
    ]
)
def start(request: pytest.FixtureRequest) -> Callable[[Path, int, int, str], list[str]]:
    make: Callable[[Path, int, int, str], list[str]] = request.param
    return make


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """A certificate for ``localhost``, and what a client needs to trust it."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1"]  # made at once, unlike one of RSA
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))


@asynccontextmanager
async def proxy(command: list[str], folder: Path, port: int) -> AsyncIterator[None]:
    """Run a proxy in the block; it must listen within ten seconds."""
    with (folder / "output.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
        )
        try:
            async with asyncio.timeout(300):
                while True:
                    assert process.returncode is None, (folder / "output.log").read_text()
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                    except OSError:
                        await asyncio.sleep(0.05)
                        continue
                    writer.close()
                    break
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def tell(request: web.Request) -> web.Response:
    """The request as received behind the proxy."""
    body = await request.read()
    return web.json_response(
        {
            "path": request.raw_path,
            "authorization": request.headers.getall("Authorization", []),
            "host": request.headers["Host"],
            "forwarded": request.headers.get("X-Forwarded-For"),
            "bytes": len(body),
            "type": request.headers.get("Content-Type"),
        },
        headers={"Location": "https://site.example/post", "WWW-Authenticate": "Bearer"},
        status=201 if body else 200,
    )


async def test_everything_that_the_bridge_needs_comes_through(
    tmp_path: Path,
    certificate: ssl.SSLContext,
    start: Callable[[Path, int, int, str], list[str]],
) -> None:
    tmp_path.chmod(0o755)
    https, http = port_of_its_own(), port_of_its_own()
    app = web.Application(client_max_size=300_000_000)
    app.router.add_route("*", "/{path:.*}", tell)
    async with listening(app) as upstream:
        command = start(tmp_path, https, http, upstream.removeprefix("http://"))
        async with proxy(command, tmp_path, https), aiohttp.ClientSession() as client:
            url = f"https://localhost:{https}"
            headers = {"Authorization": "Bearer passed-on", "X-Forwarded-For": "1.2.3.4"}
            async with client.post(
                f"{url}/micropub", data=BytesIO(b"x" * BODY), headers=headers, ssl=certificate
            ) as reply:
                seen = await reply.json()
                assert reply.status == 201
                assert reply.headers["Location"] == "https://site.example/post"
                assert reply.headers["WWW-Authenticate"] == "Bearer"
                assert "max-age" in reply.headers["Strict-Transport-Security"]
            assert seen["authorization"] == ["Bearer passed-on"]
            assert seen["bytes"] == BODY
            assert seen["host"].startswith("localhost")
            # The last address is the one that the proxy has seen itself.
            assert seen["forwarded"].split(",")[-1].strip() == "127.0.0.1"

            odd = "/auth?state=a%26b%23%2F%FF+c&redirect_uri=https%3A%2F%2Fapp.example%2F"
            async with client.get(URL(url + odd, encoded=True), ssl=certificate) as reply:
                assert (await reply.json())["path"] == odd
            async with client.get(
                f"http://localhost:{http}/x", allow_redirects=False, ssl=certificate
            ) as reply:
                assert reply.status in {301, 308}
                assert reply.headers["Location"].startswith("https://localhost")
    logs = "".join(path.read_text(errors="replace") for path in tmp_path.glob("*.log"))
    assert "state=" not in logs
    assert "passed-on" not in logs


OUTPUT = "/srv/bridge/output"


def settings_for_pages(server: str) -> str:
    """What ``docs/deploy.md`` shows for this server."""
    section = (DOCS.parent / "deploy.md").read_text().split("## Own server")[1].split("\n## ")[0]
    blocks = dict(zip(("nginx", "caddy", "apache"), section.split("```")[1::2], strict=True))
    block = blocks[server].removeprefix(server)
    assert OUTPUT in block
    return block


def nginx_pages(folder: Path, port: int, block: str) -> list[str]:
    block = block.replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    block = block.replace("error_page", f"include {folder}/output/indieauth.nginx.conf; error_page")
    folders = "".join(
        f"{name}_temp_path {folder}/{name}; "
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    as_root = "user root; " if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{as_root}daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {folders}\n{block} }}\n"
    )
    return ["nginx", "-p", str(folder), "-e", "error.log", "-c", f"{folder}/nginx.conf"]


def caddy_pages(folder: Path, port: int, block: str) -> list[str]:
    imported = f"import {folder}/output/indieauth.caddyfile"
    block = block.replace("example.com {", f"http://localhost:{port} {{\n{imported}")
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}}\n{block}")
    return ["caddy", "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]


def apache_pages(folder: Path, port: int, block: str) -> list[str]:
    modules = ("mpm_event", "headers", "alias", "dir", "mime", "authz_core")
    loads = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in modules
    )
    (folder / "apache.conf").write_text(
        f"{loads}\nServerRoot {folder}\nPidFile {folder}/pid\nErrorLog {folder}/error.log\n"
        f"DefaultRuntimeDir {folder}\nServerName localhost\nUser www-data\nGroup www-data\n"
        f"TypesConfig /etc/mime.types\nListen 127.0.0.1:{port}\n"
        + block.replace("*:443", f"*:{port}")
    )
    return ["apache2", "-f", f"{folder}/apache.conf", "-DFOREGROUND"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that Apache can read, which runs as another user where the tests run as root."""
    with TemporaryDirectory() as name:
        if os.geteuid() == 0:
            above = Path(name).parent
            above.chmod(S_IMODE(above.stat().st_mode) | 0o011)
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(
    ("server", "pages_of"),
    [
        pytest.param("nginx", nginx_pages, marks=pytest.mark.nginx),
        pytest.param("caddy", caddy_pages, marks=pytest.mark.caddy),
        pytest.param("apache", apache_pages, marks=pytest.mark.apache),
    ],
)
async def test_the_sites_own_pages_are_served_with_its_links_and_so_is_what_is_not_there(
    folder: Path, server: str, pages_of: Callable[[Path, int, str], list[str]]
) -> None:
    pages = folder / "output"
    pages.mkdir()
    (pages / "index.html").write_text("home")
    (pages / "404.html").write_text("not here")
    (pages / "gone.html").write_text("of a host without status codes")
    links = [Link("micropub", "https://b.example/m"), Link("webmention", "https://b.example/w")]
    write(pages, (".htaccess", "nginx", "caddy"), links, ["/gone.html"])
    port = port_of_its_own()
    block = settings_for_pages(server).replace(OUTPUT, str(pages))
    async with (
        proxy(pages_of(folder, port, block), folder, port),
        aiohttp.ClientSession() as client,
    ):
        for path, status, text in (
            ("/", 200, "home"),
            ("/nothing/", 404, "not here"),
            ("/gone.html", 410, "Gone"),
        ):
            async with client.get(
                f"http://127.0.0.1:{port}{path}", headers={"Host": f"localhost:{port}"}
            ) as reply:
                assert reply.status == status, path
                assert text in await reply.text(), path
                advertised = ", ".join(reply.headers.getall("Link", []))
                assert advertised.count("<https://b.example/m>") == 1, path
                assert advertised.count("<https://b.example/w>") == 1, path


def test_all_documents_name_the_same_folder_of_pages() -> None:
    """An owner who copies from two of them must not serve a folder that nothing builds into."""
    for document in DOCS.parent.rglob("*"):
        if document.suffix in {".md", ".conf", ".service", ""} and document.is_file():
            for line in document.read_text(errors="replace").splitlines():
                assert line.count("/output") == line.count(OUTPUT) or "/srv/" not in line, line
