"""CryoSPARC's `.cs` tables: both array formats in, the common one out.

A `.cs` file is a NumPy structured array, or since version 5 a stream of LZ4-compressed
columns with a JSON header and a heap of texts behind them. Neither can run code when
it is read. Columns live in several files, a job's own and its passthrough, which
`read_cs` joins by their `uid`.
"""

import io
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import lz4.block
import numpy as np
from numpy.typing import NDArray

from helixnb.errors import InputError
from helixnb.io.atomic import atomic_path
from helixnb.io.damage import DAMAGE

#: First bytes of the two formats that are read, and of one that no longer is.
NUMPY_MAGIC = b"\x93NUMPY"
STREAM_MAGIC = b"\x95CSDAT"
OLD_STREAM_MAGIC = b"\x94CSDAT"

_LONGEST_HEADER = 2**24
#: LZ4 makes at best 255 bytes out of one; a header that promises more is not true.
_LZ4_RATIO = 255

CsArray = NDArray[np.void]


def read_cs(path: Path, passthrough: Sequence[Path] = ()) -> CsArray:
    """Read a table and join the columns of its passthrough files.

    Parameters
    ----------
    path : Path
        `.cs` file of a job.
    passthrough : sequence of Path
        Files with more columns of the same items, in any order of rows.

    Returns
    -------
    structured ndarray, shape (n,)
        Rows in the order of `path`; texts are bytes.

    Raises
    ------
    InputError
        A file that is no table, or lacks items of `path`.
    """
    table = read_cs_array(path)
    for other in passthrough:
        table = _joined(path, table, other, read_cs_array(other))
    return table


