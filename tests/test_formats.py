"""The table of formats shows the facts of the bundles beside the report."""

from bakeoff.deploy.bundle import BundleFacts, Format, Quantize, Scores, Timing, write_facts
from bakeoff.report.formats import describe_formats

TIMING = Timing(
    threads=2,
    batch1_seconds=0.0123,
    batch32_seconds=0.4,
    load_seconds=0.9,
    memory_peak_bytes=123_000_000,
    device="cpu",
)


def _write(folder, **changes):
    fields = {"run": "r", "candidate": "lenet@32", "side": 32, "bakeoff": "0", "files": {}, "timing": TIMING}
    folder.mkdir()
    write_facts(folder, BundleFacts(**(fields | changes)))


def test_timed_bundles_are_listed_smallest_first_and_others_left_out(tmp_path):
    _write(tmp_path / "bundle", timing=None)
    _write(tmp_path / "bundle-onnx", format=Format.ONNX, model_bytes=14_000_000)
    scores = Scores(images=1000, run_top1=0.92, top1=0.912, top1_ci95=(0.89, 0.93))
    _write(
        tmp_path / "bundle-litert-int8",
        format=Format.LITERT,
        quantize=Quantize.INT8,
        model_bytes=4_000_000,
        val=scores,
    )
    rows = describe_formats(tmp_path, "r")
    assert [row.kind for row in rows] == ["litert-int8", "onnx"]
    assert (rows[0].folder, rows[0].one, rows[0].many, rows[0].first) == ("bundle-litert-int8", "12.3", "400", "0.9")
    assert "91.2" in rows[0].top1
    assert rows[1].top1 == "as the run"


def test_a_study_without_exports_has_no_table(tmp_path):
    assert describe_formats(tmp_path, "r") == []


def test_a_bundle_of_another_run_than_the_winner_is_listed_with_its_run(tmp_path):
    _write(tmp_path / "bundle", model_bytes=1)
    _write(tmp_path / "bundle-onnx", format=Format.ONNX, model_bytes=2, run="other")
    assert [row.other_run for row in describe_formats(tmp_path, "r")] == ["", "other"]
