"""Files that are damaged, are no videos, or want to reach something else."""

import os
import random
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from vlp.pipeline.decoding.pool import DecodePool, DecodeRequest, Limits
from vlp.pipeline.decoding.probe import open_video
from vlp.pipeline.decoding.sources import Disagreement, decord_frames, pyav_frames
from vlp.pipeline.decoding.timeline import Timeline

DATA = Path(__file__).parent / "data"
NATIVE = Timeline.parse("native")
PROMISES_NO_SIZE = {".ts", ".mpg", ".flv"}

Decode = Callable[..., Any]


def missing(_path: Path) -> None:
    pass


def text(path: Path) -> None:
    path.write_text("This is no video. " * 100)


def rubbish(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(20_000))  # noqa: S311 - no secret


def cut_before_the_index(path: Path) -> None:
    whole = (DATA / "h264_bframes.mp4").read_bytes()
    path.write_bytes(whole[: whole.index(b"moov") - 100])


def audio_only(path: Path) -> None:
    import av
    import numpy as np

    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        for _ in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))


@pytest.mark.parametrize(
    ("make", "reason", "detail"),
    [
        (missing, "missing", "no such file"),
        (Path.touch, "empty", "0 bytes"),
        (Path.mkdir, "not-a-file", "a directory"),
        (os.mkfifo, "not-a-file", "a FIFO"),
        (bound_socket, "not-a-file", "a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "not-a-file", "a device"),
        (lambda path: path.symlink_to("nowhere"), "missing", "no such file"),
        (lambda path: path.symlink_to(path), "unreadable", "symbolic links"),
        (text, "not-a-video", "no known video container"),
        (rubbish, "not-a-video", "no known video container"),
        (cut_before_the_index, "truncated", "mp4 file that ends before its header says"),
        (audio_only, "no-video-stream", "without a video stream"),
    ],
    ids="missing empty directory fifo socket device broken-link link-loop text rubbish cut audio".split(),  # noqa: SIM905
)
def test_a_path_that_gives_no_video_says_why(
    make: Callable[[Path], object], reason: str, detail: str, tmp_path: Path, decode: Decode
) -> None:
    path = tmp_path / "video.mp4"
    make(path)
    outcome = decode(path).outcome
    assert (outcome.status, outcome.reason, outcome.attempt) == ("failed", reason, 1)
    assert detail in outcome.detail
    assert "\n" not in outcome.detail


def test_a_file_that_may_not_be_read_says_so(
    tmp_path: Path, collect_from: Callable[..., dict[str, Any]]
) -> None:
    path = tmp_path / "video.mp4"
    shutil.copy(DATA / "hevc.mp4", path)
    path.chmod(0)
    drop_root = (
        "import os, sys\nfrom vlp.pipeline.decoding import child\n"
        "if os.geteuid() == 0: os.setuid(65534)\nchild.main(sys.argv[1])"
    )
    with DecodePool(NATIVE, num_children=1, child_command=[sys.executable, "-c", drop_root]) as pool:
        outcome = collect_from(pool, [DecodeRequest("v", path)])["v"].outcome
    assert (outcome.status, outcome.reason) == ("failed", "permission")


@pytest.mark.parametrize(
    "name",
    [
        "video with spaces.mp4",
        "%03d.mp4",
        "concat:a|b.mp4",
        "-i.mp4",
        "naïve 视频.mp4",
        "line\nbreak.mp4",
        "\udcff.mp4",
    ],
)
def test_odd_file_names_are_names_and_nothing_else(name: str, tmp_path: Path, decode: Decode) -> None:
    shutil.copy(DATA / "hevc.mp4", tmp_path / name)
    assert decode(tmp_path / name).numbers == list(range(40))


# -- nothing but the file itself is read


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A local server: its port, and who came."""
    visitors: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                visitors.append(address)
                connection.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield server.getsockname()[1], visitors
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".avi"])
@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:{port}/x.ts\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/x.mp4'\n",
        "ffconcat version 1.0\nfile '{other}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
        '<BaseURL>http://127.0.0.1:{port}/</BaseURL></AdaptationSet></Period></MPD>\n',
        "http://127.0.0.1:{port}/x.mp4\n",
    ],
    ids=["hls-net", "hls-file", "concat-net", "concat-file", "sdp", "dash", "url"],
)  # fmt: skip
def test_playlists_and_descriptions_reach_neither_the_network_nor_another_file(
    content: str, suffix: str, tmp_path: Path, listener: tuple[int, list[object]], decode: Decode
) -> None:
    port, visitors = listener
    path = tmp_path / f"list{suffix}"
    path.write_text(content.format(port=port, other=DATA / "h264_bframes.ts"))
    outcome = decode(path).outcome
    assert (outcome.status, outcome.reason) == ("failed", "not-a-video")
    assert not visitors


def test_a_url_is_a_path_like_any_other(listener: tuple[int, list[object]], decode: Decode) -> None:
    port, visitors = listener
    assert decode(Path(f"http://127.0.0.1:{port}/x.mp4")).outcome.reason == "missing"
    assert not visitors


# -- what can be decoded of damaged files


@pytest.mark.parametrize("percent", [35, 65, 90])
@pytest.mark.parametrize(
    "name", sorted(path.name for path in DATA.iterdir() if path.name not in {"one_frame.mp4", "static.mp4"})
)
def test_a_cut_file_gives_its_first_frames_and_says_that_it_is_short(
    name: str, percent: int, tmp_path: Path, decode: Decode
) -> None:
    whole = decode(DATA / name)
    content = (DATA / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: len(content) * percent // 100])
    video = decode(path)
    outcome = video.outcome
    assert len(video.frames) == (0 if outcome.status == "failed" else outcome.num_decoded)
    sound = max(0, len(video.frames) - 3)  # the last may be torn, as their packets were
    matches = [
        (ours.shape == theirs.shape and (ours == theirs).all())
        for ours, theirs in zip(video.frames[:sound], whole.frames, strict=False)
    ]
    assert all(matches)
    if path.suffix in PROMISES_NO_SIZE:
        return
    assert outcome.status == ("short" if video.frames else "failed")
    assert outcome.reason == "truncated"
    if video.frames:
        assert outcome.num_decoded < outcome.num_expected
        assert outcome.num_expected <= 1.6 * whole.outcome.num_decoded + 5


def with_a_hole(at: float, num_bytes: int) -> bytes:
    """The H.264 sample with zeros at a fraction of its packets' bytes."""
    content = bytearray((DATA / "h264_bframes.mp4").read_bytes())
    first, last = content.index(b"mdat") + 4, content.index(b"moov") - 4 - num_bytes
    hole = int(first + (last - first) * at)
    content[hole : hole + num_bytes] = bytes(num_bytes)
    return bytes(content)


def test_a_file_with_a_hole_gives_what_is_left_at_its_own_times(tmp_path: Path, decode: Decode) -> None:
    (tmp_path / "hole.mp4").write_bytes(with_a_hole(0.3, 120))
    video = decode(tmp_path / "hole.mp4")
    assert (video.outcome.status, video.outcome.reason, video.outcome.decoder) == ("short", "damaged", "pyav")
    assert len(video.frames) == video.outcome.num_decoded < video.outcome.num_expected == 40
    places = [round(time * 25) for time in video.pts_seconds]
    assert places == sorted(set(places))
    assert places[-1] == 39, "what comes after the hole keeps its time"


@pytest.mark.parametrize("num_bytes", [20, 120])
@pytest.mark.parametrize("at", [0.0, 0.15, 0.5, 0.7, 0.9, 1.0])
def test_decord_is_never_believed_where_it_differs_from_pyav(
    at: float, num_bytes: int, tmp_path: Path
) -> None:
    path = tmp_path / "hole.mp4"
    path.write_bytes(with_a_hole(at, num_bytes))
    with open_video(path, max_frame_bytes=1 << 27, alive=lambda: None) as video:
        try:
            believed = [frame.pixels().tobytes() for frame in decord_frames(video)]
        except Disagreement:
            return
        assert believed == [frame.pixels().tobytes() for frame in pyav_frames(video)]


def test_random_damage_harms_nothing_else(
    tmp_path: Path, collect_from: Callable[..., dict[str, Any]]
) -> None:
    rng = random.Random(7)  # noqa: S311 - no secret
    samples = sorted(DATA.iterdir())
    requests = []
    for number in range(60):
        sample = samples[number % len(samples)]
        content = bytearray(sample.read_bytes())
        for _ in range(rng.choice([1, 4, 20])):
            at = rng.randrange(len(content))
            content[at : at + rng.choice([1, 4, 64])] = rng.randbytes(rng.choice([0, 1, 4, 64]))
        path = tmp_path / f"{number}{sample.suffix}"
        path.write_bytes(content)
        requests.append(DecodeRequest(path.name, path))
    requests.append(DecodeRequest("sound", DATA / "hevc.mp4"))
    with DecodePool(NATIVE, num_children=2, limits=Limits(no_progress_seconds=10.0)) as pool:
        found = collect_from(pool, requests)
    assert found["sound"].numbers == list(range(40))
    for video in found.values():
        outcome = video.outcome
        assert outcome.reason is None if outcome.status == "ok" else outcome.reason
        assert len(video.frames) == len(video.pts_seconds) == len(video.frame_index)
        if outcome.status != "failed":
            assert len(video.frames) == outcome.num_decoded <= outcome.num_expected
            assert all(a < b for a, b in pairwise(video.pts_seconds))
