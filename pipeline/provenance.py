"""Which code made a result: the installed version, and the commit when it runs from a checkout."""

import shutil
import subprocess
from importlib import metadata
from pathlib import Path

_CHECKOUT = Path(__file__).parents[1]
_GIT_DEADLINE_SECONDS = 30


def code_version() -> dict[str, str | None]:
    """Name the code that runs.

    Returns:
        ``version``: of the installed package. ``commit``: 40 hexadecimal digits, followed by ``-dirty``
        when files differ from it; None outside a checkout, before its first commit, or without git.
    """
    return {"version": metadata.version("vlp"), "commit": _commit(_CHECKOUT)}


def _commit(checkout: Path) -> str | None:
    git = shutil.which("git")
    # Installed inside another project's checkout, the package has no .git of its own.
    if git is None or not (checkout / ".git").exists():
        return None
    command = [git, "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_GIT_DEADLINE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