def read_cs_array(path: Path) -> CsArray:
    """Read one `.cs` file of either format.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    structured ndarray, shape (n,)
        The table; texts are bytes.

    Raises
    ------
    InputError
        The file is damaged, or holds something else.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(NUMPY_MAGIC))
            if magic == NUMPY_MAGIC:
                file.seek(0)
                table = _read_numpy(file)
            elif magic == STREAM_MAGIC:
                table = _read_stream(file)
            else:
                raise ValueError("it starts like neither of CryoSPARC's two formats")
        return _with_bytes(path, table)
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"{path} could not be read as a CryoSPARC .cs table ({error}). Copy it "
            "again, or export the particles from CryoSPARC once more."
        ) from error


def _read_numpy(file: BinaryIO) -> CsArray:
    """Read the format of `numpy.save`, without pickled objects."""
    # NumPy sets aside what the header promises before it reads; the file's size says
    # whether that can be true.
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is not None:
        shape, _, dtype = read_header(file)
        promised = dtype.itemsize * int(np.prod(shape, dtype=object))
        if promised > size - file.tell():
            raise ValueError(
                f"it is truncated: {promised} bytes are promised, "
                f"{size - file.tell()} are there"
            )
    file.seek(0)
    table: CsArray = np.load(file, allow_pickle=False)
    if table.dtype.names is None or table.ndim != 1:
        raise ValueError("it holds a plain array without named columns")
    return table


def _read_stream(file: BinaryIO) -> CsArray:
    """Read the stream of compressed columns that follows the magic bytes."""
    size = file.seek(0, io.SEEK_END)
    file.seek(len(STREAM_MAGIC))
    header = json.loads(_piece(file, _LONGEST_HEADER))
    n, compressed = int(header["length"]), set(header["compressed_fields"])
    fields = [
        (str(name), str(kind), tuple(int(k) for k in (shape[0] if shape else ())))
        for name, kind, *shape in header["dtype"]
    ]
    # Texts are places in the heap while they are read.
    plain = np.dtype([(f, "<u8" if k[-1] == "O" else k, s) for f, k, s in fields])
    if plain.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    if not 0 <= n <= size * _LZ4_RATIO or plain.itemsize * n > size * _LZ4_RATIO:
        raise ValueError(f"its header promises {n} rows, more than it can hold")
    columns: dict[str, NDArray[Any]] = {}
    for name, _, _ in fields if n else []:
        piece = _piece(file, size)
        columns[name] = _column(piece, plain[name], n, name in compressed)
    heap = file.read()
    for name, kind, shape in fields:
        if not n:
            base = "S1" if kind[-1] == "O" else plain[name].base
            columns[name] = np.empty((0, *shape), base)
        elif kind[-1] == "O":
            columns[name] = _texts(columns[name], heap)
    return table_of(columns)


def _piece(file: BinaryIO, longest: int) -> bytes:
    """Read a length of four bytes and as many bytes as it says."""
    prefix = file.read(4)
    if len(prefix) < 4:
        raise EOFError("it is truncated")
    (length,) = struct.unpack("<I", prefix)
    if length > longest:
        raise ValueError("it is damaged: a piece is longer than the file")
    piece = file.read(length)
    if len(piece) < length:
        raise EOFError("it is truncated")
    return piece


def _column(
    piece: bytes, kind: np.dtype[Any], n: int, compressed: bool
) -> NDArray[Any]:
    """One column from its bytes."""
    wanted = kind.itemsize * n
    if compressed:
        try:
            piece = lz4.block.decompress(piece, uncompressed_size=wanted)
        except lz4.block.LZ4BlockError as error:
            raise ValueError(f"a column does not decompress: {error}") from error
    if len(piece) != wanted:
        raise ValueError(f"a column has {len(piece)} bytes instead of {wanted}")
    return np.frombuffer(piece, kind.base).reshape(n, *kind.shape)


def _texts(places: NDArray[Any], heap: bytes) -> NDArray[np.bytes_]:
    """Texts at places of the heap, each ended by a zero byte."""
    unique, index = np.unique(places, return_inverse=True)
    if unique.size and int(unique[-1]) >= max(len(heap), 1):
        raise ValueError("a text lies beyond the end")
    ends = [heap.find(b"\0", int(start)) for start in unique]
    pieces = [
        heap[int(start) : end if end >= 0 else len(heap)]
        for start, end in zip(unique, ends, strict=True)
    ]
    return np.array(pieces, dtype=np.bytes_)[index].reshape(places.shape)


def _with_bytes(path: Path, table: CsArray) -> CsArray:
    """Return the table with its texts as bytes, of which none is damaged."""
    names = table.dtype.names or ()
    if "uid" not in names:
        raise InputError(
            f"{path} has no column uid, so it is no CryoSPARC table. Its columns are "
            f"{', '.join(map(str, names[:10]))}. Give the .cs file of some "
            "job's particles."
        )
    return table_of(
        {
            name: np.char.encode(table[name], "utf-8")
            if table.dtype[name].kind == "U"
            else table[name]
            for name in names
        }
    )


def texts(path: Path, table: CsArray, column: str) -> NDArray[np.object_]:
    """Return a column of texts.

    Parameters
    ----------
    path : Path
        File, for messages.
    table : structured ndarray, shape (n,)
        The table.
    column : str
        Its column.

    Returns
    -------
    ndarray of str objects, shape (n,)
        The texts.

    Raises
    ------
    InputError
        The column holds no text.
    """
    values = table[column]
    if values.dtype.kind != "S" or values.ndim != 1:
        raise InputError(
            f"{path}: column {column} holds {values.dtype}, not texts. Export the "
            "particles from CryoSPARC again."
        )
    unique, index = np.unique(values, return_inverse=True)
    decoded = np.array([v.decode("utf-8", "replace") for v in unique], dtype=object)
    return decoded[index]


def table_of(columns: Mapping[str, NDArray[Any]]) -> CsArray:
    """Return columns of equal length as one structured array.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n, ...)
        At least one.

    Returns
    -------
    structured ndarray, shape (n,)
        Fields in the order given.
    """
    kinds = [(name, v.dtype, v.shape[1:]) for name, v in columns.items()]
    result = np.empty(len(next(iter(columns.values()))), np.dtype(kinds))
    for name, values in columns.items():
        result[name] = values
    return result


def _joined(path: Path, table: CsArray, other_path: Path, other: CsArray) -> CsArray:
    """Return the table with the columns that only the other has, joined by uid."""
    new = [n for n in other.dtype.names or () if n not in (table.dtype.names or ())]
    order = np.argsort(other["uid"], kind="stable")
    sorted_uid = other["uid"][order]
    place = np.searchsorted(sorted_uid, table["uid"])
    found = place < len(sorted_uid)
    found[found] = sorted_uid[place[found]] == table["uid"][found]
    if not found.all():
        row = int(np.flatnonzero(~found)[0])
        raise InputError(
            f"{other_path} lacks {int((~found).sum())} of the {len(table)} particles "
            f"of {path} (the first is row {row + 1}, uid {table['uid'][row]}). Give "
            "the passthrough file of the same job."
        )
    rows = order[place]
    own = {name: table[name] for name in table.dtype.names or ()}
    return table_of(own | {name: other[name][rows] for name in new})


def write_cs(path: Path, table: CsArray) -> None:
    """Write a table as the NumPy array that every version of CryoSPARC reads.

    Parameters
    ----------
    path : Path
        Output file; replaced in one step if it exists.
    table : structured ndarray, shape (n,)
        The table, its texts as bytes.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, table, allow_pickle=False)
