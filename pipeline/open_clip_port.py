"""The one place that imports open_clip, with torchvision beside a CPU-only torch.

torchvision's wheel from the package index fails to import beside a CPU-only torch, because its compiled
operators were built for another torch and are missing. Nothing of what open_clip uses needs them: where the
import fails, the two schemas that torchvision's Python code registers against are declared, and the import is
tried again, once. With matching builds nothing happens.
"""

from typing import Any

import torch


def _declare_missing_operators() -> Any:
    library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def _import_open_clip() -> Any:
    global _declared  # noqa: PLW0603  # torch drops the schemas with the object that declared them
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declared = _declare_missing_operators()
    import open_clip

    return open_clip


_declared: Any = None
open_clip: Any = _import_open_clip()
