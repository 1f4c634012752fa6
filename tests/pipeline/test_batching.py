"""Frames of many videos share batches; each video gets exactly its own rows back."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vlp.pipeline import batching
from vlp.pipeline.batching import Assembly, BatchAssembler
from vlp.pipeline.decoding.results import DecodeOutcome, FrameBlock
from vlp.pipeline.events import StageSeconds
from vlp.pipeline.framing import CENTRE, VIEWS, Framing
from vlp.pipeline.streams import EncodeStreams
from vlp.stores.spool import Spool


@dataclass
class SumEncoder:
    """Encodes an image as (its mean, its first pixel), and remembers the shapes of its batches.

    A stand-in for the ViT only: what is tested is which rows go where.
    """

    shapes: list[tuple[int, ...]] = field(default_factory=list)
    memory_images: int | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    wants_full_batches: bool = True

    def prepare(self, frames: torch.Tensor, framing: Framing) -> torch.Tensor:
        """View k of a frame is the frame with k added to every value."""
        images = frames.permute(0, 3, 1, 2)[:, None]
        views = [images + number if number else images for number in range(len(framing.views))]
        return views[0] if len(views) == 1 else torch.cat(views, dim=1)

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        if self.memory_images is not None and len(images) > self.memory_images:
            raise torch.OutOfMemoryError
        self.shapes.append(tuple(images.shape))
        values = images.float()
        return torch.stack([values.mean((1, 2, 3)), values[:, 0, 0, 0]], 1).half()


def block_of(
    video_id: str, attempt: int, values: list[int], start: int, size: tuple[int, int] = (4, 6)
) -> FrameBlock:
    frames = np.stack([np.full((*size, 3), value, np.uint8) for value in values])
    index = np.arange(start, start + len(values), dtype=np.int32)
    return FrameBlock(video_id, attempt, frames, index / 30.0, index, lambda: None)


def outcome_of(video_id: str, attempt: int, status: str = "ok") -> DecodeOutcome:
    return DecodeOutcome(
        video_id=video_id,
        attempt=attempt,
        status=status,
        reason=None if status == "ok" else "crashed",
        detail="",
        num_expected=1,
        num_decoded=1,
        native_fps=30.0,
        duration_seconds=1.0,
        decoder="pyav",
        source_sha256="0" * 64,
        decode_cpu_seconds=0.0,
    )


def interleaved(videos: dict[str, list[int]], sizes: list[int]) -> Iterator[FrameBlock | DecodeOutcome]:
    """Deal blocks of the given sizes from the videos in turn, as several children would."""
    places = dict.fromkeys(videos, 0)
    turn = 0
    while places:
        for video_id in list(places):
            size = sizes[turn % len(sizes)]
            turn += 1
            start = places[video_id]
            values = videos[video_id][start : start + size]
            if values:
                yield block_of(video_id, 1, values, start)
                places[video_id] += len(values)
            else:
                del places[video_id]
                yield outcome_of(video_id, 1)


def new_spool() -> Spool:
    return Spool("float16", (2,))


def features_of(assembly: Assembly) -> NDArray[np.float16]:
    """Join its rows: (n, V, 2)."""
    return np.concatenate(list(assembly.rows.blocks())).reshape(-1, assembly.num_views, 2)


@pytest.fixture(scope="module", params=["cpu", "cuda"])
def streams(request: pytest.FixtureRequest) -> Iterator[EncodeStreams]:
    """A stream a core, and the single one of a GPU; both on this CPU."""
    with EncodeStreams(request.param) as running:
        yield running


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    sizes=st.lists(st.integers(1, 17), min_size=1, max_size=3),
    batch_size=st.integers(1, 16),
    memory_images=st.one_of(st.none(), st.integers(1, 16)),
    views=st.sampled_from(sorted(VIEWS)),
)
def test_each_video_gets_its_own_rows_in_order(
    streams: EncodeStreams,
    lengths: list[int],
    sizes: list[int],
    batch_size: int,
    memory_images: int | None,
    views: str,
) -> None:
    framing = Framing.parse(views)
    generator = np.random.default_rng(sum(lengths))
    videos = {f"v{n}": generator.integers(0, 250, length).tolist() for n, length in enumerate(lengths)}
    encoder = SumEncoder(memory_images=memory_images)
    assembler = BatchAssembler(encoder, batch_size, StageSeconds(), streams, framing, new_spool)
    found = {}
    for item in interleaved(videos, sizes):
        assembler.add(item) if isinstance(item, FrameBlock) else assembler.finish(item)
        found.update({outcome.video_id: assembly for outcome, assembly in assembler.whole()})
    assembler.flush()
    found.update({outcome.video_id: assembly for outcome, assembly in assembler.whole()})
    assert found.keys() == videos.keys()
    for video_id, values in videos.items():
        expected = [[[value + number] * 2 for number in range(len(framing.views))] for value in values]
        assert features_of(found[video_id]).tolist() == expected
        assert np.concatenate(found[video_id].frame_index).tolist() == list(range(len(values)))


def test_every_batch_has_one_shape_the_last_included(streams: EncodeStreams) -> None:
    encoder = SumEncoder()
    assembler = BatchAssembler(encoder, 8, StageSeconds(), streams, CENTRE, new_spool)
    for item in interleaved({"a": list(range(11)), "b": list(range(6))}, [5]):
        assembler.add(item) if isinstance(item, FrameBlock) else assembler.finish(item)
    assembler.flush()
    assert encoder.shapes == [(8, 3, 4, 6)] * 3


@pytest.mark.parametrize(("size", "views", "most"), [((4, 6), "4", 2), ((4, 6), "1", 6), ((2, 40), "4", 1)])
def test_frames_are_resized_a_bounded_number_at_a_time(
    streams: EncodeStreams,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    views: str,
    most: int,
) -> None:
    """One block may hold thousands of small frames; each becomes V squares, or one very long frame."""
    prepared: list[int] = []

    class CountingEncoder(SumEncoder):
        def prepare(self, frames: torch.Tensor, framing: Framing) -> torch.Tensor:
            prepared.append(len(frames))
            return super().prepare(frames, framing)

    monkeypatch.setattr(batching, "_PREPARED", 10)
    framing = Framing.parse(views)
    assembler = BatchAssembler(CountingEncoder(), 4, StageSeconds(), streams, framing, new_spool)
    assembler.add(block_of("a", 1, list(range(21)), 0, size))
    assembler.finish(outcome_of("a", 1))
    assembler.flush()
    [(_, assembly)] = list(assembler.whole())
    assert (max(prepared), sum(prepared)) == (most, 21)
    last = len(framing.views) - 1
    assert features_of(assembly)[:, last, 0].tolist() == [value + last for value in range(21)]


def test_frames_that_are_not_cut_to_one_size_share_no_batch_and_are_not_padded(
    streams: EncodeStreams,
) -> None:
    encoder = SumEncoder(wants_full_batches=False)
    assembler = BatchAssembler(encoder, 4, StageSeconds(), streams, CENTRE, new_spool)
    for start in (0, 3):
        assembler.add(block_of("wide", 1, [start, start + 1, start + 2], start))
        assembler.add(block_of("tall", 1, [start + 10], start, size=(9, 5)))
    assembler.finish(outcome_of("wide", 1))
    assembler.finish(outcome_of("tall", 1))
    assembler.flush()
    found = {
        outcome.video_id: features_of(assembly)[:, 0, 0].tolist() for outcome, assembly in assembler.whole()
    }
    assert found == {"wide": [0, 1, 2, 3, 4, 5], "tall": [10, 13]}
    assert sorted(encoder.shapes) == [(1, 3, 9, 5)] * 2 + [(3, 3, 4, 6)] * 2


def test_rows_of_an_abandoned_attempt_are_dropped(streams: EncodeStreams) -> None:
    assembler = BatchAssembler(SumEncoder(), 4, StageSeconds(), streams, CENTRE, new_spool)
    assembler.add(block_of("a", 1, [9, 9, 9, 9, 9, 9], 0))
    assembler.add(block_of("a", 2, [1, 2], 0))
    assembler.finish(outcome_of("a", 2))
    assembler.flush()
    [(outcome, assembly)] = list(assembler.whole())
    assert outcome.attempt == 2
    assert features_of(assembly)[:, 0, 0].tolist() == [1, 2]


def test_when_memory_runs_out_the_batch_is_halved_until_it_fits(streams: EncodeStreams) -> None:
    encoder = SumEncoder(memory_images=3)
    assembler = BatchAssembler(encoder, 16, StageSeconds(), streams, CENTRE, new_spool)
    assembler.add(block_of("a", 1, list(range(16)), 0))
    assembler.flush()
    assert assembler.batch_size == 2
    assert {shape[0] for shape in encoder.shapes} == {2}


def test_memory_for_not_even_one_frame_is_an_error(streams: EncodeStreams) -> None:
    assembler = BatchAssembler(SumEncoder(memory_images=0), 4, StageSeconds(), streams, CENTRE, new_spool)
    assembler.add(block_of("a", 1, [1, 2, 3, 4], 0))
    with pytest.raises(torch.OutOfMemoryError):
        assembler.flush()


@pytest.mark.parametrize("crop", [slice(0, 6), slice(1, 5)])
def test_frames_may_be_overwritten_once_they_are_taken(streams: EncodeStreams, crop: slice) -> None:
    """A slot is used again for other frames; a crop that resized nothing must not go on looking into it."""

    class CroppingEncoder(SumEncoder):
        def prepare(self, frames: torch.Tensor, framing: Framing) -> torch.Tensor:
            return super().prepare(frames, framing)[..., crop]

    assembler = BatchAssembler(CroppingEncoder(), 8, StageSeconds(), streams, CENTRE, new_spool)
    block = block_of("a", 1, [1, 2, 3], 0)
    assembler.add(block)
    block.frames.fill(99)
    assembler.finish(outcome_of("a", 1))
    assembler.flush()
    [(_, assembly)] = list(assembler.whole())
    assert features_of(assembly)[:, 0, 0].tolist() == [1, 2, 3]


def test_stopping_keeps_what_is_whole_and_drops_the_rest(streams: EncodeStreams) -> None:
    assembler = BatchAssembler(SumEncoder(), 4, StageSeconds(), streams, CENTRE, new_spool)
    assembler.add(block_of("whole", 1, [1, 2, 3, 4], 0))
    assembler.finish(outcome_of("whole", 1))
    assembler._collect(0)  # as the next batches would
    assembler.add(block_of("begun", 1, list(range(30)), 0))
    assembler.finish(outcome_of("begun", 1))
    assembler.stop()
    found = {
        outcome.video_id: features_of(assembly)[:, 0, 0].tolist() for outcome, assembly in assembler.whole()
    }
    assert found == {"whole": [1, 2, 3, 4]}


def test_a_failed_video_without_frames_is_settled_at_once(streams: EncodeStreams) -> None:
    assembler = BatchAssembler(SumEncoder(), 4, StageSeconds(), streams, CENTRE, new_spool)
    assembler.finish(outcome_of("a", 1, "failed"))
    assert [outcome.video_id for outcome, _ in assembler.whole()] == ["a"]
    assert list(assembler.whole()) == []
