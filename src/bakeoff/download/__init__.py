"""Files over HTTP: resumed where they stopped, bounded, checked, and only where downloads are allowed.

In: a URL, what is known of the file. Out: the file, whole and checked, or why it cannot be had.
May import: errors, files, locks.

offline.py   whether anything may be downloaded
remote.py    a file on a server, and what can be wrong with it
partial.py   the part of a file that has arrived
server.py    one answer of a server
file.py      a file, in one piece or several

    download(Remote(url, digest="d41d8cd9…", most_bytes=10_000_000), target)

No library that is widely used does all of this for plain files: pooch begins anew, and what huggingface_hub does is for
its own servers.
"""

from bakeoff.download.file import download
from bakeoff.download.offline import is_offline, working_offline
from bakeoff.download.partial import partial_path
from bakeoff.download.remote import DownloadError, HostError, Remote, StoppedError
from bakeoff.download.server import STALL_SECONDS

__all__ = [
    "STALL_SECONDS",
    "DownloadError",
    "HostError",
    "Remote",
    "StoppedError",
    "download",
    "is_offline",
    "partial_path",
    "working_offline",
]
