"""A bank goes on giving the same bits while another process repairs and compacts the store that it maps."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np

from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.placements import MEMORY_MAP
from vlp.stores.features import FeatureStore

MakeStore = Callable[..., FeatureStore]

REPAIR_AND_COMPACT = """
import sys
from dataclasses import replace
from pathlib import Path
from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.maintenance import compact
store = FeatureStore.open(Path(sys.argv[1]))
old = {video_id: store.read(video_id) for video_id in store.videos()}
with store.writer(device="cpu", precision="fp32", superseding=frozenset(old)) as writer:
    for video_id, read in old.items():
        entry = read.entry
        writer.add(ExtractedVideo(video_id, -read.features, read.pts_seconds, read.frame_index, entry.num_expected,
            entry.num_decoded, 10.0, 1.0, "ok", None, "pyav", entry.source_sha256))
(removed,) = compact(store).removed
assert removed.name.startswith("segments/"), removed
"""


def test_a_mapped_bank_outlives_the_segments_that_compact_removes(make_store: MakeStore) -> None:
    features = {
        name: np.random.default_rng(rows).normal(size=(rows, 2, 4)) for name, rows in (("a", 9), ("b", 4))
    }
    store = make_store(features, meaning={"weights": "w"})
    bank = FeatureBank(store, ["a", "b"], placement=MEMORY_MAP)
    clips = (np.array([0, 1, 0]), np.array([[0, 8], [1, 3], [4, 4]]))
    before = bank.gather(*clips).numpy().copy()
    command = [sys.executable, "-c", REPAIR_AND_COMPACT, str(store.path)]
    subprocess.run(command, check=True, timeout=120)
    assert bank.gather(*clips).numpy().tobytes() == before.tobytes()
    now = FeatureStore.open(store.path).read("a").features
    assert (now == -features["a"].astype(np.float16)).all()
