"""Results that take a moment: what is shown before they are there."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from helixnb.dashboards.later import COMPUTING, Later
from helixnb.dashboards.live import SessionView

TIMEOUT_S = 10


class Shown:
    """A session whose state is of no interest."""

    state = None
    running = False

    parameters = SimpleNamespace(twist_deg=None, rise_A=None)

    def on_change(self, _: Any) -> Callable[[], None]:
        return lambda: None


@pytest.fixture
def follow() -> SessionView:
    return SessionView(Shown())


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def test_a_view_by_itself_is_complete_at_once(follow: SessionView) -> None:
    later = Later(follow, lambda _: time.sleep(0.5) or "computed")
    assert (later.value, later.waiting) == ("computed", "")


def test_a_tab_opens_before_what_takes_long(follow: SessionView) -> None:
    follow.tab = "Symmetry"
    go_on = threading.Event()
    later = Later(follow, lambda _: go_on.wait(TIMEOUT_S))
    assert (later.value, later.waiting) == (None, COMPUTING)
    go_on.set()
    until(lambda: later.value)
    assert later.waiting == ""


def test_a_tab_waits_for_what_comes_soon(follow: SessionView) -> None:
    follow.tab = "Symmetry"
    assert Later(follow, lambda _: "computed").value == "computed"


def test_what_is_asked_for_last_is_shown_in_the_end(follow: SessionView) -> None:
    follow.tab = "Map"
    follow.param.add_parameter("azimuth", type(follow.param.tab)(default="0"))
    go_on = threading.Event()
    seen = []

    def compute(_: Any, azimuth: str) -> str:
        go_on.wait(TIMEOUT_S)
        return azimuth

    later = Later(follow, compute, azimuth=follow.param.azimuth)
    later.param.watch(lambda change: seen.append(change.new), "value")
    for azimuth in ("10", "20", "30"):
        follow.azimuth = azimuth
    go_on.set()
    until(lambda: later.value == "30")
    # Those in between were not computed.
    assert seen in (["0", "30"], ["30"])


def test_what_goes_wrong_is_said(follow: SessionView) -> None:
    def fail(_: Any) -> None:
        raise ValueError("no positions along filaments")

    later = Later(follow, fail)
    assert (later.value, later.waiting) == (None, "no positions along filaments")
