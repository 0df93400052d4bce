"""Independent items worked on by a few threads, with results in order.

Results come in the order of the items whatever the number of threads, so that sums over
them are reproducible, and only a few items are held at a time.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from typing import TypeVar

from helixnb.errors import InputError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_order(
    threads: Executor,
    ahead: int,
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    halve: Callable[[_Item], list[_Item]] | None = None,
    too_large: type[Exception] = MemoryError,
    recover: Callable[[], None] = lambda: None,
) -> Iterator[_Result]:
    """Apply a function to items in threads, and to halves of those that do not fit.

    Parameters
    ----------
    threads : Executor
        Where the function runs.
    ahead : int
        Items begun before the first result is asked for, and one more.
    function : callable
        Takes one item.
    items : iterable
        Taken only a few ahead of the results.
    halve : callable, optional
        Splits an item in two, or returns it alone where that is not possible; it is
        then tried once more, when nothing else takes memory.
    too_large : type of Exception
        What the function raises where an item takes more memory than there is.
    recover : callable
        Called before its halves are tried, when nothing else is at work.

    Yields
    ------
    object
        `function(item)` for each item, or for each part of it.

    Raises
    ------
    InputError
        For an item that does not fit and cannot be split.
    """

    def tried(future: Future[_Result]) -> list[_Result] | None:
        """Get the result of an item, in a list; None where it did not fit."""
        try:
            return [future.result()]
        except too_large as error:
            # Its frames hold the memory that is to be tried again.
            traceback.clear_frames(error.__traceback__)
            return None

    def parts(item: _Item) -> Iterator[_Result]:
        """Yield the results of an item that did not fit."""
        halves = [item] if halve is None else halve(item)
        for half in halves:
            future = threads.submit(function, half)
            found = tried(future)
            if found is not None:
                yield from found
            elif len(halves) < 2:
                raise InputError(
                    "the memory of the device does not hold one filament at this "
                    f"resolution ({str(future.exception()) or 'out of memory'}). Use "
                    "device='cpu', or a lower resolution."
                )
            else:
                recover()
                yield from parts(half)

    def settled(item: _Item, future: Future[_Result]) -> Iterator[_Result]:
        """Yield the result of an item, or of its parts."""
        found = tried(future)
        if found is not None:
            yield from found
            return
        # What else is at work holds memory; its own results are kept.
        for _, other in pending:
            error = other.exception()
            traceback.clear_frames(error.__traceback__ if error else None)
        recover()
        yield from parts(item)

    pending: deque[tuple[_Item, Future[_Result]]] = deque()
    try:
        for item in items:
            pending.append((item, threads.submit(function, item)))
            if len(pending) > ahead:
                yield from settled(*pending.popleft())
        while pending:
            yield from settled(*pending.popleft())
    finally:
        # After an error or an interrupt nothing goes on unseen.
        wait([future for _, future in pending if not future.cancel()])
