"""Attempts on a node, without Ray: what travels there, what comes back, and what is tried again."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.errors import InputError
from bakeoff.launch import Local, StoppedError, launch, node
from bakeoff.launch.messages import FileRef, follow_attempt, make_request, read_chunks
from bakeoff.launch.process import Ended
from bakeoff.launch.task import format_difference
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.history import read_history
from bakeoff.runs.record import Stage, State, read_record
from bakeoff.runs.versions import find_versions
from learned import TINY
from running import WorkerHere


class Pretended:
    """A cluster of one node, which is this machine with another cache and no folder shared."""

    slots, threads = 1, None

    def __init__(self, cache, *, lose_at=None, damage=False):
        self.cache, self.lose_at, self.damage = cache, lose_at, damage
        self.sent, self.orders = {}, []

    def for_stage(self, _, **__):
        return self

    def stop(self):
        raise AssertionError

    def attempt(self, record, folder, data, *, limit, on_progress):
        request = make_request(record, folder, data, limit=limit, threads=1, environment=self._environment())
        places = {file_ref.sha256: file_ref.path for file_ref in request.files_needed}
        request = replace(
            request,
            manifest=_elsewhere(request.manifest),
            shards=tuple(map(_elsewhere, request.shards)),
            weights=request.weights and _elsewhere(request.weights),
        )
        self.orders.append(request)
        own = os.environ["BAKEOFF_CACHE_DIR"]
        os.environ["BAKEOFF_CACHE_DIR"] = str(self.cache)
        try:
            while isinstance(
                result := follow_attempt(self._lose(node.attempt(request, self._fetch)), folder, on_progress), tuple
            ):
                for file_ref in result:
                    assert file_ref.sha256 not in self.sent
                    self.sent[file_ref.sha256] = list(read_chunks(replace(file_ref, path=places[file_ref.sha256])))
            return result
        except ConnectionError:
            return Ended("its node was lost", lost=True, seconds=1.0)
        finally:
            os.environ["BAKEOFF_CACHE_DIR"] = own

    def _environment(self):
        return {} if self.lose_at is None else {"BAKEOFF_CHECKPOINT_SECONDS": "0"}

    def _fetch(self, file_ref):
        pieces = self.sent.get(file_ref.sha256)
        return [b"x" + piece[1:] for piece in pieces] if pieces and self.damage else pieces

    def _lose(self, update):
        for each in update:
            yield each
            if self.lose_at and each.event and each.event.evaluations >= self.lose_at:
                self.lose_at = None
                raise ConnectionError


def _elsewhere(file_ref):
    return FileRef(f"/nowhere/{Path(file_ref.path).name}", file_ref.sha256, file_ref.bytes)


def test_a_run_on_a_node_leaves_what_a_local_one_leaves_and_shards_travel_once(tmp_path, shards, finished, monkeypatch):
    cluster, events = Pretended(tmp_path / "node"), []
    options = {"stage": Stage.TRAIN, "data": shards}
    record = launch(TINY, out=tmp_path / "far", on_progress=events.append, executor=cluster, **options)
    near = finished.record
    assert (record.state, record.id) == (State.COMPLETE, near.id), record.reason
    assert record.images_seen == 640
    assert record.device.endswith("1 thread")
    folder = run_dir(tmp_path / "far", record.id)
    names = {path.name for path in run_dir(finished.out, near.id).iterdir() if "events" not in path.name}
    assert {path.name for path in folder.iterdir() if "events" not in path.name} == names
    assert any(folder.glob("events.out*"))
    assert [row.progress for row in read_history(folder)] == [0.25, 0.5, 0.75, 1.0]
    assert events[-1].fraction == 1.0
    assert read_record(folder) == record
    first = len(cluster.sent)
    assert first == len({file_ref.sha256 for file_ref in cluster.orders[0].files_needed}) > 3

    # A run that goes on from the first one's model, which is all that has to travel; where it is done, it finds that.
    monkeypatch.setattr(node, "Worker", WorkerHere)
    further = TINY.revised(
        model={"start": f"runs/{record.id}/model.keras"},
        train={"images": 64, "evaluations": 1, "deterministic": False},
    )
    record = launch(further, out=tmp_path / "far", executor=cluster, **options)
    assert (record.state, record.weights.origin) == (State.COMPLETE, "run"), record.reason
    assert len(cluster.sent) == first + 1


@pytest.mark.slow
def test_a_run_whose_node_is_lost_goes_on_from_its_checkpoint_and_twice_is_a_failure(tmp_path, shards):
    cluster = Pretended(tmp_path / "node", lose_at=1)
    record = launch(TINY, stage=Stage.TRAIN, out=tmp_path, data=shards, executor=cluster)
    assert (record.state, record.images_seen) == (State.COMPLETE, 640), record.reason
    before, after = cluster.orders
    assert "checkpoint.npz" not in before.files
    assert {"checkpoint.npz", "history.csv"} <= set(after.files)
    assert len(read_history(run_dir(tmp_path, record.id))) == 4
    assert not RunFolder(run_dir(tmp_path, record.id)).checkpoint.exists()


def test_what_comes_damaged_to_a_node_is_named_and_stays_away_from_its_cache(tmp_path, shards):
    cluster = Pretended(tmp_path / "node", damage=True)
    with pytest.raises(InputError, match=r"on node .*/nowhere/.* its SHA-256 is wrong"):
        launch(TINY, stage=Stage.TRAIN, out=tmp_path, data=shards, executor=cluster)
    assert not list((tmp_path / "node" / "data").glob("sent-*"))


class Poisoned(Pretended):
    """A node that is lost as soon as it has begun, every time."""

    def attempt(self, record, *_, **__):
        self.orders.append(record)
        return Ended("its node was lost", lost=True, seconds=3.0)


def test_a_run_that_takes_two_nodes_with_it_is_failed_and_not_tried_again(tmp_path, shards):
    cluster = Poisoned(tmp_path / "node")
    record = launch(TINY, stage=Stage.TRAIN, out=tmp_path, data=shards, executor=cluster)
    assert (record.state, record.reason) == (State.FAILED, "its node was lost, twice")
    assert len(cluster.orders) == 2
    assert launch(TINY, stage=Stage.TRAIN, out=tmp_path, data=shards, executor=cluster) == record
    assert len(cluster.orders) == 2


def test_folders_that_are_shared_are_used_where_they_are(tmp_path, shards, monkeypatch):
    record = launch(TINY, stage=Stage.TRAIN, out=tmp_path, data=shards, executor=Poisoned(tmp_path))
    request = make_request(record, run_dir(tmp_path, record.id), shards, limit=None, threads=1, environment={})
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "node"))

    def fetch(file_ref):
        raise AssertionError(file_ref)

    assert not list(node._files_to_fetch(request))
    assert node._fetch_data(request, fetch) == shards
    shard = request.shards[0]
    monkeypatch.setattr(node, "_is_shared", node._is_shared.__wrapped__)
    assert node._is_shared(shard)
    assert not node._is_shared(replace(shard, sha256="0" * 64))


def test_an_executor_that_was_stopped_begins_nothing(tmp_path, shards):
    executor = Local()
    executor.stop()
    with pytest.raises(StoppedError):
        launch(TINY, stage=Stage.TRAIN, out=tmp_path, data=shards, executor=executor)
    (record,) = (read_record(folder) for folder in (tmp_path / "runs").iterdir())
    assert record.state is State.RUNNING


def test_a_node_with_other_versions_is_told_by_what_differs():
    own = find_versions()
    assert set(own) == {"bakeoff", "code", "python", "tensorflow", "keras", "numpy"}
    line = format_difference("10.0.0.2", own | {"tensorflow": "2.1.0"}, own)
    assert line.startswith(
        f"node 10.0.0.2 has tensorflow 2.1.0, this machine has tensorflow {own['tensorflow']}; install the same"
    )
    assert "has no bakeoff, or" in format_difference("10.0.0.2", {}, own)


def test_a_checkpoint_that_the_worker_deletes_while_files_are_sent_is_left_out(tmp_path, monkeypatch):
    unsent = node._UnsentFiles(tmp_path, 0.0)
    for name in ("checkpoint.npz", "record.json"):
        (tmp_path / name).write_bytes(b"new")
    find_changed = unsent._find_changed

    def find_and_delete():
        for path in find_changed():
            if path.name == "checkpoint.npz":
                path.unlink()
            yield path

    monkeypatch.setattr(unsent, "_find_changed", find_and_delete)
    assert unsent.take_changed() == {"record.json": b"new"}
