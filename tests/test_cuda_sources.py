"""What can be known of the CUDA backend from its text: it compiles, and names exist.

NVRTC, the compiler that CuPy uses, comes as a Python package and needs no GPU.
"""

from __future__ import annotations

import ast
import ctypes
import importlib.util
import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

import helixnb
from helixnb.backend.cuda.kernels import SOURCES, source
from tests.gpu.host_cuda import kernel_bodies
from tests.gpu.strict import check_call, cupy_names

PACKAGE = Path(helixnb.__file__).parent
ARCHITECTURES = (75, 80, 90, 100, 120)
OPTIONS = (b"--std=c++17", b"--device-as-default-execution-space")
"""Ours, and what CuPy adds to them."""


@lru_cache(maxsize=1)
def _nvrtc() -> ctypes.CDLL:
    """NVRTC of the package nvidia-cuda-nvrtc; skips where it is not installed."""
    found = importlib.util.find_spec("nvidia")
    folders = list(found.submodule_search_locations or ()) if found else []
    libraries = [p for f in folders for p in Path(f).rglob("libnvrtc.so*")]
    if not libraries:
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc")
    return ctypes.CDLL(str(libraries[0]))


def _compiled(text: str, architecture: int) -> tuple[int, str, bytes]:
    """NVRTC's status and log for one architecture, and its machine code."""
    nvrtc, program = _nvrtc(), ctypes.c_void_p()
    options = (*OPTIONS, f"--gpu-architecture=sm_{architecture}".encode())
    nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None
    )
    status = nvrtc.nvrtcCompileProgram(
        program, len(options), (ctypes.c_char_p * len(options))(*options)
    )
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    code = ctypes.create_string_buffer(0)
    if status == 0:
        nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
        code = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetCUBIN(program, code)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return status, log.value.decode(), code.raw


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_compile(architecture: int) -> None:
    status, log, _ = _compiled(source(), architecture)
    assert status == 0, log
    assert not log.strip("\0 \n")  # no warning either


def _registers(code: bytes) -> dict[str, int]:
    """Read the registers of a thread of each kernel: sections of an ELF file."""
    (table,) = struct.unpack_from("<Q", code, 0x28)
    size, n, names = struct.unpack_from("<HHH", code, 0x3A)
    sections = [
        struct.unpack_from("<IIQQQQIIQQ", code, table + i * size) for i in range(n)
    ]
    texts = code[sections[names][4] :]
    found = {s: texts[s[0] : texts.index(b"\0", s[0])].decode() for s in sections}
    return {
        name.removeprefix(".text."): section[7] >> 24
        for section, name in found.items()
        if name.startswith(".text.")
    }


@pytest.mark.parametrize("architecture", [75, 80])
def test_a_processor_is_filled_by_any_kernel(architecture: int) -> None:
    """Of 65,536 registers, for the 1,024 threads that the oldest ones hold."""
    registers = _registers(_compiled(source(), architecture)[2])
    assert registers.keys() == kernel_bodies().keys()
    assert 1024 * max(registers.values()) <= 65536
    assert min(registers.values()) > 4


def test_the_compiler_refuses_what_is_wrong() -> None:
    """Otherwise the test above would say nothing."""
    status, log, _ = _compiled(source().replace("expf(", "expff("), ARCHITECTURES[0])
    assert status != 0
    assert "expff" in log


def test_every_source_is_compiled_and_every_kernel_is_launched() -> None:
    assert set(SOURCES) == {p.name for p in (PACKAGE / "backend/cuda").glob("*.cu")}
    modules = (PACKAGE / "backend/cuda").glob("*.py")
    wrappers = "".join(module.read_text() for module in modules)
    launched = set(re.findall(r'(?:_each|_each_block)\(\s*"(\w+)"', wrappers))
    assert launched == set(kernel_bodies())


