from pathlib import Path

import pytest

from vlp.pipeline.toy.videos import ToySet, render_toy_set


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> ToySet:
    """A rendered set of six videos an action, of a seed that nothing else uses."""
    root: Path = tmp_path_factory.mktemp("toy") / "small"
    return render_toy_set(root, seed=71, videos_per_class=6)
