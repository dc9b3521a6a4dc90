"""A bundle over HTTP, for one machine or behind a proxy. Knows nothing of training: it meets it through a bundle.

settings.py   where to listen, and every limit
batching.py   images of concurrent requests answered together, from a queue that has an end
reading.py    a request's body as images, within the limits
answers.py    the shapes of what is answered
guard.py      what every request passes: host, token, deadline, headers of answers
metrics.py    counts and times as Prometheus reads them
app.py        the paths
server.py     the process: sockets, slow clients, signals
page/         the page at /, and the documentation at /docs
"""

from bakeoff.deploy.serve.app import make_app
from bakeoff.deploy.serve.server import serve
from bakeoff.deploy.serve.settings import Settings

__all__ = ["Settings", "make_app", "serve"]
