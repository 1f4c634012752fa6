from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vlp.pipeline.benchmarks import bank as benchmark
from vlp.pipeline.benchmarks.bank import bench_bank
from vlp.stores.features import FeatureStore

MakeStore = Callable[..., FeatureStore]


def small_store(make_store: MakeStore) -> FeatureStore:
    rng = np.random.default_rng(0)
    videos = {f"video-{frames}": rng.normal(size=(frames, 2, 8)) for frames in (20, 3, 90)}
    return make_store(videos, meaning={})


def test_every_figure_is_there_and_positive(make_store: MakeStore) -> None:
    """How large the ratios are depends on the machine: `vlp bench bank` says it, on a real store."""
    figures = bench_bank(small_store(make_store), num_frames=4, batch_size=8, seconds=0.05)
    assert (figures.num_videos, figures.num_rows, figures.num_segments) == (3, 226, 1)
    assert (figures.embed_dim, figures.stored_embed_dim) == (512, 8)
    assert 0.001 < figures.ram_over_gather < 100
    assert 0.001 < figures.disk_over_gather < 100
    assert min(figures.clips_per_second, figures.disk_clips_per_second) > 0
    assert figures.sampling_clips_per_second > 0


@pytest.mark.parametrize("least_embed_dim", [1, 13])
def test_both_sides_gather_the_same_rows(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, least_embed_dim: int
) -> None:
    """Each work's output for a batch is compared with the first's, the bare gather from RAM."""
    compared = []

    def compare(works, batches, seconds):
        for batch in batches:
            bare, *others = [np.asarray(work(batch)) for work in works]
            compared.extend(np.array_equal(bare, other) for other in others)
        return [[1.0]] * len(works)

    monkeypatch.setattr(benchmark, "interleaved", compare)
    figures = bench_bank(small_store(make_store), num_frames=4, batch_size=8, least_embed_dim=least_embed_dim)
    assert figures.embed_dim == max(8, least_embed_dim)
    assert len(compared) == 3 * benchmark.NUM_BATCHES
    assert all(compared)
    assert (figures.ram_over_gather, figures.disk_over_gather) == (1.0, 1.0)


def test_videos_beyond_what_memory_should_hold_are_left_out(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "MOST_BYTES", 23 * 2 * 16 * 2)  # 20 + 3 frames, 2 views, 16 wide, float16
    figures = bench_bank(small_store(make_store), num_frames=4, batch_size=8, seconds=0.0, least_embed_dim=16)
    assert figures.num_videos == 2


def test_a_store_of_nothing_is_refused(tmp_path: Path) -> None:
    store = FeatureStore.open_or_create(
        tmp_path / "empty.vlp",
        meaning={"timeline": "native"},
        dataset="folder",
        model="tiny",
        pretrained="random",
        num_views=1,
        embed_dim=4,
        batch_size=1,
        precision="fp32",
        tool_versions={},
    )
    with pytest.raises(ValueError, match="at least one video"):
        bench_bank(store)
