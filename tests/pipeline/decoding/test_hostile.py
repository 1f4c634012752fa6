"""Files that lie about themselves, in four containers: each ends with a status, and its neighbours notice nothing.

A mutation damages a file as disks, networks and attackers do: by its bytes, or by what its container says. It is a
function of the file's bytes and a seeded generator; those of a container know where its headers are.
"""

import itertools
import random
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from vlp.pipeline.decoding.pool import DecodeOutcome, DecodePool, DecodeRequest, FrameBlock, Limits
from vlp.pipeline.decoding.timeline import Timeline

Mutation = Callable[[bytes, random.Random], bytes]
_EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def truncated(content: bytes, rng: random.Random) -> bytes:
    """Cut the file anywhere."""
    return content[: rng.randrange(1, len(content))]


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Flip single bits anywhere."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 8, 64, 512))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def head_rewritten(content: bytes, rng: random.Random) -> bytes:
    """Write random bytes over the first headers."""
    damaged = bytearray(content)
    begin = rng.randrange(min(64, len(damaged)))
    end = min(len(damaged), begin + rng.choice((4, 32, 256)))
    damaged[begin:end] = rng.randbytes(end - begin)
    return bytes(damaged)


def with_a_hole(content: bytes, rng: random.Random) -> bytes:
    """Fill a stretch with zeros, or leave it out."""
    begin = rng.randrange(len(content))
    end = min(len(content), begin + rng.randrange(1, 4096))
    return content[:begin] + (bytes(end - begin) if rng.random() < 0.5 else b"") + content[end:]


def said_twice(content: bytes, rng: random.Random) -> bytes:
    """Let a stretch, or the whole file, follow itself."""
    begin = rng.choice((0, rng.randrange(len(content))))
    return content + content[begin:]


def at_tags(tags: Sequence[bytes], offsets: Sequence[int], pattern: str) -> Mutation:
    """Write extreme numbers into the fields that lie at some distance behind a tag.

    Args:
        tags: of the headers; one that the file has is chosen.
        offsets: from the tag's first byte to a field; one to three are chosen.
        pattern: of `struct`, a field.
    """
    width = struct.calcsize(pattern)

    def mutate(content: bytes, rng: random.Random) -> bytes:
        found = [place for tag in tags for place in _places(content, tag)]
        damaged = bytearray(content)
        for _ in range(rng.randrange(1, 4)):
            if not found:
                return flipped(content, rng)
            at = rng.choice(found) + rng.choice(offsets)
            value = rng.choice((*_EXTREMES, rng.getrandbits(32))) & ((1 << 8 * width) - 1)
            if 0 <= at <= len(damaged) - width:
                struct.pack_into(pattern, damaged, at, value)
        return bytes(damaged)

    return mutate


def swapped(tags: Sequence[bytes], lead: int) -> Mutation:
    """Exchange two parts of a file that begin ``lead`` bytes before a tag: atoms, chunks, clusters."""

    def mutate(content: bytes, rng: random.Random) -> bytes:
        begins = sorted({place - lead for tag in tags for place in _places(content, tag) if place >= lead})
        if len(begins) < 3:
            return with_a_hole(content, rng)
        first, second = sorted(rng.sample(range(len(begins) - 1), 2))
        a, b, c, d = begins[first], begins[first + 1], begins[second], begins[second + 1]
        return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]

    return mutate


def packets_swapped(content: bytes, rng: random.Random) -> bytes:
    """Exchange packets of an MPEG transport stream, drop some, and send some twice."""
    packets = [content[at : at + 188] for at in range(0, len(content), 188)]
    for _ in range(rng.randrange(1, 30)):
        one, other = rng.randrange(len(packets)), rng.randrange(len(packets))
        packets[one], packets[other] = packets[other], packets[rng.choice((one, other))]
    return b"".join(packets)


