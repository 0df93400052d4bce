"""The code of the README and of the documentation is collected as tests.

Each page is a test file of its own and each of its code blocks a test, run in order and
with the names of the blocks before; `tests.pages` makes the folder they run in.
"""

from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from tests import pages

pytest_collect_file = Sybil(
    parsers=[
        CodeBlockParser("python", pages.run_code),
        CodeBlockParser("sh", pages.check_commands),
        SkipParser(),
    ],
    patterns=["*.md", "docs/*.md", "docs/howto/*.md"],
    setup=pages.enter,
    teardown=pages.leave,
).pytest()
