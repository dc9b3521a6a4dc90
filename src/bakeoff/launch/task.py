"""The function that Ray runs on a node, and the check that the node has the same versions as the coordinator."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["format_difference", "make_task"]


def make_task() -> Any:
    """The function that Ray runs on a node.

    A nested function is sent with its code. So it also runs on a node with another bakeoff, and can report that.
    """
    import ray

    def attempt(versions: dict[str, str], request: bytes, sent: dict[str, list[Any]]) -> Iterator[Any]:
        import pickle

        import ray

        try:
            from bakeoff.runs.versions import find_versions

            node_versions = find_versions()
        except ImportError:
            node_versions = {}
        if node_versions != versions:
            yield {"node": ray.util.get_node_ip_address(), "versions": node_versions}
            return
        from bakeoff.launch import node

        def fetch(file_ref: Any) -> Any:
            return map(ray.get, sent[file_ref.sha256]) if file_ref.sha256 in sent else None

        yield from node.attempt(pickle.loads(request), fetch)

    return ray.remote(attempt)


def format_difference(node: str, versions: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """The error message for a node whose versions differ from this machine's.

    Args:
        node: The node's address.
        versions: The node's versions by name of the package.
        expected: This machine's versions.
    """
    name = next(name for name, version in expected.items() if versions.get(name) != version)
    found = f"{name} {versions[name]}" if name in versions else f"no {name}, or a bakeoff too old to report it"
    return (
        f"node {node} has {found}, this machine has {name} {expected[name]};"
        " install the same version on all nodes, or remove that node from the cluster"
    )
