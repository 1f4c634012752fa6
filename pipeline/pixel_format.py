"""How frames are stored as pixels, for methods that work inside the image encoder. Imports no torch.

No encoder is in it: one store of pixels serves every model. JPEG keeps the colours at full resolution (4:4:4), since
halving them saves a sixth of the bytes and costs as much in the features as the rest of JPEG; lossless is WebP at its
fastest setting, which is smaller than PNG and decodes faster (docs/extraction.md has the figures).
"""

from dataclasses import dataclass
from typing import Any

from vlp.pipeline.errors import PipelineError

PIXEL_MODEL = "pixels"
PRECISION = "uint8"
CODECS = ("jpeg", "lossless")
SHORT_SIDE = 256
NUM_CHANNELS = 3
_SETTINGS: dict[str, dict[str, Any]] = {
    "jpeg": {"format": "JPEG", "quality": 95, "subsampling": "4:4:4"},
    "lossless": {"format": "WEBP", "lossless": True, "method": 0, "quality": 0},
}
# Raw bytes a stored byte: less than measured, so that an estimate of the disk errs on the safe side.
_COMPRESSION = {"jpeg": 5.0, "lossless": 2.0}


class BadCodec(PipelineError):
    """A codec that is none of ours."""

    def __init__(self, codec: str) -> None:
        super().__init__(f"no codec {codec!r}. Known: {', '.join(CODECS)}.")
        self.codec = codec


@dataclass(frozen=True)
class PixelFormat:
    """Uncropped frames with a short side of 256 pixels.

    Attributes:
        codec: "jpeg", quality 95, or "lossless".
        model, pretrained: what a store is named by, in place of an encoder's.

    Raises:
        BadCodec: for any other codec.
    """

    codec: str = "jpeg"

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise BadCodec(self.codec)

    @property
    def model(self) -> str:
        """First name of the store's folder."""
        return PIXEL_MODEL

    @property
    def pretrained(self) -> str:
        """Second name of the store's folder."""
        return self.codec

    @property
    def settings(self) -> dict[str, Any]:
        """What Pillow is told when it encodes a frame."""
        return dict(_SETTINGS[self.codec])

    @property
    def meaning(self) -> dict[str, Any]:
        """All that decides what the pixels are, but for timeline and version."""
        return {
            "level": "pixels",
            "codec": self.settings,
            "preprocess": {"variant": "short-side", "short_side": SHORT_SIDE, "interpolation": "bicubic"},
            "views": ["whole"],
        }

    def estimated_bytes(self, height: int, width: int) -> int:
        """Estimate the bytes of one stored frame from the size of the source's, in pixels."""
        long_side = SHORT_SIDE * max(height, width) / max(1, min(height, width))
        return round(NUM_CHANNELS * SHORT_SIDE * long_side / _COMPRESSION[self.codec])
