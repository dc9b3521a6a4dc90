"""The documentation at /docs: the OpenAPI description as one page without scripts."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["render_documentation"]


def render_documentation(description: dict[str, Any], address: str) -> str:
    """Render an OpenAPI description as HTML.

    Args:
        description: The OpenAPI description.
        address: The URL of the server, for the examples.
    """
    operations = [
        (method.upper(), path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    environment = Environment(
        loader=PackageLoader("bakeoff.deploy.serve", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    page = environment.get_template("documentation.html.j2")
    return page.render(info=description["info"], operations=operations, address=address)
