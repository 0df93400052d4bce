"""The one exception users meet when what they gave cannot be used.

Everything refused at the door (files, columns, parameters) raises `InputError`, so
that a notebook, the command line and the dashboard can show the message alone,
without a traceback, and still let programming errors through unchanged.
"""


class InputError(ValueError):
    """Input that cannot be used, or output that cannot be written.

    The message says what, where and what to do.
    """
