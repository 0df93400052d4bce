"""What the libraries that read binary files raise when the content is damaged.

NumPy parses array headers as Python literals, zip archives have their own errors, and
lengths that a damaged header promises may not fit into memory. None of them is a bug of
this package, and each means the same to a user: the file is not what it should be.
"""

import tokenize
import zipfile
import zlib

DAMAGE: tuple[type[Exception], ...] = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OSError,
    OverflowError,
    MemoryError,
    NotImplementedError,  # a compression or encryption that zipfile does not know
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
