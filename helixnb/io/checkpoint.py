"""Frozen data in one file: nested dataclasses as JSON, their arrays beside it.

The file is an ordinary ``.npz`` without pickled objects, so opening one runs no code
from it: classes are looked up by name, and only dataclasses of this package are made.
Values come back with their exact types, NumPy scalars included, because a float32
sum depends on whether its factor was a Python or a NumPy number, and a resumed
refinement must equal an uninterrupted one to the last bit.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from helixnb.errors import InputError
from helixnb.io.atomic import atomic_path
from helixnb.io.damage import DAMAGE

_PACKAGE = "helixnb."
_TREE = "tree"


def write_checkpoint(path: Path | str, value: Any) -> None:
    """Write a value, complete or not at all.

    Parameters
    ----------
    path : Path or str
        Output file; replaced if it exists.
    value : object
        Dataclasses of this package, dicts with text keys, tuples, lists, arrays,
        numbers, text, booleans and None, nested in any way.

    Raises
    ------
    TypeError
        If the value holds anything else.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    tree = json.dumps(_encode(value, arrays))
    arrays[_TREE] = np.frombuffer(tree.encode(), np.uint8)
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_checkpoint(path: Path | str) -> Any:
    """Read a value written by `write_checkpoint`.

    Parameters
    ----------
    path : Path or str
        File to read.

    Returns
    -------
    object
        Equal to what was written, types included.

    Raises
    ------
    InputError
        The file is missing, damaged, not a checkpoint, or from a version whose data
        had other fields.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"Checkpoint {path} does not exist (or is a folder). Give a file that "
            "--checkpoint or Session.save() wrote."
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        tree = json.loads(arrays.pop(_TREE).tobytes())
    except DAMAGE as error:
        raise InputError(
            f"{path} could not be read as a checkpoint: it is damaged or another kind "
            "of file. Give one written by Session.save(); particles are read by "
            "Session.from_file()."
        ) from error
    try:
        return _decode(tree, arrays)
    except (AttributeError, TypeError, ImportError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} was written by another version of helixnb, whose data had other "
            f"fields ({error}). Load it with the version that wrote it."
        ) from error


def _encode(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """Value as JSON; arrays are put aside under a number."""
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.hasobject:
            raise TypeError("An array of Python objects cannot be saved.")
        name = f"a{len(arrays)}"
        arrays[name] = np.asarray(value)
        return {"array" if isinstance(value, np.ndarray) else "scalar": name}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_encode(item, arrays) for item in value]}
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("A dict is saved only if its keys are text.")
        return {"dict": {key: _encode(item, arrays) for key, item in value.items()}}
    kind = type(value)
    if dataclasses.is_dataclass(kind) and kind.__module__.startswith(_PACKAGE):
        fields = {
            field.name: _encode(getattr(value, field.name), arrays)
            for field in dataclasses.fields(kind)
        }
        return {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": fields}
    raise TypeError(f"A {kind.__module__}.{kind.__qualname__} cannot be saved.")


def _decode(tree: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """Value of a JSON tree made by `_encode`."""
    if not isinstance(tree, dict):
        return tree
    if "class" in tree:
        fields = {n: _decode(item, arrays) for n, item in tree["fields"].items()}
        return _dataclass(tree["class"])(**fields)
    [(tag, content)] = tree.items()
    if tag == "array":
        return arrays[content]
    if tag == "scalar":
        return arrays[content][()]
    if tag == "dict":
        return {key: _decode(item, arrays) for key, item in content.items()}
    items = [_decode(item, arrays) for item in content]
    return tuple(items) if tag == "tuple" else items


def _dataclass(name: str) -> type[Any]:
    """Dataclass of this package by its full name."""
    module, _, qualified = name.partition(":")
    if not module.startswith(_PACKAGE):
        raise ValueError(f"it names {name}, which is not part of helixnb")
    kind = getattr(importlib.import_module(module), qualified)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise ValueError(f"it names {name}, which holds no data")
    return kind
