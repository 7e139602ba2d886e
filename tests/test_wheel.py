"""What is shipped: one wheel for every platform, whole, that runs from where it was unpacked."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import dnsnb

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist, as `make build` and every package index do it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert (folder / f"dnsnb-{dnsnb.__version__}.tar.gz").is_file()
    return folder / f"dnsnb-{dnsnb.__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(unpacked: Path, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(unpacked), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_everything_of_the_package_is_in_it_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "dnsnb").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours <= names
    assert {f"dnsnb/notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")} <= names
    assert "dnsnb/py.typed" in names
    assert {name.split("/")[0] for name in names} == {"dnsnb", f"dnsnb-{dnsnb.__version__}.dist-info"}


def test_it_runs_where_it_was_unpacked(unpacked: Path, tmp_path: Path) -> None:
    where = run(unpacked, "-c", "import dnsnb; print(dnsnb.__file__)", cwd=tmp_path)
    assert where.startswith(str(unpacked))
    assert "qname" in run(unpacked, "-m", "dnsnb", "demo", "--seconds", "1", cwd=tmp_path)
    view = "from dnsnb.notebook.dashboard import Dashboard; print(len(str(Dashboard._esm)))"
    assert int(run(unpacked, "-c", view, cwd=tmp_path)) > 1000  # the view's script is inside


def test_the_notebooks_come_along(unpacked: Path, tmp_path: Path) -> None:
    """`dnsnb lab` opens a copy of them, and leaves what somebody has made of one."""
    copies = tmp_path / "dnsnb-notebooks"
    copies.mkdir()
    (copies / "02_any_log.ipynb").write_text("mine")
    find = "from dnsnb.cli import _notebooks; print(_notebooks())"
    assert run(unpacked, "-c", find, cwd=tmp_path).strip() == str(copies)
    assert (copies / "01_quickstart.ipynb").read_bytes() == (ROOT / "notebooks" / "01_quickstart.ipynb").read_bytes()
    assert (copies / "02_any_log.ipynb").read_text() == "mine"
