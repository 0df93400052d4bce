"""Feed mutated files to every reader for a given time, and keep what breaks one.

    python benchmarks/fuzz_readers.py --minutes 60 --seed 1 --out /tmp/fuzz

A reader may return or raise InputError. Anything else (another error, five seconds of
computing, more memory than the limit) is kept under OUT/<target>/, and counts are
written to OUT/counts.json after every round. Move what was kept to
tests/data/fuzz/<target>/ once it is fixed: the suite replays it.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import resource
import signal
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings

from helixnb.errors import InputError
from tests.fuzzing import TARGETS, Target, inputs

SECONDS = 5
MEMORY_BYTES = 4 * 2**30
ROUND = 200


class TooLongError(BaseException):
    """A reader that does not come back; no `except Exception` may catch it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz"))
    parser.add_argument("--targets", nargs="*", default=list(TARGETS))
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGPROF, _too_long)
    warnings.simplefilter("ignore")
    counts: dict[str, collections.Counter[str]] = {
        name: collections.Counter() for name in args.targets
    }
    seconds: collections.Counter[str] = collections.Counter()
    start, rounds = time.monotonic(), 0
    while time.monotonic() - start < 60 * args.minutes:
        for name in args.targets:
            began = time.monotonic()
            _round(TARGETS[name], args.seed * 10**6 + rounds, args.out, counts[name])
            seconds[name] += time.monotonic() - began  # type: ignore[assignment]
        rounds += 1
        _report(args, counts, seconds, time.monotonic() - start)


def _too_long(*_: Any) -> None:
    raise TooLongError


def _round(
    target: Target, number: int, out: Path, count: collections.Counter[str]
) -> None:
    """Try a number of inputs on one reader."""

    @seed(number)
    @settings(
        max_examples=ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(target.name))
    def attack(data: bytes) -> None:
        count[_tried(target, data, out)] += 1

    attack()


def _tried(target: Target, data: bytes, out: Path) -> str:
    """Outcome of one input: ``read``, ``refused`` or ``broken``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{target.suffix}"
        path.write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            target.read(path)
        except InputError:
            return "refused"
        except KeyboardInterrupt:
            raise
        except BaseException:
            signal.setitimer(signal.ITIMER_PROF, 0)
            _keep(target, data, out)
            return "broken"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return "read"


def _keep(target: Target, data: bytes, out: Path) -> None:
    """Keep an input, once for each place that it breaks."""
    frames = [line for line in traceback.format_exc().splitlines() if "File" in line]
    kind = traceback.format_exc().splitlines()[-1].split(":")[0]
    where = hashlib.sha256("".join([kind, *frames[-2:]]).encode()).hexdigest()[:12]
    folder = out / target.name
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{where}{target.suffix}"
    if not kept.exists() or len(data) < kept.stat().st_size:
        kept.write_bytes(data)
        kept.with_suffix(".txt").write_text(traceback.format_exc())


def _report(
    args: argparse.Namespace,
    counts: dict[str, collections.Counter[str]],
    seconds: collections.Counter[str],
    elapsed_s: float,
) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    summary = {
        "minutes": round(elapsed_s / 60, 2),
        "seed": args.seed,
        "inputs": sum(sum(count.values()) for count in counts.values()),
        "targets": {
            name: {**count, "seconds": round(seconds[name], 1)}
            for name, count in counts.items()
        },
    }
    (args.out / "counts.json").write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
