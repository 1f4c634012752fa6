import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vlp.pipeline.metrics.retrieval import caption_ranks, ranks, recall_at

# Produced by CLIP4Clip and Frozen-in-Time (commits in the file).
GOLDEN = Path(__file__).parents[2] / "golden" / "retrieval_metrics.json"
CASES = {case["name"]: case for case in json.loads(GOLDEN.read_text())["cases"]}
SQUARE = ["square_0", "square_2"]
SEVERAL_CAPTIONS = ["multi_equal_5", "multi_uneven_msvd"]

# Few distinct values, so that ties are common; each caption goes with the video that owns it.
captioned = st.integers(1, 5).flatmap(
    lambda num_videos: st.lists(
        st.tuples(
            st.lists(st.integers(0, 4), min_size=num_videos, max_size=num_videos),
            st.integers(0, num_videos - 1),
        ),
        max_size=10,
    ).map(
        lambda rows: [*rows, *(([video % 3] * num_videos, video) for video in range(num_videos))],
    )
)


def assert_summary(rank: NDArray[np.float64], expected: dict[str, Any], tolerance: float) -> None:
    median = expected.get("MedianR", expected.get("MedR"))
    assert [100 * recall_at(rank, k) for k in (1, 5, 10)] == pytest.approx(
        [expected["R1"], expected["R5"], expected["R10"]], abs=tolerance
    )
    assert (np.median(rank), rank.mean()) == pytest.approx((median, expected["MeanR"]), abs=1e-9)


@pytest.mark.parametrize("name", SQUARE)
@pytest.mark.parametrize("code", ["clip4clip", "frozen"])
def test_one_caption_a_video_equals_published_code(name: str, code: str) -> None:
    similarity = np.array(CASES[name]["similarity_text_by_video"])
    pairs = np.arange(len(similarity))
    expected = CASES[name]["expected"]
    assert_summary(caption_ranks(similarity, pairs).rank, expected[f"{code}_t2v"], 1e-9)
    assert_summary(ranks(similarity.T, pairs).rank, expected[f"{code}_v2t"], 1e-9)


@pytest.mark.parametrize("name", SEVERAL_CAPTIONS)
def test_several_captions_a_video_equal_published_code(name: str) -> None:
    case = CASES[name]
    similarity = np.array(case["similarity_caption_by_video"])
    owners = np.repeat(np.arange(similarity.shape[1]), case["captions_per_video"])
    # CLIP4Clip computes these percentages in float32.
    assert_summary(caption_ranks(similarity, owners).rank, case["expected"]["clip4clip_t2v"], 1e-5)

    best_own = ranks(similarity.T, owners).rank
    if "frozen_v2t_best_caption_rank" in case["expected"]:
        assert_summary(best_own, case["expected"]["frozen_v2t_best_caption_rank"], 1e-9)

    # CLIP4Clip first pools the captions of each video into one answer, so that its ranks are no worse.
    pooled = np.maximum.reduceat(similarity, np.unique(owners, return_index=True)[1], axis=0)
    pooled_rank = ranks(pooled.T, np.arange(similarity.shape[1])).rank
    assert (pooled_rank - 1).tolist() == case["expected"]["clip4clip_v2t"]["cols"]
    assert np.all(pooled_rank <= best_own)


def test_equal_similarities_rank_first_or_in_the_middle_as_asked() -> None:
    similarity = np.array(CASES["all_equal"]["similarity_text_by_video"])
    expected, pairs = CASES["all_equal"]["expected"], np.arange(5)
    assert_summary(caption_ranks(similarity, pairs).rank, expected["frozen_t2v"], 1e-9)
    assert_summary(ranks(similarity.T, pairs, ties="average").rank, expected["frozen_v2t"], 1e-9)
    assert_summary(caption_ranks(similarity, pairs, ties="average").rank, expected["frozen_v2t"], 1e-9)
    assert ranks(similarity, pairs).num_ties.tolist() == [4] * 5


@given(rows=captioned)
def test_ranks_count_wrong_answers_one_by_one(rows: list[tuple[list[int], int]]) -> None:
    similarity, owners = np.array([row for row, _ in rows]), [owner for _, owner in rows]
    for text, (own_video, found) in enumerate(
        zip(owners, caption_ranks(similarity, owners).rank.tolist(), strict=True)
    ):
        assert found == 1 + sum(value > similarity[text, own_video] for value in similarity[text])

    best_first, averaged = ranks(similarity.T, owners), ranks(similarity.T, owners, ties="average")
    for video in range(similarity.shape[1]):
        best = max(similarity[t, video] for t, owner in enumerate(owners) if owner == video)
        wrong = [similarity[t, video] for t, owner in enumerate(owners) if owner != video]
        assert best_first.rank[video] == 1 + sum(value > best for value in wrong)
        assert best_first.num_ties[video] == sum(value == best for value in wrong)
        assert averaged.rank[video] == best_first.rank[video] + best_first.num_ties[video] / 2


@pytest.mark.parametrize(
    ("similarity", "owners", "message"),
    [
        ([[0.1, 0.2]], [0], "similarity (1, 2) must be (Q, N) and owners (1,) (N,)"),
        ([[0.1, float("nan")]], [0, 0], "similarity holds NaN"),
        ([[0.1], [0.2]], [0], "query 1 owns no answer"),
    ],
)
def test_answers_that_do_not_fit_are_refused(similarity: Any, owners: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ranks(similarity, owners)


@pytest.mark.parametrize(
    ("similarity", "owners", "message"),
    [
        ([[0.1, 0.2]], [0, 1], "similarity (1, 2) must be (N, V) and owners (2,) (N,)"),
        ([[float("nan")]], [0], "similarity holds NaN"),
        ([[0.1, 0.2]], [2], "owners must be in 0..1"),
    ],
)
def test_captions_that_do_not_fit_are_refused(similarity: Any, owners: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        caption_ranks(similarity, owners)


@pytest.mark.parametrize(("rank", "k"), [([], 1), ([1.0], 0)])
def test_recall_of_nothing_is_refused(rank: list[float], k: int) -> None:
    with pytest.raises(ValueError, match="both must be at least 1"):
        recall_at(np.array(rank), k)
