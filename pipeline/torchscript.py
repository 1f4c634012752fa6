"""Tensors of an OpenAI CLIP `.pt`, which is a TorchScript archive, read without running it.

`torch.jit.load` compiles the code that a file brings. A weights file is untrusted, and only its tensors are
wanted: the archive is a zip whose `data.pkl` names tensors stored beside it, so a restricted unpickler that
knows tensors and nothing else collects them.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_STORAGE_DTYPES = {
    "HalfStorage": torch.float16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}


class _Module:
    """Stands for any scripted module: holds the attributes that the pickle sets, runs nothing."""

    def __init__(self, *_arguments: Any) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.attributes = state


class _TensorUnpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, prefix: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{prefix}/data.pkl")))
        self._archive = archive
        self._prefix = prefix

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name} is not a tensor")

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, _device, num_elements = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or "/" in str(key):
            raise pickle.UnpicklingError(f"unknown storage {kind!r} {key!r}")
        raw = bytearray(self._archive.read(f"{self._prefix}/data/{key}"))
        values = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        if values.numel() < num_elements:
            raise pickle.UnpicklingError(f"storage {key} holds {values.numel()} of {num_elements} numbers")
        return values


def _rebuild_tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    return storage.as_strided(size, stride, offset)


def is_torchscript(path: Path) -> bool:
    """Tell a TorchScript archive from other files: it brings code."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def read_torchscript_tensors(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a TorchScript archive, named by its attribute path.

    Returns:
        name to tensor, as ``module.state_dict()`` would give them, constants included.

    Raises:
        ValueError: if the archive holds anything but modules and tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            prefix = next(name for name in archive.namelist() if name.endswith("/data.pkl"))[
                : -len("/data.pkl")
            ]
            root = _TensorUnpickler(archive, prefix).load()
            return dict(_named_tensors(root, ""))
    except (
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        StopIteration,
        KeyError,
        EOFError,
        RuntimeError,
    ) as error:
        raise ValueError(f"{path} is not a TorchScript archive of plain tensors: {error}") from error


def _named_tensors(node: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Tensor):
        yield name, node
    elif isinstance(node, _Module):
        for key, child in node.attributes.items():
            yield from _named_tensors(child, f"{name}.{key}" if name else key)
