"""Files of strangers run no code and put nothing into a page but text."""

import ast
from pathlib import Path

import pytest

from helixnb import Session
from helixnb.simulate import Filaments, simulate_segments

PACKAGE = Path(__file__).resolve().parent.parent / "helixnb"
TAG = "<script>alert(1)</script>"


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    return [
        (ast.unparse(node.func), node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


@pytest.mark.parametrize(
    "path",
    sorted(PACKAGE.rglob("*.py")),
    ids=lambda p: p.relative_to(PACKAGE).as_posix(),
)
def test_nothing_that_runs_what_it_reads(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    } | {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    assert not imported & {"pickle", "dill", "cloudpickle", "marshal", "shelve"}
    for name, call in calls(tree):
        assert name not in ("eval", "exec", "os.system", "subprocess.getoutput")
        if name in ("np.load", "numpy.load", "np.save", "np.savez"):
            options = {k.arg: ast.unparse(k.value) for k in call.keywords}
            assert options.get("allow_pickle") == "False", ast.unparse(call)


def test_what_a_file_says_is_shown_as_text(tmp_path: Path) -> None:
    folder = tmp_path / "<b>bold</b>"
    data = simulate_segments(
        folder,
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=32,
        pixel_size_A=4.0,
        filaments=Filaments(n_filaments=3, segments_per_filament=4),
    )
    text = data.particles_star.read_text()
    micrograph = next(
        word for word in text.split() if word.endswith(".mrc") and "@" not in word
    )
    hostile = text.replace(micrograph, TAG)
    assert TAG in hostile
    data.particles_star.write_text(hostile)
    session = Session.from_file(
        data.particles_star,
        twist_deg=-60,
        rise_A=14,
        progress=False,
        bootstrap_iterations=0,
    )
    assert TAG in session.particles.table["rlnMicrographName"].tolist()
    session.step()
    report = session.report(tmp_path / "report.html")
    pages = [
        session._repr_html_(),
        Path(report or tmp_path / "report.html").read_text(),
    ]
    for page in pages:
        assert TAG not in page
        assert "<b>bold</b>" not in page
