"""Tensors of a run on disk: safetensors files, with plain facts in their header."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vlp.stores import storage
from vlp.stores.errors import RunDamaged

Tensors = dict[str, NDArray[Any]]
_LIMIT_BYTES = 64 << 30
_FACTS = "vlp"


def write_tensors(
    root: Path, name: str, tensors: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], *, writer: str
) -> None:
    """Write tensors and facts in one step.

    Args:
        root: the run.
        name: of the file, relative to it.
        tensors: by name.
        facts: plain data.
        writer: part of the name aside.

    Raises:
        StoreFull, StoreUnwritable: from the disk.
    """
    held = {key: np.array(value, copy=True, order="C") for key, value in tensors.items()}
    data = save(held, metadata={_FACTS: json.dumps(facts)})
    storage.make_folder(root, str(Path(name).parent))
    storage.write_file(root, name, data, writer=writer)


def read_tensors(root: Path, name: str) -> tuple[Tensors, dict[str, Any]]:
    """Read what `write_tensors` wrote; arguments as there.

    Raises:
        RunDamaged: if it is anything else.
    """
    try:
        size = storage.file_size(root, name) or 0
        if size > _LIMIT_BYTES:
            raise ValueError(f"it has {size:,} bytes")
        storage.map_bytes(root, name, num_bytes=size)  # refuses links out of the run, and pipes
        with safe_open(root / name, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})[_FACTS])
            json.dumps(facts, allow_nan=False)  # NaN is no plain data
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no mapping
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunDamaged(root / name, f"it is no checkpoint of ours ({error})") from error
    if not isinstance(facts, dict):
        raise RunDamaged(root / name, "it is no checkpoint of ours (its facts are no mapping)")
    return tensors, facts
