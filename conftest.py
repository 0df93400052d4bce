"""The code of the README and of the documentation is collected as tests.

Each page is a test file of its own and each of its code blocks a test, run in order and
with the names of the blocks before; `tests.pages` makes the folder they run in.
"""

import importlib
from collections.abc import Callable
from typing import Any

from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, SkipParser


def later(name: str) -> Callable[[Any], Any]:
    """Load `tests.pages` only for a page: it brings Panel, which takes seconds."""
    return lambda argument: getattr(importlib.import_module("tests.pages"), name)(
        argument
    )


pytest_collect_file = Sybil(
    parsers=[
        CodeBlockParser("python", later("run_code")),
        CodeBlockParser("sh", later("check_commands")),
        SkipParser(),
    ],
    patterns=["*.md", "docs/*.md", "docs/howto/*.md"],
    setup=later("enter"),
    teardown=later("leave"),
).pytest()
