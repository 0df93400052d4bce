"""What a notebook's page and the kernel say to each other, without a browser."""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import panel as pn
import pytest
from bokeh.document import Document
from bokeh.document.models import DocumentModelManager
from bokeh.models import Plot
from pyviz_comms import Comm, CommManager, JupyterComm

from helixnb import Session, dashboards
from helixnb.dashboards.chart import Chart, line
from helixnb.dashboards.drawing import ChartPane
from helixnb.dashboards.live import SessionView, live_chart
from helixnb.dashboards.stand_alone import UNSHOWN, on_ground, stand_alone
from helixnb.dashboards.turns import Turns, uninterrupted
from helixnb.iteration import initial, refinement
from tests.standins import (
    StandinParticles,
    standin_initial_state,
    standin_parameters,
    standin_step,
)

SOON_S = 10


class Outgoing(JupyterComm):
    """Way to a page that opens when the test says so."""

    def init(self) -> None:
        self._comm = self

    def send(self, *data: Any, **options: Any) -> None:
        self.sent = [*getattr(self, "sent", []), (data, options)]


class Knock:
    """Channel that a page opens, as the kernel makes one for each message of it."""

    def __init__(self, page: str) -> None:
        self.comm_id = page


class Channels(CommManager):
    server_comm, client_comm = Outgoing, Comm


class OpenedPage:
    """A cell's output, and the page that shows it after `open`."""

    def __init__(self, view: pn.viewable.Viewable) -> None:
        document, outgoing = Document(), Channels.get_server_comm()
        self.root = view.get_root(document, outgoing)
        view._render_mimebundle(self.root, document, outgoing)
        self.outgoing, self.incoming = view._comms[self.root.ref["id"]]

    def open(self, page: str = "a page") -> None:
        self.incoming._comm = Knock(page)
        self.incoming._on_open({})

    def titles(self) -> list[str]:
        plots = self.root.select({"type": Plot})
        return sorted(plot.title.text for plot in plots)


@pytest.fixture(autouse=True)
def channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pn.state, "_comm_manager", Channels)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(initial, "initial_state", standin_initial_state)
    monkeypatch.setattr(refinement, "step", standin_step())
    particles: Any = StandinParticles()
    return Session(particles, standin_parameters(), progress=False)


# --- turns ----------------------------------------------------------------------------


def test_work_waits_for_the_message_that_is_handled() -> None:
    turns, done = Turns(), threading.Event()
    with turns.handling():
        thread = threading.Thread(target=turns.soon, args=[done.set])
        thread.start()
        thread.join(SOON_S)
        assert not thread.is_alive()  # it left its work
        assert not done.is_set()
    assert done.is_set()


def test_a_message_waits_for_the_work_that_is_done() -> None:
    turns, order = Turns(), list[str]()
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(SOON_S)
        order.append("work")

    def handle() -> None:
        with turns.handling():
            order.append("message")

    threads = [
        threading.Thread(target=turns.soon, args=[work]),
        threading.Thread(target=handle),
    ]
    threads[0].start()
    begun.wait(SOON_S)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(SOON_S)
    assert order == ["work", "message"]


def test_a_handler_sees_its_own_work_done() -> None:
    turns, done = Turns(), list[int]()
    with turns.handling():
        turns.soon(lambda: done.append(1))
        with turns.handling():
            turns.soon(lambda: done.append(2))
        assert done == [1, 2]


def test_work_asked_for_by_work_comes_after_it() -> None:
    turns, order = Turns(), list[str]()

    def first() -> None:
        turns.soon(lambda: order.append("second"))
        order.append("first")

    turns.soon(first)
    assert order == ["first", "second"]


