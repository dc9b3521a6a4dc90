"""Figures for the page: valid SVG in the colour of its text, with labels that do not overlap, and with tooltips."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np

from bakeoff.report.figures import (
    Curve,
    CurveDot,
    Point,
    RunBar,
    StageBar,
    draw_confusion,
    draw_curves,
    draw_timeline,
    draw_tradeoff,
)


def test_figures_are_xml_in_the_text_colour_of_the_page() -> None:
    drawn = [
        draw_tradeoff(
            [Point("a", 1, 0.5, (0.4, 0.6), "race"), Point("b", 99, 0.6, (0.5, 0.7), "race")], "race", "s", "x"
        ),
        draw_curves(
            [Curve("a", [CurveDot(1, 0.1, 50, False), CurveDot(2, 0.2, 90, True)], [(1, 3.0), (2, 2.5)], True, False)],
            'say "x"',
        ),
        draw_timeline([StageBar("race", 3.0, [RunBar(2.0, 1.0, "a")])], None, "x"),
        draw_confusion(np.eye(130, dtype=np.int64), [str(n) for n in range(130)], "x"),
    ]
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("width") is None
        assert "currentColor" in svg
        assert "#010203" not in svg
    assert ElementTree.fromstring(drawn[1]).get("aria-label") == 'say "x"'


def test_the_front_is_drawn_through_the_cheapest_of_each_accuracy() -> None:
    points = [Point(name, cost, top1, (top1, top1), "race") for name, cost, top1 in [("a", 1, 0.5), ("b", 2, 0.4)]]
    assert "Pareto front" in draw_tradeoff(points, "race", "seconds", "x")
    assert "Pareto front" not in draw_tradeoff(points, "confirm", "seconds", "x")


def test_labels_of_crowded_points_do_not_overlap() -> None:
    points = [Point(f"network-{n}@96", 50 + n, 0.7 + n / 1000, (0.69, 0.72), "race") for n in range(8)]
    svg = draw_tradeoff([*points, Point("far@32", 300, 0.2, (0.19, 0.21), "race")], "race", "seconds", "x")
    places = [(float(x), float(y)) for x, y in re.findall(r"translate\(([\d.]+) ([\d.]+)\)[^>]*>network-", svg)]
    places = places or [(float(x), float(y)) for x, y in re.findall(r'x="([\d.]+)" y="([\d.]+)"[^>]*>network-', svg)]
    assert len(places) == 8
    for number, (x, y) in enumerate(places):
        # A label is 7.5 points high and, in its narrowest font, about 50 wide.
        assert all(abs(x - other) > 50 or abs(y - height) > 7 for other, height in places[:number])


def test_a_long_class_name_is_shortened_and_a_hundred_classes_are_all_named() -> None:
    names = [f"class-{n}" for n in range(99)] + ["a class with a very long name"]
    svg = draw_confusion(np.ones((100, 100), np.int64), names, "x")
    assert svg.count(">class-98<") == 2
    assert "a class with a ve…" in svg
    assert "very long name" not in re.sub(r"<title>.*?</title>", "", svg)
    # The tooltip of a cell has the full names.
    assert "<title>class-0 predicted as class-1: 1 of 100</title>" in svg
