"""Who may see the served dashboard, and that it gives away nothing else."""

import asyncio
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

from helixnb import Session
from helixnb.cli import main
from helixnb.errors import InputError
from helixnb.serving import COOKIE, Access, access, is_loopback, make_server
from tests.standins import StandinParticles, standin_parameters

TOKEN = "a-token-for-these-tests"
SECRET = "what nobody may read"


@contextmanager
def served(who: Access) -> Iterator[str]:
    """Serve a session in a thread and yield its address."""
    particles: Any = StandinParticles()
    session = Session(particles, standin_parameters(), progress=False)
    started: dict[str, Any] = {}

    def work() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        server = make_server(session, who)
        server.start()
        started["loop"] = server.io_loop
        server.io_loop.start()
        server.stop()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while "loop" not in started:
        assert time.monotonic() < end
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{who.port}"
    finally:
        started["loop"].add_callback(started["loop"].stop)
        thread.join(10)


@pytest.fixture(scope="module")
def here() -> Iterator[str]:
    """Page that this machine may open without a token."""
    with served(access(port=0)) as url:
        yield url


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """Page that asks for a token."""
    with served(access(port=0, token=TOKEN)) as url:
        yield url


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


def visit(
    url: str, data: bytes | None = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of a page; redirects are not followed."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, named)
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=30) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def test_this_machine_may_look(here: str) -> None:
    status, text, _ = visit(here)
    assert status == 200
    assert "helixnb" in text


def test_a_name_that_was_made_to_point_here_is_refused(here: str) -> None:
    port = here.rsplit(":", 1)[1]
    assert visit(here, Host=f"evil.example:{port}")[0] == 403
    assert visit(here, Host=f"localhost:{port}")[0] == 200


def test_pages_of_other_sites_are_refused(here: str) -> None:
    assert visit(here, Origin="http://evil.example")[0] == 403
    assert visit(here, Origin=here)[0] == 200


def _open_socket(url: str, **headers: str) -> None:
    address = url.replace("http", "ws") + "/ws"
    request = HTTPRequest(address, headers=headers)

    async def connect() -> None:
        await websocket_connect(request, subprotocols=["bokeh", "x"])

    IOLoop(make_current=False).run_sync(connect, timeout=20)


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_sockets_of_other_sites_are_refused(here: str, origin: str) -> None:
    with pytest.raises(HTTPClientError) as refused:
        _open_socket(here, Origin=origin)
    assert refused.value.code == 403


def test_sockets_need_the_token_too(guarded: str) -> None:
    with pytest.raises(HTTPClientError) as refused:
        _open_socket(guarded, Origin=guarded)
    assert refused.value.code in (302, 403)


def test_without_the_token_there_is_only_the_login(guarded: str) -> None:
    for path in ("/", "/?token=wrong-wrong-wrong-wrong"):
        status, text, headers = visit(guarded + path)
        assert status == 302
        assert "login" in headers["Location"]
        assert "segments" not in text
    status, text, headers = visit(guarded + "/login", b"token=wrong")
    assert status == 403
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize("way", ["form", "address"])
def test_the_token_lets_in_and_a_cookie_remembers(guarded: str, way: str) -> None:
    if way == "form":
        status, _, headers = visit(guarded + "/login", f"token={TOKEN}".encode())
        assert status == 302
    else:
        status, _, headers = visit(f"{guarded}/?token={TOKEN}")
        assert status == 200
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    status, text, _ = visit(guarded, Cookie=cookie.split(";")[0])
    assert status == 200
    assert cookie.split(";")[0].removeprefix(f"{COOKIE}=") not in text


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/static/../../../../../../etc/passwd",
        "/static/extensions/panel/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/components/panel.io.server/DIST_DIR/../../../../etc/passwd",
        "/components/helixnb.serving/__file__/x",
        "/assets/x",
        "/admin",
        "/rest/session_info",
    ],
)
def test_nothing_else_is_served(here: str, path: str) -> None:
    status, text, _ = visit(here + path)
    assert status in (400, 403, 404)
    assert "root:" not in text


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File in the working folder of the server, where sessions and results lie."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "helixnb-session.npz"
    path.write_text(SECRET)
    return path


@pytest.mark.parametrize("before", ["/", "/static/", "/static/js/", "/autoload.js/"])
@pytest.mark.parametrize("up", ["", "../", "..%2f", "%2e%2e/", "..%252f", "..%5c"])
def test_no_file_can_be_read(here: str, secret: Path, before: str, up: str) -> None:
    for target in (secret.name, secret.as_posix(), secret.as_uri()):
        status, text, _ = visit(f"{here}{before}{12 * up}{target}")
        assert status in (400, 403, 404), target
        assert SECRET not in text


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/helixnb-session.npz", "/static/x", "/upload"])
def test_no_file_can_be_written(
    here: str, secret: Path, method: str, path: str
) -> None:
    request = urllib.request.Request(here + path, b"changed", method=method)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code in (403, 404, 405)
    assert secret.read_text() == SECRET
    assert [other.name for other in secret.parent.iterdir()] == [secret.name]


def test_off_this_machine_there_is_always_a_token() -> None:
    assert access().token is None
    assert access(token=TOKEN).token == TOKEN
    for address in ("0.0.0.0", "192.168.0.7", "::", "lab.example"):
        who = access(address)
        assert who.token is not None
        assert len(who.token) >= 24
        assert who.token in who.url
    assert access("192.168.0.7", 80).origins[0] == "192.168.0.7:80"


def test_loopback_is_told_from_other_addresses() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.0.1", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "lab.example")))


@pytest.mark.parametrize("origin", ["*", "lab", "http://lab:80", "*:80", "lab:x"])
def test_origins_are_host_and_port(origin: str) -> None:
    with pytest.raises(InputError, match="HOST:PORT"):
        access(origins=[origin])


def test_short_tokens_and_impossible_ports_are_refused() -> None:
    with pytest.raises(InputError, match="at least 16"):
        access(token="secret")
    with pytest.raises(InputError, match="between 0 and 65535"):
        access(port=70000)


def test_the_command_does_not_overwrite_another_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "helixnb-session.npz").touch()
    command = ["serve", "particles.star", "--twist", "1", "--rise", "2", "--port", "0"]
    assert main(command) == 2
    assert "go on with that session" in capsys.readouterr().err
