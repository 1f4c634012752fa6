"""How many frames a file promises, and whether what was decoded is all of it; pure.

No single count can be trusted. The header of an AVI still says 132 when the file was cut after 18; DivX
AVIs (HMDB51) hold placeholder packets that give no frame and XviD ones count frames that were never
written, so packets and header exceed the frames of a whole file; an edit list shows fewer than the
header has. So the container's own size in bytes says whether the file was cut; the header, or the
declared duration, says how much is missing then; and in a file that was not cut, a packet without a
frame matters only where the format gives every packet a frame, or where decoding it failed.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from vlp.pipeline.decoding.results import Status

# one packet, one frame, by the definition of these formats (ISO/IEC 14496-15, Matroska codec mappings, AV1 in ISOBMFF)
_FRAME_PER_PACKET = {"h264", "hevc", "vp9", "av1"}
_SAMPLE_CONTAINERS = {"mov", "matroska"}
_HEADER_SLACK = 2  # frames that encoders count and never write at the end of a stream (libxvid, AVI)


@dataclass(frozen=True)
class Evidence:
    """What the container says, and what was read of it.

    Args:
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the codec.
        header_frames: frames according to the header; 0 where it does not say.
        num_packets: video packets with anything in them.
        num_shown: those that the edit list shows and that are more than a one-byte placeholder.
        declared_frames: stream duration times rate, or the header's; 0 where unknown.
        read_frames: end of the last packet times rate: more than packets where frames were dropped on purpose.
        size_bytes: of the file.
        promised_bytes: by the container's outermost boxes; None where they do not say.
        read_failed: demuxing ended with an error.
    """

    container: str
    codec: str
    header_frames: int
    num_packets: int
    num_shown: int
    declared_frames: int
    read_frames: int
    size_bytes: int
    promised_bytes: int | None
    read_failed: bool

    @property
    def is_cut(self) -> bool:
        """Whether bytes are missing; one is forgiven, as RIFF pads to even sizes."""
        return self.promised_bytes is not None and self.promised_bytes > self.size_bytes + 1

    @property
    def must_match_header(self) -> bool:
        """Whether frames that the header counts must be there though no bytes are known to be missing."""
        if self._is("mov"):  # an edit list shows fewer than the header counts
            return self.promised_bytes is None and self.num_shown == self.num_packets
        return self._is("flv") or self.header_frames > 0

    @property
    def has_frame_per_packet(self) -> bool:
        """Whether a packet without a frame is a lost frame."""
        return self.codec in _FRAME_PER_PACKET and any(map(self._is, _SAMPLE_CONTAINERS))

    def _is(self, name: str) -> bool:
        return name in self.container.split(",")


def promised_frames(evidence: Evidence) -> int:
    """Say how many frames the whole file would give, as far as can be known before decoding."""
    lacking = evidence.declared_frames - max(evidence.read_frames, evidence.num_packets)
    if evidence.is_cut:
        return evidence.num_shown + (_cut_frames(evidence) if lacking <= 0 else lacking)
    if evidence.read_failed:
        return evidence.num_shown + max(1, lacking)
    if evidence.must_match_header and lacking > _HEADER_SLACK:
        return evidence.num_shown + lacking
    return evidence.num_shown


def _cut_frames(evidence: Evidence) -> int:
    """Frames in the missing bytes, where only the bytes were promised; 0 if a header says all are there."""
    if evidence.declared_frames or not evidence.promised_bytes:
        return 0
    return math.ceil(evidence.num_shown * (evidence.promised_bytes / evidence.size_bytes - 1))


def verdict(evidence: Evidence, *, num_decoded: int, num_errors: int) -> tuple[Status, str | None, int]:
    """Judge what was decoded.

    Args:
        evidence: see `Evidence`.
        num_decoded: frames that came out.
        num_errors: packets that the decoder refused.

    Returns:
        The status, the reason (None where ok) and the number of frames expected.
    """
    promised = promised_frames(evidence)
    cut = evidence.is_cut or promised > evidence.num_shown
    if num_decoded == 0:
        return "failed", "truncated" if cut else "no-frames", promised
    if cut and num_decoded < promised:
        return "short", "truncated" if promised > evidence.num_shown else "damaged", promised
    if num_decoded < evidence.num_shown and (num_errors or evidence.has_frame_per_packet):
        return "short", "damaged", evidence.num_shown
    return "ok", None, num_decoded


def frames_in(duration_seconds: Fraction | None, rate_fps: Fraction | None) -> int:
    """Convert a duration to a number of frames; 0 where one of them is unknown."""
    return round(duration_seconds * rate_fps) if duration_seconds and rate_fps else 0
