import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from vlp.pipeline import provenance
from vlp.pipeline.provenance import code_version


def git(folder: Path, *arguments: str) -> str:
    author = [
        "-c",
        "user.name=Somebody",
        "-c",
        "user.email=somebody@example.org",
        "-c",
        "commit.gpgsign=false",
    ]
    done = subprocess.run(
        ["git", "-C", str(folder), *author, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one commit, from which the code seems to run."""
    git(tmp_path, "init")
    (tmp_path / "code.py").write_text("1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-m", "first")
    monkeypatch.setattr(provenance, "_CHECKOUT", tmp_path)
    return tmp_path


def test_the_commit_of_a_checkout_is_named(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    git(checkout, "tag", "-a", "v1", "-m", "a tag must not stand in for the commit")
    assert code_version() == {"version": metadata.version("vlp"), "commit": commit}


def test_a_changed_file_is_told(checkout: Path) -> None:
    (checkout / "code.py").write_text("2\n")
    assert code_version()["commit"] == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_a_checkout_around_the_package_is_not_ours(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = checkout / "site-packages"
    inner.mkdir()
    monkeypatch.setattr(provenance, "_CHECKOUT", inner)
    assert code_version()["commit"] is None


def test_without_git_or_a_commit_there_is_only_a_version(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert code_version() == {"version": metadata.version("vlp"), "commit": None}
    monkeypatch.undo()
    empty = tmp_path_factory.mktemp("empty")
    git(empty, "init")
    monkeypatch.setattr(provenance, "_CHECKOUT", empty)
    assert code_version()["commit"] is None
