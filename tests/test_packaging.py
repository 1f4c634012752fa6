"""What a user installs: the wheel holds every package and every file that the code reads."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("cli", "datasplits", "pipeline", "stores")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel as an installer does, from a copy of what is in version control."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(source),
    ]
    subprocess.run(command, check=True)
    return next(folder.glob("vlp-*.whl"))


@pytest.mark.full
def test_the_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    listed = subprocess.run(
        ["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {f"vlp/{name}" for name in listed.stdout.split()} <= packed
    assert "vlp/pipeline/toy/model/open_clip_model.safetensors" in packed


@pytest.mark.full
def test_an_installed_wheel_runs_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(command, check=True)
    script = "import vlp.cli.__main__ as main, sys; sys.argv = ['vlp', 'models', 'fetch', 'toy']; main.run()"
    shown = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(target)!r}); {script}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "128 numbers a frame" in shown.stdout


def test_the_toy_weights_stay_small() -> None:
    model = ROOT / "pipeline" / "toy" / "model"
    assert sum(path.stat().st_size for path in model.iterdir()) <= 16 * 2**20
