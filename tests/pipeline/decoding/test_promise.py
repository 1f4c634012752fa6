"""How many frames a file promises, and what is missing."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from vlp.pipeline.decoding.container_size import promised_bytes
from vlp.pipeline.decoding.promise import Evidence, promised_frames, verdict

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
WHOLE = Evidence(
    container="avi", codec="mpeg4", header_frames=100, num_packets=100, num_shown=100, declared_frames=100,
    read_frames=100, size_bytes=5000, promised_bytes=5000, read_failed=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "evidence", "num_decoded", "num_errors", "expected"),
    [
        ("whole", WHOLE, 100, 0, ("ok", None, 100)),
        ("DivX placeholder, HMDB51", replace(WHOLE, num_shown=99), 99, 0, ("ok", None, 99)),
        ("a packet that gives no frame, no error", WHOLE, 99, 0, ("ok", None, 99)),
        (
            "frames counted but never written",
            replace(WHOLE, num_packets=98, num_shown=98),
            98,
            0,
            ("ok", None, 98),
        ),
        ("frames dropped on purpose", replace(WHOLE, num_packets=60, num_shown=60), 60, 0, ("ok", None, 60)),
        ("a packet refused", WHOLE, 99, 1, ("short", "damaged", 100)),
        (
            "cut AVI",
            replace(WHOLE, num_packets=18, num_shown=18, read_frames=18, size_bytes=900),
            18,
            0,
            ("short", "truncated", 100),
        ),
        ("cut AVI that lost its index only", replace(WHOLE, size_bytes=4000), 100, 0, ("ok", None, 100)),
        (
            "header beyond the packets of a whole AVI",
            replace(WHOLE, num_packets=50, num_shown=50, read_frames=50),
            50,
            0,
            ("short", "truncated", 100),
        ),
        (
            "H.264 in MP4: a packet without a frame",
            replace(WHOLE, container=MP4, codec="h264"),
            99,
            0,
            ("short", "damaged", 100),
        ),
        (
            "H.264 in TS: two fields make a frame",
            replace(WHOLE, container="mpegts", codec="h264", header_frames=0, promised_bytes=None),
            50,
            0,
            ("ok", None, 50),
        ),
        (
            "edit list hides frames",
            replace(WHOLE, container=MP4, codec="h264", num_shown=70),
            70,
            0,
            ("ok", None, 70),
        ),
        (
            "edit list drops the end",
            replace(WHOLE, container=MP4, codec="h264", num_packets=70, num_shown=70, read_frames=0),
            70,
            0,
            ("ok", None, 70),
        ),
        (
            "cut Matroska that declares nothing",
            replace(WHOLE, container="matroska,webm", header_frames=0, declared_frames=0, size_bytes=2500),
            100,
            0,
            ("short", "truncated", 200),
        ),
        (
            "cut Matroska with a duration",
            replace(
                WHOLE,
                container="matroska,webm",
                header_frames=0,
                num_packets=40,
                num_shown=40,
                read_frames=40,
                size_bytes=2000,
            ),
            39,
            0,
            ("short", "truncated", 100),
        ),
        (
            "reading failed",
            replace(WHOLE, promised_bytes=None, header_frames=0, read_failed=True),
            100,
            0,
            ("short", "truncated", 101),
        ),
        ("nothing decoded", WHOLE, 0, 100, ("failed", "no-frames", 100)),
        (
            "cut before the first frame",
            replace(WHOLE, num_packets=0, num_shown=0, read_frames=0, size_bytes=100),
            0,
            0,
            ("failed", "truncated", 100),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_verdict(
    name: str, evidence: Evidence, num_decoded: int, num_errors: int, expected: tuple[str, str | None, int]
) -> None:
    assert verdict(evidence, num_decoded=num_decoded, num_errors=num_errors) == expected


def test_an_expectation_never_falls_short_of_what_is_there() -> None:
    for shown in (0, 1, 50, 100, 150):
        for cut in (100, 5000):
            evidence = replace(WHOLE, num_packets=shown, num_shown=shown, read_frames=shown, size_bytes=cut)
            assert promised_frames(evidence) >= shown


FORMATS = {
    "h264_bframes.mp4": MP4, "h264_30fps.mkv": "matroska,webm", "vp9_odd.webm": "matroska,webm",
    "asp_bframes.avi": "avi", "wmv2.wmv": "asf",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_file_cut_anywhere_promises_its_whole_size(name: str, data: Path) -> None:
    whole = (data / name).read_bytes()
    assert promised_bytes(io.BytesIO(whole), FORMATS[name], len(whole)) == len(whole)
    for percent in (40, 70, 99):
        cut = whole[: len(whole) * percent // 100]
        promised = promised_bytes(io.BytesIO(cut), FORMATS[name], len(cut))
        assert promised is not None
        assert len(cut) < promised <= len(whole)


@pytest.mark.parametrize(
    ("container", "head"),
    [
        ("mpegts", b"\x47" * 188),
        ("avi", b"RIFF\0\0\0\0AVI "),
        ("avi", b"JUNKJUNKJUNK"),
        (MP4, b"\0\0\0\0mdat" + bytes(30)),
        ("matroska,webm", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff" + bytes(20)),
        ("matroska,webm", b"\0" * 40),
        ("asf", b"\x30\x26\xb2\x75" + bytes(40)),
    ],
)
def test_containers_that_promise_no_size(container: str, head: bytes) -> None:
    promised = promised_bytes(io.BytesIO(head), container, len(head))
    assert promised is None or promised <= len(head)
