"""A few of the harmful files (python -m tools.harmful runs all of them), and answers that are none."""

import io
import json
import os
import struct
import subprocess
import sys
import time
from contextlib import closing

from check.isolated import protocol, sandbox
from check.judge.zygote import Zygote, descendants
from common.run import UserError
from tests.lessons import ROOT

import pytest
import torch

harmful = pytest.importorskip("tools.harmful", reason="not for Windows", exc_type=ImportError)
QUICK = [
    "truncate", "chmod", "utime", "read a neighbour's", "limit the grader", "kill the parent", "echo off",
    "environment of all", "loopback", "unix socket", "the other learner's file", "left behind, a program", "memory",
]  # fmt: skip
SLOW = ["drop by drop", "half a message", "busy at times", "busy, deaf to its limit", "many files", "fork bomb"]


@pytest.fixture(scope="module", params=sandbox.KINDS)
def around(request):
    """A sandbox of a kind, and a world that its files could harm."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHECK_SANDBOX", request.param)
        sandbox.kind.cache_clear()
        if sandbox.kind() != request.param:
            pytest.skip(f"{request.param} is not here, or does not work here")
        with closing(harmful.World()) as world, Zygote() as zygote:
            yield world, zygote
    sandbox.kind.cache_clear()


@pytest.mark.parametrize(
    "name", [*QUICK[:3], *(pytest.param(name, marks=pytest.mark.slow) for name in QUICK[3:] + SLOW)]
)
def test_harmful_files_harm_nothing(name, around):
    said, harm = harmful.run(name, *around)
    assert not harm, said


def test_without_a_sandbox_grade_refuses_in_one_line(monkeypatch):
    monkeypatch.setattr(sandbox, "kind", lambda: "no")
    with pytest.raises(UserError, match=r"pip install sandlock==.*docker run.*--unconfined"):
        sandbox.need(unconfined=False)
    sandbox.need(unconfined=True)


def received(text: bytes, payload: bytes = b"") -> dict:
    return protocol.receive(io.BytesIO(struct.pack("<II", len(text), len(payload)) + text + payload))


TENSOR = {"tensor": "torch.float32", "shape": [25], "start": 0}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"values": [TENSOR] * 2}).encode(), json.dumps(TENSOR | {"shape": [-5, -5]}).encode(),
        json.dumps(TENSOR | {"shape": [1] * 9}).encode(), json.dumps(TENSOR | {"shape": [0, 2**62]}).encode(),
        json.dumps(TENSOR | {"start": -4}).encode(), b" " * 2**20 + b"{}",
    ],
    ids=["twice the same bytes", "negative", "many axes", "huge and empty", "before its start", "long"],
)  # fmt: skip
def test_an_answer_claims_no_more_than_its_bytes(text):
    with pytest.raises(ValueError):
        received(text, bytes(100))


def test_brackets_are_no_message():
    with pytest.raises((ValueError, RecursionError)):
        received(b"[" * 2**19)
    assert torch.equal(received(json.dumps({"x": TENSOR}).encode(), bytes(100))["x"], torch.zeros(25))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are counted in /proc")
def test_nothing_lives_on_when_grade_is_killed(tmp_path):
    for name in ("anna", "ben"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "my_task01.py").write_text("import time\nwhile True: time.sleep(0.01)\n")
    line = [sys.executable, "-m", "check", "grade", str(tmp_path), "--jobs", "2", "--unconfined"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as grade:
        deadline = time.monotonic() + 120
        while len(found := descendants(grade.pid)) < 8 and time.monotonic() < deadline:
            time.sleep(0.2)
        grade.kill()
    while any(os.path.exists(f"/proc/{each}") for each in found) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [each for each in found if os.path.exists(f"/proc/{each}")]
