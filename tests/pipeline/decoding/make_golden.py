"""Makes `tests/golden/decoding.json`: what the `ffmpeg` command decodes from files that tests use.

Run: `python tests/pipeline/decoding/make_golden.py` with ffmpeg 5.1 or later. `-flags bitexact` because
the assembler IDCT of FFmpeg 5.1 for XviD differs from its own C code, and from all of FFmpeg 8, by up to 2 levels.
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
    command = ["ffmpeg", "-v", "quiet", "-flags", "bitexact", "-i", str(path), *OUTPUT]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.rsplit(",", 1)[1].strip() for line in lines if line and not line.startswith("#")]


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
