"""What `vlp datasets check` foresees."""

from pathlib import Path

import pytest

from vlp.datasplits.manifest import Manifest, Video
from vlp.datasplits.outlook import outlook
from vlp.datasplits.presence import Presence


def video(name: str, label: str, role: str, *, split: str = "split1", caption: str = "") -> Video:
    labels = (label,) if label else ()
    captions = (caption,) if caption else ()
    return Video(name, f"{name}.mp4", labels=labels, captions=captions, splits=((split, role),))


VIDEOS = (
    video("a", "walk", "train"),
    video("b", "walk", "train"),
    video("c", "run", "train"),
    video("d", "walk", "test"),
    video("e", "run", "test"),
)


def foreseen(videos: tuple[Video, ...], *missing: str, **settings: object) -> dict[str, str]:
    manifest = Manifest("mine", Path("mine"), videos, ("run", "walk"), **settings)  # type: ignore[arg-type]
    gone = tuple(one for one in videos if one.video_id in missing)
    return {found.stage: found.report for found in outlook(Presence(manifest, gone, ()))}


def test_a_complete_dataset_is_used_whole() -> None:
    assert foreseen(VIDEOS) == {
        "vlp extract": "all 5 videos to decode",
        "vlp train (split1)": "3 of 3 train videos; 1 or more of each class, the most that few-shot can draw",
        "vlp eval (split1)": "2 of 2 test videos",
    }


def test_what_is_missing_is_said_by_stage() -> None:
    found = foreseen(VIDEOS, "a", "e")
    assert found["vlp extract"] == "2 of 5 videos failed (missing), and exit status 3"
    assert found["vlp train (split1)"].startswith("2 of 3 train videos")
    assert found["vlp eval (split1)"] == "1 of 2 test videos; no video left of run"
    nothing = foreseen(VIDEOS, "d", "e")["vlp eval (split1)"]
    assert nothing == "0 of 2 test videos; an error, as none is there"


@pytest.mark.parametrize(("role", "settings"), [("val", {"test_role": "val"}), ("test", {})])
def test_the_standard_split_and_role_are_foreseen(role: str, settings: dict[str, str]) -> None:
    videos = (*VIDEOS, video("f", "walk", role, split="other"))
    stages = foreseen(videos, default_split="other", **settings)
    assert stages["vlp eval (other)"] == f"1 of 1 {role} videos"
    assert not any("split1" in stage for stage in stages)


def test_videos_without_label_or_caption_are_counted_where_others_have_one() -> None:
    videos = (video("a", "walk", "test", caption="one walks"), video("b", "", "test"))
    assert (
        foreseen(videos)["vlp eval (split1)"] == "2 of 2 test videos; 1 without a label; 1 without a caption"
    )


def test_a_dataset_without_splits_is_scored_whole() -> None:
    videos = (Video("a", "a.mp4", labels=("walk",)), Video("b", "b.mp4", labels=("run",)))
    assert foreseen(videos, "b")["vlp eval"] == "1 of 2 listed videos; no video left of run"


def test_videos_with_captions_only_are_for_retrieval() -> None:
    videos = (video("a", "", "train", caption="one"), video("b", "", "test", caption="two"))
    assert foreseen(videos, "a") == {
        "vlp extract": "1 of 2 videos failed (missing), and exit status 3",
        "vlp eval retrieval (split1)": "1 of 1 test videos",
    }
