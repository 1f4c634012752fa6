"""Makes `tests/golden/decoding.json`: what the `ffmpeg` command decodes from files that tests use.

Run: `python tests/pipeline/decoding/make_golden.py` with ffmpeg 5.1 or later on x86-64. XviD files with
`-flags bitexact`: FFmpeg 5.1's assembler version of XviD's IDCT differs by up to 2 levels from its own C code, and
from FFmpeg 8, which PyAV brings.
"""

import hashlib
import json
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CLIPS = HERE.parents[2] / ".." / "shared" / "videos" / "benchmark_clips"
GOLDEN = HERE.parents[1] / "golden" / "decoding.json"
OUTPUT = ["-an", "-f", "framehash", "-hash", "sha256", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-"]


def frame_hashes(path: Path) -> list[str]:
    """SHA-256 of each decoded frame as RGB."""
    exact = ["-flags", "bitexact"] if codec_tag(path).lower() == "xvid" else []
    command = ["ffmpeg", "-v", "quiet", *exact, "-i", str(path), *OUTPUT]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.rsplit(",", 1)[1].strip() for line in lines if line and not line.startswith("#")]


def codec_tag(path: Path) -> str:
    """The four letters by which the file names its video codec."""
    command = ["ffprobe", "-v", "quiet", "-select_streams", "v", "-show_entries", "stream=codec_tag_string"]
    return subprocess.run(
        [*command, "-of", "csv=p=0", str(path)], check=True, capture_output=True, text=True
    ).stdout.strip()


def golden(path: Path) -> dict[str, int | str]:
    """Number of frames, and one SHA-256 over their hashes, one a line."""
    hashes = frame_hashes(path)
    return {"num_frames": len(hashes), "sha256": hashlib.sha256("\n".join(hashes).encode()).hexdigest()}


def main() -> None:
    """Write the golden file."""
    version = subprocess.run(["ffmpeg", "-version"], check=True, capture_output=True, text=True).stdout
    found = {
        "made_by": "python tests/pipeline/decoding/make_golden.py",
        "ffmpeg": version.split()[2],
        "data": {path.name: golden(path) for path in sorted((HERE / "data").iterdir())},
        "benchmark_clips": {path.name: golden(path) for path in sorted(CLIPS.iterdir()) if path.suffix},
    }
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
