"""Metrics and TensorBoard files: readable, truncated where a run is resumed, refused in one sentence."""

import json
import shutil

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kdmarl_core.contract import KdmarlError
from kdmarl_core.expert.log import MetricsLog, TensorBoardLog


def test_rows_after_the_last_checkpoint_are_cut(tmp_path):
    rows = MetricsLog(tmp_path / "run", 0)
    for index in range(4):
        rows.append({"index": index})
    with rows.path.open("a") as file:
        file.write('{"ind')  # a full disk
    MetricsLog(tmp_path / "run", 2).append({"index": 9})
    assert [json.loads(line)["index"] for line in rows.path.read_text().splitlines()] == [0, 1, 9]
    MetricsLog(tmp_path / "run", 0)
    assert rows.path.read_text() == ""


def test_tensorboard_reads_what_was_written_and_forgets_what_is_written_again(tmp_path):
    first = TensorBoardLog(tmp_path, 0)
    for step in range(4):
        first.append({"reward": float(step), "kl": 0.5}, step)
    first.path.rename(tmp_path / first.path.name.replace("tfevents.", "tfevents.0"))  # it was made earlier
    TensorBoardLog(tmp_path, 2).append({"reward": 7.0}, 2)
    read = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    assert [(event.step, event.value) for event in read.Scalars("reward")] == [(0, 0.0), (1, 1.0), (2, 7.0)]
    assert len(read.Scalars("kl")) == 2


def test_what_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KdmarlError, match="file/metrics.jsonl: cannot be written"):
        MetricsLog(tmp_path / "file", 0)
    (tmp_path / "run/metrics.jsonl").mkdir(parents=True)
    with pytest.raises(KdmarlError, match=r"run/metrics.jsonl: cannot be written \(Is a directory\)"):
        MetricsLog(tmp_path / "run", 0)
    rows, events = MetricsLog(tmp_path / "gone", 0), TensorBoardLog(tmp_path / "gone", 0)
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(KdmarlError, match="metrics.jsonl: cannot be written"):
        rows.append({})
    with pytest.raises(KdmarlError, match="events.out.tfevents.* cannot be written"):
        events.append({}, 0)
