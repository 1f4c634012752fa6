"""Which videos of a distributed extraction are settled: each once, whatever its units do.

A video is settled by what its unit reports at its end, when all is committed, or, where a unit has no end, by what the
store holds of it.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

from vlp.datasplits.manifest import Video
from vlp.pipeline.events import Event, VideoEncoded, VideoFinished
from vlp.stores.features import FailedVideo, FeatureStore
from vlp.stores.writer import StoreWriter

REASON_LOST = "worker-lost"


class Ledger:
    """The videos of one run, encoded and settled.

    Args:
        store: where the workers commit.
        writer: of the run's part; takes the failures of videos that lose workers.
        attempts: video id to the number of earlier failed attempts.
    """

    def __init__(self, store: FeatureStore, writer: StoreWriter, attempts: Mapping[str, int]) -> None:
        self._store = store
        self._writer = writer
        self._attempts = attempts
        self._encoded: set[str] = set()
        self._settled: set[str] = set()

    def attempts_at(self, videos: Iterable[Video]) -> dict[str, int]:
        """The numbers of earlier failed attempts at these videos, where there were any."""
        return {
            video.video_id: self._attempts[video.video_id]
            for video in videos
            if video.video_id in self._attempts
        }

    def left(self, videos: Iterable[Video]) -> list[Video]:
        """Those of the videos that are not settled."""
        return [video for video in videos if video.video_id not in self._settled]

    def encode(self, video_id: str, num_rows: int) -> Iterator[Event]:
        """Tell of a video that is encoded for the first time."""
        if video_id not in self._encoded:
            self._encoded.add(video_id)
            yield VideoEncoded(video_id, num_rows)

    def settle(self, event: VideoFinished) -> Iterator[Event]:
        """Tell how a video ended, unless it was told before."""
        if event.video_id not in self._settled:
            self._settled.add(event.video_id)
            yield from self.encode(event.video_id, event.num_rows)
            yield event

    def settle_stored(self, videos: Sequence[Video]) -> Generator[Event, None, list[Video]]:
        """Settle those of the videos that the store holds by now; returns the others.

        Raises:
            StoreDamaged, StoreVersion: as `load_catalog`.
        """
        stored, failures = self._store.videos(), self._store.failures()
        for video_id in (video.video_id for video in self.left(videos)):
            entry, failure = stored.get(video_id), failures.get(video_id)
            if entry is not None:
                counts = (entry.num_rows, entry.num_expected, entry.num_decoded)
                yield from self.settle(VideoFinished(video_id, entry.status, entry.reason, "", *counts))
            elif failure is not None and failure.attempts > self._attempts.get(video_id, 0):
                yield from self.settle(_failed(failure))
        return self.left(videos)

    def fail(self, video: Video, detail: str) -> Iterator[Event]:
        """Record that a video cannot be worked on without losing the worker.

        Raises:
            StoreFull, StoreUnwritable: from the disk.
        """
        attempts = self._attempts.get(video.video_id, 0) + 1
        failure = FailedVideo(video.video_id, REASON_LOST, detail, attempts)
        self._writer.fail(failure)
        yield from self.settle(_failed(failure))


def _failed(failure: FailedVideo) -> VideoFinished:
    return VideoFinished(failure.video_id, "failed", failure.reason, failure.detail, 0, 0, 0)
