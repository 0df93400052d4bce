"""What the package promises: public names, one version, a command, fitting pins."""

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import helixnb

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", helixnb.__all__)
def test_public_names_load(name: str) -> None:
    assert name in dir(helixnb)
    value = getattr(helixnb, name)
    assert name.startswith("__") or value.__name__ == name


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        _ = helixnb.Sesion


def test_views_are_found_without_importing_them() -> None:
    code = "import helixnb; print(helixnb.dashboards.fsc.__module__)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["helixnb.dashboards.views.fsc"]


def test_installed_version_is_the_one_in_the_source() -> None:
    assert importlib.metadata.version("helixnb") == helixnb.__version__


def test_citation_names_this_version() -> None:
    lines = (REPOSITORY / "CITATION.cff").read_text().splitlines()
    assert f"version: {helixnb.__version__}" in lines


def test_binder_pins_satisfy_the_dependencies() -> None:
    text = (REPOSITORY / "binder" / "requirements.txt").read_text()
    pins = dict(line.lower().split("==") for line in text.splitlines() if "==" in line)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    unmet = [
        wanted
        for wanted in project["dependencies"]
        if not (need := Requirement(wanted)).specifier.contains(
            pins.get(need.name.lower(), "0")
        )
    ]
    assert not unmet


def test_module_runs_as_a_command() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "helixnb", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "refine" in run.stdout
