"""Makes the files of `data/` with ffmpeg: `python tests/pipeline/decoding/make_samples.py`.

Every frame carries its number (see `barcode` in conftest.py), so that a test can tell from the pixels which source
frame it was given. Made with ffmpeg 5.1.9 (Debian 12); other versions write other bytes, which is why
the files are kept and `tests/golden/decoding.json` is made from the kept files.
"""

import subprocess
from pathlib import Path

from conftest import barcode

DATA = Path(__file__).parent / "data"


def encode(
    name: str, *arguments: str, num_frames: int = 40, size: tuple[int, int] = (96, 64), fps: str = "25"
) -> None:
    """Write ``num_frames`` numbered frames through ffmpeg into ``data/<name>``."""
    raw = b"".join(barcode(number, *size).tobytes() for number in range(num_frames))
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", fps, "-i", "-"]
    command = ["ffmpeg", "-v", "error", "-y", *source, *arguments, "-fflags", "+bitexact", str(DATA / name)]
    subprocess.run(command, input=raw, check=True)


def encode_static(name: str, *arguments: str) -> None:
    """Write the same picture 20 times: frames that may repeat, as a decoder that lost count repeats them."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        "color=gray:s=96x64:r=25:d=0.8",
        *arguments,
    ]
    subprocess.run([*command, "-fflags", "+bitexact", str(DATA / name)], check=True)


def copy(source: str, name: str, *arguments: str, before: tuple[str, ...] = ()) -> None:
    """Copy the packets of ``data/<source>`` into ``data/<name>``."""
    command = ["ffmpeg", "-v", "error", "-y", *before, "-i", str(DATA / source), "-c", "copy", *arguments]
    subprocess.run([*command, "-fflags", "+bitexact", str(DATA / name)], check=True)


def main() -> None:
    """Write all of them."""
    DATA.mkdir(exist_ok=True)
    x264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20")
    encode("h264_bframes.mp4", *x264, "-bf", "3", "-g", "20")
    encode("h264_30fps.mkv", *x264, "-bf", "2", fps="30")
    encode("h264_60fps.mp4", *x264, "-bf", "2", fps="60")
    encode("h264_ntsc.mkv", *x264, "-bf", "2", fps="30000/1001")
    encode("open_gop.mp4", *x264, "-x264-params", "open-gop=1:keyint=10:bframes=3:scenecut=0")
    encode("one_frame.mp4", *x264, num_frames=1)
    encode("odd_444.mp4", "-c:v", "libx264", "-pix_fmt", "yuv444p", "-crf", "20", size=(97, 65))
    vfr = "setpts='(N+floor(N/5)*3+mod(N\\,3)*0.4)/(25*TB)'"
    encode("vfr.mp4", "-vf", vfr, *x264, "-bf", "2", "-fps_mode", "vfr", "-enc_time_base", "1:1000")
    encode(
        "vp9_odd.webm",
        "-c:v",
        "libvpx-vp9",
        "-pix_fmt",
        "yuv420p",
        "-crf",
        "30",
        "-b:v",
        "0",
        size=(97, 65),
        fps="30",
    )
    encode(
        "vp8.webm",
        "-c:v",
        "libvpx",
        "-pix_fmt",
        "yuv420p",
        "-crf",
        "20",
        "-b:v",
        "200k",
        "-auto-alt-ref",
        "1",
        "-lag-in-frames",
        "16",
        fps="30",
    )
    encode("av1.mkv", "-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "30", "-pix_fmt", "yuv420p", fps="24")
    x265 = ("-c:v", "libx265", "-tag:v", "hvc1", "-x265-params", "log-level=error:bframes=3:keyint=20")
    encode("hevc.mp4", *x265, "-pix_fmt", "yuv420p")
    encode("hevc_10bit.mp4", *x265, "-pix_fmt", "yuv420p10le")
    asp = ("-c:v", "mpeg4", "-q:v", "4", "-bf", "2", "-g", "12")
    encode("asp_bframes.avi", *asp, "-vtag", "DX50")
    encode("packed_xvid.avi", "-c:v", "libxvid", "-q:v", "4", "-bf", "2", "-g", "12", "-vtag", "XVID")
    encode("asp_odd.avi", "-c:v", "mpeg4", "-q:v", "4", size=(97, 65))
    encode("wmv2.wmv", "-c:v", "wmv2", "-q:v", "4", fps="30")
    encode("mpeg2_bframes.mpg", "-c:v", "mpeg2video", "-q:v", "4", "-bf", "2", fps="24")
    encode("flv1.flv", "-c:v", "flv1", "-q:v", "4", fps="30")
    encode("h264_bframes.ts", *x264, "-bf", "3", "-g", "20")
    encode("rotated_source.mp4", *x264, "-bf", "2", num_frames=12)
    for degrees in (90, 180, 270):
        copy("rotated_source.mp4", f"rotated_{degrees}.mp4", "-metadata:s:v", f"rotate={degrees}")
    copy("h264_bframes.mp4", "edit_list.mp4", before=("-ss", "0.3"))
    encode("source.ts", *x264, "-x264-params", "open-gop=1:keyint=10:bframes=3:scenecut=0:repeat-headers=1")
    copy("source.ts", "cut_open_gop.ts", before=("-ss", "0.5"))
    encode_static("static.mp4", *x264)
    for source in ("rotated_source.mp4", "source.ts"):
        (DATA / source).unlink()


if __name__ == "__main__":
    main()
