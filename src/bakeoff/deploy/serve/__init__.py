"""Serves a bundle over HTTP, on one machine or behind a proxy. It needs only the bundle, nothing of training.

settings.py        address, proxy and limits
responses.py       the JSON responses
base64_images.py   images in a JSON request
uploads.py         a request's body as images, within the limits
metrics.py         counters and latencies for Prometheus
batching.py        batches images of concurrent requests, with a bounded queue
guard.py           limits load and time; adds security headers
access.py          checks host and token; lets pages of other origins in
paths.py           a proxy's path prefix; HEAD and OPTIONS
documentation.py   the page at /docs
app.py             the routes
protocol.py        slow clients, and requests that are rejected while they arrive
server.py          the process: socket, signals
page/              the files of the pages at / and /docs
"""

from bakeoff.deploy.serve.app import make_app
from bakeoff.deploy.serve.server import serve
from bakeoff.deploy.serve.settings import Settings

__all__ = ["Settings", "make_app", "serve"]
