"""A `bakeoff serve` in a separate process, and clients for it: plain sockets, so that the clients need little time."""

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from bakeoff.deploy.bundle import open_bundle
from bakeoff.deploy.serve import Settings, serve

__all__ = ["HOST", "Client", "encode_png", "make_request", "serving"]

HOST = "127.0.0.1"


def encode_png(array: np.ndarray) -> bytes:
    """PNG bytes of uint8 (height, width, 3) pixels."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


@contextmanager
def serving(bundle: Path, batch_images: int = Settings.batch_images, port: int = 0) -> Iterator[tuple[int, int]]:
    """Serve a bundle; yields the port and the id of the process once it answers."""
    command = [sys.executable, __file__, str(bundle), str(batch_images), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = process.stdout.readline()
        if not address:
            raise SystemExit(f"the server ended with code {process.wait()}")
        yield int(address.rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        process.wait()


def make_request(body: bytes, kind: str = "image/png", path: str = "/predict") -> bytes:
    """The bytes of an HTTP request."""
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Client:
    """A persistent connection, which is opened again if the server closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, seconds: float = 30.0) -> tuple[int, bytes]:
        """Status and body of the answer. Raises OSError if there is none; ConnectionRefusedError if nothing listens."""
        try:
            async with asyncio.timeout(seconds):
                if self._streams is None or self._streams[0].at_eof():
                    self.close()
                    self._streams = await asyncio.open_connection(HOST, self._port)
                reader, writer = self._streams
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                lengths = [line.partition(":")[2] for line in head.splitlines() if line.startswith("content-length:")]
                # Without a length, the end of the connection is the end of the answer.
                body = await (reader.readexactly(int(lengths[0])) if lengths else reader.read())
        except asyncio.IncompleteReadError as error:
            self.close()
            raise ConnectionResetError from error
        except OSError:
            self.close()
            raise
        if "connection: close" in head:
            self.close()
        return int(head.split()[1]), body

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


if __name__ == "__main__":
    folder, batch, wanted = sys.argv[1:]
    serve(
        open_bundle(Path(folder)),
        Settings(port=int(wanted), batch_images=int(batch)),
        on_ready=lambda address: (sys.stdout.write(f"{address}\n"), sys.stdout.flush()),
    )