def _attributes(tree: ast.AST, root: str) -> Iterator[str]:
    """Names taken from a module that is called `root` in the code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            base = ast.unparse(node.value)
            if base == root or base.endswith(f".{root}"):
                yield node.attr


def _device_code() -> dict[Path, ast.Module]:
    """Modules that compute on arrays of a device."""
    paths = [*PACKAGE.glob("*.py"), *(PACKAGE / "core").glob("*.py")]
    paths += (PACKAGE / "backend").rglob("*.py")
    return {path: ast.parse(path.read_text()) for path in paths}


def _calls(tree: ast.AST, root: str) -> Iterator[tuple[str, ast.Call]]:
    """Find calls of functions of the module that the code calls `root`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = re.fullmatch(
                rf"(?:\w+\.)*{root}\.(\w+(?:\.at)?)", ast.unparse(node.func)
            )
            if called:
                yield called[1], node


def _refusal(path: str, call: ast.Call) -> str:
    """Why CuPy would refuse a call, by its parameters; empty if it would not."""
    if any(isinstance(a, ast.Starred) for a in call.args):
        return ""
    options = {keyword.arg: None for keyword in call.keywords if keyword.arg}
    try:
        check_call(path, [None] * len(call.args), options)
    except TypeError as error:
        return f"{error} in {ast.unparse(call)}"
    return ""


def test_every_array_function_exists_in_cupy() -> None:
    used = {name for t in _device_code().values() for name in _attributes(t, "xp")}
    assert len(used) > 30
    assert not {name for name in used if f"cupy.{name}" not in cupy_names()}


def test_array_functions_are_called_as_those_of_cupy_are() -> None:
    """Parameters that CuPy's functions lack: `where` of ufuncs, and others."""
    calls = [c for tree in _device_code().values() for c in _calls(tree, "xp")]
    assert len(calls) > 200
    known = [
        (f"cupy.ufunc.{name.partition('.')[2]}" if "." in name else f"cupy.{name}", c)
        for name, c in calls
    ]
    assert not [why for path, call in known if (why := _refusal(path, call))]
    bad = ast.parse("xp.log(a, where=b); xp.unique(a, return_inverse=True)")
    assert [bool(_refusal(f"cupy.{n}", c)) for n, c in _calls(bad, "xp")] == [
        True,
        False,
    ]


def test_every_fourier_transform_exists_in_cupy() -> None:
    sent = ast.parse((PACKAGE / "backend/fourier.py").read_text())
    makers = {"_transform", "_rearrangement"}
    names = {
        node.args[0].value
        for node in ast.walk(sent)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in makers
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(names) > 8
    assert not {n for n in names if f"cupyx.scipy.fft.{n}" not in cupy_names()}
    calls = [
        (name, call)
        for tree in _device_code().values()
        for name, call in _calls(tree, "fourier")
        if name in names
    ]
    for _, call in calls:  # a number of threads is not passed on
        call.keywords = [k for k in call.keywords if k.arg != "workers"]
    assert len(calls) > 20
    found = [_refusal(f"cupyx.scipy.fft.{name}", call) for name, call in calls]
    assert not any(found)


def test_every_image_function_exists_in_cupy() -> None:
    """Those of SciPy that masks are drawn with."""
    calls = [c for tree in _device_code().values() for c in _calls(tree, "ndi")]
    assert {name for name, _ in calls} >= {"label", "distance_transform_edt"}
    found = [_refusal(f"cupyx.scipy.ndimage.{name}", call) for name, call in calls]
    assert not any(found)


def test_what_the_device_asks_of_cupy_exists() -> None:
    tree = ast.parse((PACKAGE / "backend/cuda/device.py").read_text())
    dotted = {
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("cupy")
    }
    names = cupy_names()
    known = {name.rpartition(".")[0] for name in names}
    parts = {".".join(k.split(".")[:n]) for k in known for n in range(1, 5)}
    unknown = {name for name in dotted if name not in names and name not in parts}
    # Functions of a function's result are held to it by `fake_cupy`.
    assert not {name for name in unknown if "(" not in name}


def test_the_list_of_cupy_names_is_that_of_the_installed_cupy() -> None:
    """Where CuPy is installed; importing it needs no GPU."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    missing = {
        name.removeprefix("cupy.")
        for name in cupy_names()
        if name.startswith("cupy.") and not name.startswith("cupy.ndarray.")
    } - set(dir(cupy))
    used = {name for t in _device_code().values() for name in _attributes(t, "xp")}
    assert not used & missing
