"""How videos are handed out, and how the one that loses workers is found."""

import math

from hypothesis import given
from hypothesis import strategies as st

from vlp.datasplits.manifest import Video
from vlp.pipeline.units import MOST_LOSSES, Backlog, Losses, Unit, unit_size


def make_videos(count: int) -> list[Video]:
    return [Video(str(number), f"{number}.mp4") for number in range(count)]


def work_off(backlog: Backlog, guilty: set[str], num_stored_first: int) -> tuple[list[str], list[str], int]:
    """Be the workers: a unit with a guilty video stores at most so many of those before it, and is lost."""
    done: list[str] = []
    failed: list[str] = []
    num_lost = 0
    while (unit := backlog.take()) is not None:
        ids = [video.video_id for video in unit.videos]
        first = next((place for place, video_id in enumerate(ids) if video_id in guilty), None)
        if first is None:
            done += ids
            continue
        num_lost += 1
        num_stored = min(first, num_stored_first)
        done += ids[:num_stored]
        culprit = backlog.blame(unit, unit.videos[num_stored:])
        if culprit is not None:
            failed.append(culprit.video_id)
    return done, failed, num_lost


@given(
    count=st.integers(1, 600),
    size=st.integers(1, 256),
    seed=st.randoms(use_true_random=False),
    num_guilty=st.integers(0, 3),
    num_stored_first=st.integers(0, 40),
)
def test_only_guilty_videos_fail_every_other_is_done_once_and_the_losses_are_logarithmic(
    count: int, size: int, seed: object, num_guilty: int, num_stored_first: int
) -> None:
    videos = make_videos(count)
    guilty = {video.video_id for video in seed.sample(videos, min(num_guilty, count))}  # type: ignore[attr-defined]
    done, failed, num_lost = work_off(Backlog(videos, size), guilty, num_stored_first)
    assert sorted(failed) == sorted(guilty)
    assert sorted(done) == sorted({video.video_id for video in videos} - guilty)
    assert num_lost <= len(guilty) * (math.ceil(math.log2(size)) + MOST_LOSSES)


@given(count=st.integers(0, 100), size=st.integers(1, 30))
def test_units_are_the_videos_in_order_and_hold_no_more_than_their_size(count: int, size: int) -> None:
    backlog, units = Backlog(make_videos(count), size), []
    while (unit := backlog.take()) is not None:
        units.append(unit.videos)
    assert [video for videos in units for video in videos] == make_videos(count)
    assert all(0 < len(videos) <= size for videos in units)


def test_what_is_given_back_without_blame_stays_whole_and_forgives_nothing() -> None:
    videos = tuple(make_videos(4))
    backlog = Backlog(iter(()), 4)
    backlog.give_back(Unit(videos), videos[1:])
    assert backlog.take() == Unit(videos[1:])
    backlog.give_back(Unit(videos), ())
    assert backlog.take() is None
    backlog.give_back(Unit(videos[:1], num_losses=1), videos[:1])
    assert backlog.take() == Unit(videos[:1], num_losses=1)


@given(num_videos=st.integers(1, 10**6), num_workers=st.integers(1, 64))
def test_a_unit_has_32_to_256_videos_where_there_are_as_many_a_worker(
    num_videos: int, num_workers: int
) -> None:
    size = unit_size(num_videos, num_workers)
    assert 1 <= size <= 256
    assert size >= 32 or size * num_workers >= num_videos


def test_workers_that_never_get_ready_are_no_fault_of_a_video() -> None:
    losses = Losses()
    assert [losses.add(was_ready=False, num_workers=2) for _ in range(3)] == [False, False, True]
    losses.note_ready()
    assert not losses.add(was_ready=False, num_workers=2)


@given(num_workers=st.integers(1, 100))
def test_all_workers_may_be_lost_at_once_but_not_again_and_again(num_workers: int) -> None:
    losses = Losses()
    assert not any(losses.add(was_ready=True, num_workers=num_workers) for _ in range(num_workers))
    assert any(losses.add(was_ready=True, num_workers=num_workers) for _ in range(num_workers + 20))
    losses.note_end()
    assert not losses.add(was_ready=True, num_workers=num_workers)
