"""Interactive refinement: an object that owns parameters, states and history.

`Session` is what a notebook, a dashboard and the command line work with. Around it:
its editable parameters, the checks before any work, its progress, its history table,
its own file and how it describes itself.
"""

from helixnb.session.session import Session

__all__ = ["Session"]
