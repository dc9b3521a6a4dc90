"""Serves a bundle over HTTP, on one machine or behind a proxy. It needs only the bundle, nothing of training.

settings.py        address and limits
responses.py       the JSON responses
uploads.py         a request's body as images, within the limits
metrics.py         counters and latencies for Prometheus
batching.py        batches images of concurrent requests, with a bounded queue
guard.py           checks every request: load, host, token, deadline; adds security headers
documentation.py   the page at /docs
app.py             the routes
server.py          the process: socket, slow clients, signals
page/              the files of the pages at / and /docs
"""

from bakeoff.deploy.serve.app import make_app
from bakeoff.deploy.serve.server import serve
from bakeoff.deploy.serve.settings import Settings

__all__ = ["Settings", "make_app", "serve"]