def test_many_threads_never_work_at_once_and_lose_nothing() -> None:
    turns, inside, done = Turns(), [0], [0]

    def work() -> None:
        inside[0] += 1
        assert inside[0] == 1
        done[0] += 1
        inside[0] -= 1

    def both() -> None:
        for _ in range(200):
            turns.soon(work)
            with turns.handling():
                work()

    threads = [threading.Thread(target=both) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)
    assert done == [6 * 400]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT interrupt, which a shell keeps from what it runs in the background."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_waits_until_what_is_sent_is_whole() -> None:
    sent = list[str]()

    def send() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            sent.append("whole")

    with pytest.raises(KeyboardInterrupt):
        send()
    assert sent == ["whole"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# --- pages ----------------------------------------------------------------------------


def test_a_page_that_opens_late_shows_what_was_computed_before(
    session: Session,
) -> None:
    page = OpenedPage(dashboards.fsc(session))
    session.run(2, background=False)
    assert not page.titles()  # it would not understand changes of what it lacks
    page.open()
    assert page.titles()[0].startswith("FSC of iteration 2")
    assert page.outgoing.sent
    session.step()
    assert page.titles()[0].startswith("FSC of iteration 3")


def test_a_page_opened_again_gets_everything_anew(session: Session) -> None:
    page = OpenedPage(dashboards.fsc(session.step()))
    page.open()
    session.step()
    known = {model.id for model in page.root.select({"type": Plot})}
    page.open("loaded again")
    anew = {model.id for model in page.root.select({"type": Plot})}
    assert not known & anew
    assert page.titles()[0].startswith("FSC of iteration 2")


def test_a_page_that_knocks_again_is_answered_once(session: Session) -> None:
    page = OpenedPage(dashboards.fsc(session.step()))
    page.open()
    assert page.outgoing.sent  # the page knocks until it hears something
    session.step()
    known, said = page.root.select({"type": Plot}), len(page.outgoing.sent)
    page.open()
    assert list(page.root.select({"type": Plot})) == list(known)
    assert len(page.outgoing.sent) == said


def test_a_comparison_waits_for_its_page_with_both_sessions(session: Session) -> None:
    branch = session.step().fork()
    page = OpenedPage(dashboards.compare(session, branch))
    before = page.titles()
    branch.step()
    assert page.titles() == before
    page.open()
    assert page.titles() != before


def test_no_message_is_handled_while_an_iteration_is_drawn(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Panel would drop what the drawing thread has not sent yet."""
    order, threads = list[str](), list[threading.Thread]()
    view = dashboards.controls(session.step())
    monkeypatch.setattr(view, "_on_msg", lambda *_: order.append("handled"))
    page = OpenedPage(view)
    page.open()
    page.open("loaded again")  # takes turns once
    follow = SessionView(session)

    def draw(_: Any) -> None:
        thread = threading.Thread(target=page.incoming._on_msg, args=[{}])
        thread.start()
        thread.join(0.1)
        threads.append(thread)
        order.append("drawn")

    follow.param.watch(draw, "results")
    session.step()
    threads[0].join(SOON_S)
    assert order == ["drawn", "handled"]


def test_a_file_or_a_served_page_needs_no_turn(session: Session) -> None:
    follow = SessionView(session)
    ground = on_ground(follow, pn.pane.HTML("text"))
    ground.get_root(Document())
    assert not follow.page.is_awaited


# --- views by themselves --------------------------------------------------------------


@stand_alone()
def doubtful(follow: SessionView) -> pn.viewable.Viewable:
    """Draw the second iteration and the fourth."""

    def draw(session: Session) -> Chart:
        if session.iteration in (0, 1, 3):
            raise ZeroDivisionError(f"iteration {session.iteration} is <odd>")
        return Chart([line([1, 2], [3, 4])], f"drawn {session.iteration}")

    return live_chart(follow, draw)


@pytest.mark.parametrize("shown_before_the_first_step", [True, False])
def test_a_view_alone_says_why_it_cannot_be_drawn_and_recovers(
    session: Session, *, shown_before_the_first_step: bool
) -> None:
    if not shown_before_the_first_step:
        session.step()
    ground = doubtful(session)

    def said() -> str:
        return " ".join(str(pane.object) for pane in ground.select(pn.pane.HTML))

    def titles() -> list[str]:
        return [pane.object.title for pane in ground.select(ChartPane)]

    if shown_before_the_first_step:
        assert "Draw the second iteration and the fourth. Shown here after" in said()
        session.step()
    assert "Error: iteration 1 is &lt;odd&gt;" in said()
    assert UNSHOWN in said()
    assert not titles()
    session.step()
    assert titles() == ["drawn 2"]
    assert "Error" not in said()
    session.step()
    assert titles() == ["drawn 2"]  # the last that could be drawn
    assert "Error: iteration 3" in said()
    assert session.error is None
    session.step()
    assert titles() == ["drawn 4"]
    assert "Error" not in said()


# --- what is sent ---------------------------------------------------------------------


def test_an_iteration_is_sent_as_one_message(session: Session) -> None:
    session.run(2, background=False)
    page = OpenedPage(session.dashboard().__panel__())
    page.open()
    before = len(page.outgoing.sent)
    session.step()
    sent = [data[0] for data, _ in page.outgoing.sent[before:] if data]
    headers = [text for text in sent if "PATCH-DOC" in str(text)]
    # One as it begins, one for its progress, one for its results, one as it ends.
    assert len(headers) <= 4
    assert page.titles()[0].startswith("FSC of iteration 3")


def test_a_page_is_looked_through_a_few_times_not_once_for_each_part(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.run(2, background=False)
    monkeypatch.setattr(pn.config, "inline", True)
    monkeypatch.setattr(pn.extension, "_loaded", True)
    looked = list[object]()
    recompute = DocumentModelManager.recompute

    def counted(self: DocumentModelManager) -> None:
        looked.append(self)
        recompute(self)

    monkeypatch.setattr(DocumentModelManager, "recompute", counted)
    session.dashboard()._repr_mimebundle_()
    assert 0 < len(looked) < 10
