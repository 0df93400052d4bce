"""The dashboard as a web page of its own, for one session and those who may see it.

The page can start computations and change parameters, so it answers on this machine
only unless told otherwise, and elsewhere only to who knows a token. Requests from pages
of other sites are refused by their origin. Nothing but the dashboard and the scripts of
its libraries is served: no folders, no uploads, no administration pages.
"""

from __future__ import annotations

import hmac
import html
import ipaddress
import logging
import secrets
import socket
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import panel as pn
from bokeh.server.auth_provider import AuthProvider
from tornado.web import HTTPError, RequestHandler

from helixnb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from helixnb.session import Session

log = logging.getLogger("helixnb")

LOOPBACK = "127.0.0.1"
COOKIE = "helixnb"
MIN_TOKEN = 16
TITLE = "helixnb"

_LOGIN = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<title>helixnb</title><style>
body {{ font: 16px system-ui, sans-serif; margin: 12vh auto; max-width: 24em; }}
input, button {{ font: inherit; padding: 6px 10px; }} p {{ color: #B3261E; }}
</style></head><body><h1>helixnb</h1><p>{message}</p>
<form method="post"><label>Token, printed where it was started:<br>
<input type="password" name="token" autofocus></label>
<button>Open</button></form></body></html>"""

_BODY_CSS = "html, body { margin: 0; min-height: 100vh; }"
_PAGE_CSS = """
:host { min-height: 100vh; box-sizing: border-box; border-radius: 0 !important; }
"""
"""For a dashboard that is all of a page: its ground reaches the end of the window."""


@dataclass(frozen=True)
class Access:
    """Who may see the page.

    Parameters
    ----------
    address : str
        Network address that is listened on.
    port : int
    token : str or None
        Asked for; None lets in everybody who reaches the address.
    origins : tuple of str
        HOST:PORT that the page may be opened as.
    """

    address: str
    port: int
    token: str | None
    origins: tuple[str, ...]

    @property
    def url(self) -> str:
        """Address to open, with the token if there is one."""
        query = f"/?token={self.token}" if self.token else "/"
        return f"http://{self.origins[0]}{query}"

    @property
    def pass_value(self) -> str:
        """What the cookie of somebody who knew the token holds."""
        return hmac.new((self.token or "").encode(), b"cookie", "sha256").hexdigest()


def access(
    address: str = LOOPBACK,
    port: int = 5006,
    *,
    token: str | None = None,
    origins: Sequence[str] = (),
) -> Access:
    """Settle who may see the page.

    Parameters
    ----------
    address : str
        Network address to listen on.
    port : int
        From 1 to 65535; 0 takes a free one.
    token : str, optional
        To be asked for. Off this machine one is made if none is given.
    origins : sequence of str
        More HOST:PORT that the page may be opened as, such as a proxy's.

    Returns
    -------
    Access

    Raises
    ------
    InputError
        A port or origin that cannot be, or a token too short to be one.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"The port must be between 0 and 65535, got {port}.")
    if port == 0:
        with socket.socket() as probe:
            probe.bind((address, 0))
            port = int(probe.getsockname()[1])
    if token is not None and len(token) < MIN_TOKEN:
        raise InputError(f"A token needs at least {MIN_TOKEN} characters.")
    own = {f"{LOOPBACK}:{port}": None, f"localhost:{port}": None}
    if not is_loopback(address):
        token = token or secrets.token_urlsafe(24)
        anywhere = ipaddress_or_none(address) in _ANYWHERE
        name = socket.gethostname() if anywhere else address
        own = {f"{name}:{port}".lower(): None, **own}
    for origin in origins:
        host, _, number = origin.rpartition(":")
        if not host or not number.isdigit() or "*" in origin or "/" in origin:
            raise InputError(f"An origin is HOST:PORT, such as lab:80, not {origin!r}.")
        own[origin.lower()] = None
    return Access(address, port, token, tuple(own))


_ANYWHERE = (ipaddress.ip_address("0.0.0.0"), ipaddress.ip_address("::"))


def ipaddress_or_none(
    address: str,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a numeric address, None for a name."""
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address.

    Parameters
    ----------
    address : str
        Numeric, or a name.

    Returns
    -------
    bool
    """
    number = ipaddress_or_none(address)
    return address == "localhost" if number is None else number.is_loopback


class Gate(AuthProvider):
    """Lets in requests that come from the page itself and know the token.

    Parameters
    ----------
    who : Access
    """

    def __init__(self, who: Access) -> None:
        self._who = who
        super().__init__()

    @property
    def get_user(self) -> Any:
        """Function that names who asks, or None to send them to the login page."""
        return self._user

    @property
    def get_user_async(self) -> None:
        """None: `get_user` does it."""
        return None

    @property
    def get_login_url(self) -> None:
        """None: `login_url` says it."""
        return None

    @property
    def login_url(self) -> str:
        """Where a token is asked for."""
        return "/login"

    @property
    def login_handler(self) -> type[RequestHandler]:
        """Page that asks for a token."""
        gate = self

        class Login(RequestHandler):
            """Ask for the token."""

            def get(self) -> None:
                """Show the form."""
                gate.check_origin(self)
                self.finish(_LOGIN.format(message=""))

            def post(self) -> None:
                """Let in who knows it."""
                gate.check_origin(self)
                if gate.knows(self.get_body_argument("token", "")):
                    gate.remember(self)
                    self.redirect("/")
                else:
                    self.set_status(HTTPStatus.FORBIDDEN)
                    self.finish(_LOGIN.format(message=html.escape("Wrong token.")))

        return Login

    @property
    def logout_url(self) -> None:
        """None: closing the browser forgets the cookie."""
        return None

    @property
    def logout_handler(self) -> None:
        """None: closing the browser forgets the cookie."""
        return None

    def knows(self, token: str) -> bool:
        """Whether a token is the right one.

        Parameters
        ----------
        token : str
            As given by a visitor.
        """
        expected = (self._who.token or "").encode()
        return bool(expected) and hmac.compare_digest(token.encode(), expected)

    def remember(self, handler: RequestHandler) -> None:
        """Give a visitor the cookie that lets them in again.

        Parameters
        ----------
        handler : tornado.web.RequestHandler
            Of the visit.
        """
        handler.set_cookie(
            COOKIE, self._who.pass_value, httponly=True, samesite="Strict", path="/"
        )

    def check_origin(self, handler: RequestHandler) -> None:
        """Refuse names and pages that the dashboard was not opened as.

        A foreign page could otherwise reach it through a visitor's browser, by a
        form or by a host name that is made to point here.

        Parameters
        ----------
        handler : tornado.web.RequestHandler
            Of the visit.

        Raises
        ------
        tornado.web.HTTPError
            403 for a host or origin that is not allowed.
        """
        request = handler.request
        origin = request.headers.get("Origin")
        named = [request.host] + ([urlparse(origin).netloc] if origin else [])
        if any(name.lower() not in self._who.origins for name in named):
            raise HTTPError(HTTPStatus.FORBIDDEN, "not opened as %s", named)

    def _user(self, handler: RequestHandler) -> str | None:
        self.check_origin(handler)
        if self._who.token is None:
            return "anybody on this machine"
        cookie = handler.get_cookie(COOKIE, "") or ""
        if hmac.compare_digest(cookie.encode(), self._who.pass_value.encode()):
            return "cookie"
        if self.knows(handler.get_query_argument("token", "")):
            self.remember(handler)
            return "token"
        return None


def make_server(session: Session, who: Access) -> Any:
    """Make the server of a session's dashboard; every visitor sees the same session.

    Parameters
    ----------
    session : Session
        What is shown.
    who : Access
        Who may see it.

    Returns
    -------
    panel.io.server.Server
        Not listening to events before its ``io_loop`` is started.
    """
    pn.extension(inline=True)
    pn.config.raw_css = [_BODY_CSS]

    def page() -> Any:
        shown = session.dashboard().__panel__()
        shown.stylesheets = [_PAGE_CSS]
        return shown

    return pn.io.server.get_server(
        {"/": page},
        title=TITLE,
        address=who.address,
        port=who.port,
        websocket_origin=list(who.origins),
        auth_provider=Gate(who),
        exclude_cookies=[COOKIE],
        exclude_headers=["Cookie", "Authorization"],
        show=False,
        start=False,
    )


def serve(session: Session, who: Access) -> None:
    """Serve a session's dashboard until interrupted.

    Parameters
    ----------
    session : Session
        What is shown.
    who : Access
        Who may see it.

    Raises
    ------
    InputError
        If the address or port cannot be listened on.
    """
    try:
        server = make_server(session, who)
    except OSError as error:
        raise InputError(
            f"Cannot listen on {who.address}:{who.port} ({error}). Give another --port."
        ) from error
    log.info("Dashboard at %s", who.url)
    if who.token is not None:
        log.info(
            "Whoever has this address may compute here; connections are not "
            "encrypted, so prefer an SSH tunnel over an open port."
        )
    server.start()
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        log.info("Stopped")
    finally:
        session.pause()
        server.stop()
