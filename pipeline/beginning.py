"""How an extraction begins: device, batch size and precision of a new store, or those of one that is gone on with."""

import torch

from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import choose_device, choose_precision
from vlp.pipeline.errors import BatchSizeFixed, DeviceUnavailable
from vlp.pipeline.pixel_format import PRECISION, PixelFormat
from vlp.pipeline.planning import ExtractionPlan, Settings, tool_versions
from vlp.stores.features import FeatureStore

# Rows of every batch. A CPU is as fast with 16 as with more, and sooner done when it is told to stop; a GPU wants
# enough rows to fill it.
_BATCH_SIZES = {"cpu": 16, "cuda": 256, "mps": 64}


def choices_here(spec: EncoderSpec | PixelFormat, settings: Settings) -> tuple[torch.device, int, str]:
    """Choose device, batch size and precision for a new store on this machine, as far as the user left it open.

    Pixels are always made on the CPU, so that their bits do not depend on it.

    Raises:
        DeviceUnavailable: if this machine lacks the device or the precision.
    """
    if isinstance(spec, PixelFormat):
        device, precision = torch.device("cpu"), PRECISION
    else:
        device = choose_device(settings.device)
        precision = choose_precision(settings.precision, device)
    return device, settings.batch_size or _BATCH_SIZES[device.type], precision


def begin_store(plan: ExtractionPlan, settings: Settings, *, batch_size: int, precision: str) -> FeatureStore:
    """Open the plan's store, or begin it with this batch size and precision.

    Raises:
        StoreError: if it cannot be opened or begun.
        BatchSizeFixed: if it was begun with another batch size than the one asked for.
    """
    store = FeatureStore.open_or_create(
        plan.store,
        meaning=plan.meaning,
        dataset=plan.manifest.dataset,
        model=plan.description.model,
        pretrained=plan.description.pretrained,
        num_views=len(plan.framing.views),
        embed_dim=plan.width,
        batch_size=batch_size,
        precision=precision,
        tool_versions=tool_versions(),
    )
    if settings.batch_size is not None and settings.batch_size != store.batch_size:
        raise BatchSizeFixed(str(plan.store), store.batch_size, settings.batch_size)
    return store


def resumed_precision(asked: str, store: FeatureStore, device: torch.device) -> str:
    """Go on in the precision in which the store was begun, where this device has it."""
    if asked != "auto":
        return choose_precision(asked, device)
    try:
        return choose_precision(store.precision, device)
    except DeviceUnavailable:
        return choose_precision("auto", device)
