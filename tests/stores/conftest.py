"""Stores and videos of known content; a connection that is cut."""

import hashlib
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlp.stores.features import ExtractedVideo, FeatureStore

MEANING = {
    "weights": "0" * 64,
    "preprocess": {"size": 224, "mean": [0.5, 0.25]},
    "timeline": "fps:30",
    "views": 1,
}


def _video(
    video_id: str, num_rows: int = 5, *, shape: tuple[int, int] = (2, 8), **changes: Any
) -> ExtractedVideo:
    seed = int.from_bytes(hashlib.sha256(repr((video_id, num_rows, shape)).encode()).digest()[:8])
    random = np.random.default_rng(seed)
    fields: dict[str, Any] = {
        "video_id": video_id,
        "features": random.standard_normal((num_rows, *shape)).astype(np.float16),
        "pts_seconds": np.arange(num_rows) / 30 + random.random(),
        "frame_index": np.cumsum(random.integers(1, 4, num_rows)).astype(np.int32),
        "num_expected": 2 * num_rows,
        "num_decoded": 2 * num_rows,
        "native_fps": 29.97,
        "duration_seconds": num_rows / 15,
        "status": "ok",
        "reason": None,
        "decoder": "pyav",
        "source_sha256": hashlib.sha256(repr(video_id).encode()).hexdigest(),
        "attempts": 1,
    }
    return ExtractedVideo(**{**fields, **changes})


def _store(path: Path, **changes: Any) -> FeatureStore:
    fields: dict[str, Any] = {
        "meaning": MEANING,
        "dataset": "toy",
        "model": "ViT-B-16",
        "pretrained": "openai",
        "num_views": 2,
        "embed_dim": 8,
        "batch_size": 32,
        "precision": "fp32",
        "tool_versions": {"numpy": np.__version__},
    }
    return FeatureStore.open_or_create(path, **{**fields, **changes})


def _write(store: FeatureStore, *videos: ExtractedVideo, **settings: Any) -> None:
    with store.writer(**{"device": "cpu", "precision": "fp32", **settings}) as writer:
        for video in videos:
            writer.add(video)


def _assert_same(store: FeatureStore, video: ExtractedVideo) -> None:
    read = store.read(video.video_id)
    for name in ("features", "pts_seconds", "frame_index"):
        expected, found = getattr(video, name), getattr(read, name)
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert found.tobytes() == expected.tobytes()
        assert not found.flags.writeable
    names = ("video_id", "num_expected", "num_decoded", "native_fps", "duration_seconds", "status", "reason")
    for name in (*names, "decoder", "source_sha256", "attempts"):
        assert getattr(read.entry, name) == getattr(video, name)
    assert read.entry.num_rows == len(video.features)


@pytest.fixture(scope="session")
def make_video() -> Callable[..., ExtractedVideo]:
    """Make a video whose content follows from its id: ``make_video(video_id, num_rows=5, shape=(V, D))``."""
    return _video


@pytest.fixture(scope="session")
def make_store() -> Callable[..., FeatureStore]:
    """Open or create a store of V = 2, D = 8 at a path."""
    return _store


@pytest.fixture(scope="session")
def write() -> Callable[..., None]:
    """Write videos to a store with a writer of their own."""
    return _write


@pytest.fixture(scope="session")
def assert_same() -> Callable[[FeatureStore, ExtractedVideo], None]:
    """Compare what a store reads with the video that was written, bit by bit."""
    return _assert_same


class CuttingProxy:
    """Passes what a client and a server of HTTP say to one another, and cuts the connection at certain requests.

    Args:
        server: HOST:PORT.
        cuts: pattern of the request, which of those, and when: "before" any of it has reached the server; when half of
            its "body" has; when the server has sent an "answer", which the client never sees, or sees "half" of.
        lasting: whether nothing passes any more from the first cut on; else everything does.
    """

    def __init__(self, server: str, cuts: Sequence[tuple[str, int, str]], *, lasting: bool) -> None:
        host, port = server.split(":")
        self._server = (host, int(port))
        self._cuts = [(re.compile(pattern.encode()), when) for pattern, _, when in cuts]
        self._left = [number for _, number, _ in cuts]
        self._lasting = lasting
        self._down = False
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def has_cut(self) -> bool:
        return max(self._left) <= 0

    def close(self) -> None:
        self._down = True
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._down:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                due: list[str] = []  # when to cut what passes now
                for pump in (self._pass_on, self._pass_back):
                    threading.Thread(target=pump, args=(client, server, due), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket, due: list[str]) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if "body" in due:
                    server.sendall(data[: len(data) // 2])
                    return self._cut(client, server)
                due += self._due(data)
                if "before" in due:
                    return self._cut(client, server)
                server.sendall(data)
        return self._close(client, server)

    def _pass_back(self, client: socket.socket, server: socket.socket, due: list[str]) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if {"answer", "half"} & {*due} and not data.startswith(b"HTTP/1.1 100"):
                    client.sendall(data[: len(data) // 2 if "half" in due else 0])
                    return self._cut(client, server)
                client.sendall(data)
        return self._close(client, server)

    def _due(self, data: bytes) -> list[str]:
        due = []
        for number, (pattern, when) in enumerate(self._cuts):
            if pattern.match(data):
                self._left[number] -= 1
                due += [when] if self._left[number] == 0 else []
        return due

    def _cut(self, *ends: socket.socket) -> None:
        self._close(*ends)
        if self._lasting:
            self.close()

    @staticmethod
    def _close(*ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def cutting() -> Iterator[Callable[..., CuttingProxy]]:
    """Start proxies that cut a connection (`CuttingProxy`)."""
    started: list[CuttingProxy] = []

    def start(*arguments: Any, **more: Any) -> CuttingProxy:
        started.append(CuttingProxy(*arguments, **more))
        return started[-1]

    yield start
    for proxy in started:
        proxy.close()