def times_rewritten(content: bytes, rng: random.Random) -> bytes:
    """Write random bytes where a transport stream's packets begin to carry times."""
    damaged = bytearray(content)
    for at in rng.sample(range(0, len(damaged) - 32, 188), k=min(6, len(damaged) // 188 - 1)):
        begin = at + rng.choice((1, 4, 5, 9, 13))
        damaged[begin : begin + 5] = rng.randbytes(5)
    return bytes(damaged)


def _places(content: bytes, tag: bytes) -> list[int]:
    places, at = [], content.find(tag)
    while at >= 0:
        places.append(at)
        at = content.find(tag, at + 1)
    return places


_BY_BYTES = (truncated, flipped, head_rewritten, with_a_hole, said_twice)
_ATOMS = (b"ftyp", b"moov", b"mvhd", b"trak", b"tkhd", b"mdia", b"mdhd", b"minf", b"stbl", b"stsd", b"stts")
_ATOMS += (b"stss", b"ctts", b"stsc", b"stsz", b"stco", b"mdat", b"free", b"udta", b"edts", b"elst")
_CHUNKS = (b"hdrl", b"avih", b"strl", b"strh", b"strf", b"movi", b"00dc", b"idx1", b"INFO", b"JUNK")

MUTATIONS: dict[str, tuple[Mutation, ...]] = {
    ".mp4": (
        *_BY_BYTES,
        swapped(_ATOMS, 4),
        at_tags(_ATOMS, (-4,), ">I"),  # sizes of atoms
        at_tags((b"mvhd", b"mdhd"), (16, 20, 24), ">I"),  # rates and endless durations
        at_tags((b"tkhd",), (24, 80, 84), ">I"),
        at_tags((b"avc1", b"hvc1", b"hev1", b"mp4v"), (28, 30), ">H"),  # huge dimensions
        at_tags((b"stts", b"ctts", b"stsc", b"stsz", b"stco", b"elst"), (8, 12, 16, 20, 24), ">I"),
    ),
    ".avi": (
        *_BY_BYTES,
        swapped(_CHUNKS, 0),
        at_tags(_CHUNKS, (4,), "<I"),  # sizes of chunks
        at_tags((b"avih",), (8, 12, 24, 40, 44), "<I"),  # microseconds a frame, frames, dimensions
        at_tags((b"strh",), (28, 32, 36, 40, 48), "<I"),  # scale, rate, start, length
        at_tags((b"strf",), (8, 12, 16, 20, 24), "<I"),
        at_tags((b"idx1",), (12, 16, 20, 28, 32), "<I"),
    ),
    ".mkv": (
        *_BY_BYTES,
        swapped((b"\x1f\x43\xb6\x75", b"\xa3", b"\x16\x54\xae\x6b", b"\x1c\x53\xbb\x6b"), 0),
        at_tags((b"\x2a\xd7\xb1",), (4, 5), ">I"),  # ticks a second
        at_tags((b"\x44\x89",), (3, 7), ">I"),  # duration
        at_tags((b"\xb0\x82", b"\xba\x82", b"\xb0\x81", b"\xba\x81"), (2,), ">H"),  # dimensions
        at_tags((b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\x1a\x45\xdf\xa3"), (4, 5, 8), ">I"),  # sizes
        at_tags((b"\xe7", b"\x23\xe3\x83"), (2, 4), ">I"),  # times of clusters, time a frame
    ),
    ".ts": (*_BY_BYTES, packets_swapped, times_rewritten, at_tags((b"\x00\x00\x01\xe0",), (4, 7, 9), ">H")),
}
"""By container: what is done to its files."""


def mutate(content: bytes, suffix: str, number: int) -> bytes:
    """Damage a file in the ``number``-th way: the mutations in turn, each with a seed of its own.

    Args:
        content: of a sound file.
        suffix: one of `MUTATIONS`.
        number: of the copy.
    """
    rng = random.Random(f"{suffix} {number}")  # noqa: S311 - no secret
    chosen = MUTATIONS[suffix][number % len(MUTATIONS[suffix])]
    damaged = chosen(content, rng)
    return truncated(damaged, rng) if rng.random() < 0.1 else damaged


SAMPLES = {
    ".mp4": ("h264_bframes.mp4", "hevc.mp4", "edit_list.mp4"),
    ".avi": ("packed_xvid.avi", "asp_bframes.avi"),
    ".mkv": ("h264_30fps.mkv", "h264_ntsc.mkv", "av1.mkv"),
    ".ts": ("h264_bframes.ts",),
}
LIMITS = Limits(no_progress_seconds=10.0, total_seconds=30.0, rss_bytes=1 << 30)
# What this process may grow by once it has begun: buffers of the allocator, and nothing that grows with the files.
FLAT_BYTES = 16 << 20


@dataclass
class Seen:
    """What a pool said of one file; no frame is kept."""

    outcome: DecodeOutcome | None = None
    frame_index: list[int] = field(default_factory=list)
    pts_seconds: list[float] = field(default_factory=list)


def watch(pool: DecodePool, requests: Sequence[DecodeRequest]) -> tuple[dict[str, Seen], list[int]]:
    """Decode files; also give the memory of this process at every tenth outcome, in bytes."""
    process, memory, num_seen = psutil.Process(), [], 0
    found: dict[tuple[str, int], Seen] = {}
    for event in pool.run(requests):
        seen = found.setdefault((event.video_id, event.attempt), Seen())
        if isinstance(event, FrameBlock):
            seen.frame_index += event.frame_index.tolist()
            seen.pts_seconds += event.pts_seconds.tolist()
            event.release()
        else:
            seen.outcome = event
            num_seen += 1
            if num_seen % 10 == 0:
                memory.append(process.memory_full_info().uss)
    return {video_id: seen for (video_id, _), seen in found.items() if seen.outcome is not None}, memory


@pytest.mark.parametrize(
    "num_each", [20, pytest.param(125, marks=pytest.mark.full)], ids=["a few", "five hundred"]
)
@pytest.mark.parametrize("timeline", ["fps:30", "frames:8"])
def test_every_file_ends_with_a_status_and_its_neighbours_notice_nothing(
    num_each: int, timeline: str, tmp_path: Path, data: Path
) -> None:
    whole = {suffix: DecodeRequest(f"whole {suffix}", data / names[0]) for suffix, names in SAMPLES.items()}
    requests = list(whole.values())
    for number, (suffix, names) in itertools.product(range(num_each), SAMPLES.items()):
        path = tmp_path / f"{number:03d}{suffix}"
        path.write_bytes(mutate((data / names[number % len(names)]).read_bytes(), suffix, number))
        requests.append(DecodeRequest(path.name, path))
        if number % 10 == 0:
            requests.append(DecodeRequest(f"sound {path.name}", data / names[0]))
    began = time.monotonic()
    with DecodePool(Timeline.parse(timeline), num_children=2, limits=LIMITS) as pool:
        found, memory = watch(pool, requests)
    # Each could be held up for its whole deadline, twice; all together are far from it.
    assert time.monotonic() - began < len(requests) * LIMITS.total_seconds / 10
    assert found.keys() == {request.video_id for request in requests}
    assert max(memory) - memory[len(memory) // 10] < FLAT_BYTES
    statuses = set()
    for name, seen in found.items():
        outcome = seen.outcome
        assert outcome is not None
        if outcome.status == "failed":
            assert outcome.reason, name
        else:
            assert 0 < len(seen.frame_index) <= outcome.num_decoded <= outcome.num_expected, name
            assert all(one < other for one, other in itertools.pairwise(seen.frame_index))
            assert all(one < other for one, other in itertools.pairwise(seen.pts_seconds))
        if name.startswith("sound"):
            sound = found[whole[Path(name).suffix].video_id]
            assert (outcome.status, seen.frame_index) == ("ok", sound.frame_index)
        else:
            statuses.add(outcome.status)
    assert statuses == {"ok", "short", "failed"}


@pytest.mark.parametrize("suffix", sorted(MUTATIONS))
def test_copies_are_damaged_and_always_in_the_same_way(suffix: str, data: Path) -> None:
    content = (data / SAMPLES[suffix][0]).read_bytes()
    copies = [mutate(content, suffix, number) for number in range(60)]
    assert copies == [mutate(content, suffix, number) for number in range(60)]
    assert sum(copy == content for copy in copies) <= 3  # a field may hold its extreme already
    assert len(set(copies)) >= 55
