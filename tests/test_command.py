"""The check's command, as a learner and a teacher meet it."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from check.judge.checking import check
from check.judge.suites import transformer
from check.judge.zygote import descendants
from exercises import build
from exercises.catalogue import EXERCISES
from tests.lessons import ROOT
from tests.test_check import write
from tools import in_process as local
from tools.changes import edited
from tools.mutants import MUTANTS

import pytest


def command(*flags, **how):
    line = [sys.executable, "-m", "check", *map(str, flags)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=200, **how)


@pytest.mark.slow
def test_a_failure_says_what_was_expected_what_came_and_asks(tmp_path):
    mutant = next(mutant for mutant in MUTANTS if mutant.what == "mask off by one: sees the next")
    path = write(tmp_path, "task02", mutant.text().replace("import torch\n", "import torch\nprint('mine')\n", 1))
    result = command("task02", path)
    assert result.returncode == 1 and result.stderr == ""
    *_, failed, expected, got, _, _, _, first, second, _, hint, printed, summary, following = result.stdout.splitlines()
    assert [number == "0.00" for number in first.split()] == [False, True, True, False, False, True]
    assert [number == "0.00" for number in second.split()] == [False, False, True, False, False, False]
    assert re.match(r"fail +causality +logits do not depend on later tokens$", failed)
    assert expected.strip() == "expected: position 0 does not see position 1 and later ones"
    assert got.strip().startswith("got:      its logits change by")
    assert hint.strip() == "hint:     At which diagonal does the mask begin?"
    assert printed.strip() == "printed:  mine"
    assert summary == "task02: fails at causality." and following == f"The next hint: python -m check {path} --hint 1"


@pytest.mark.slow
def test_a_transformer_that_cannot_reverse_is_not_trained_for_long(failing, monkeypatch):
    mutant = next(mutant for mutant in MUTANTS if mutant.what == "positions too faint to use")
    asked, ask = [], local.LocalProcess.ask
    monkeypatch.setattr(
        local.LocalProcess, "ask", lambda self, question, **how: asked.append(question) or ask(self, question, **how)
    )
    start = time.process_time()
    found = failing(mutant.task, mutant.text())
    assert found.stage == "reversal" and found.what == "1050 steps learn to reverse a sequence"
    assert asked.count("learn_reversal") == 21 and time.process_time() - start < 10  # 2 on an idle machine


def test_training_stops_where_nothing_is_learned():
    plateau = [0.39, 0.41, 0.45, 0.59, 0.75, 0.93]  # of a right file with its norms after the sums
    slowly = [accuracy for accuracy in plateau for _ in range(3)]
    assert not any(transformer._stalls(slowly[:n]) for n in range(1, 19))
    assert [transformer._stalls([0.4] * n) for n in (11, 12)] == [False, True]


@pytest.mark.slow
def test_a_failing_line_is_shown_with_its_shapes(tmp_path):
    text = build.source("task01").replace("self.mask[:T, :T]", "self.mask")
    (*_, result) = check("task01", write(tmp_path, "task01", text))
    assert result.stage == "shapes" and "line" in result.got
    assert result.shapes["mask"] == [7, 7] and result.shapes["v"] == [1, 1, 10]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are counted in /proc")
@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_check_takes_its_worker_along(stop, code, tmp_path):
    path = write(tmp_path, "task01", "import time\ntime.sleep(4321)\n")
    line = [sys.executable, "-m", "check", "task01", str(path)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while len(workers := descendants(process.pid)[1:]) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(stop)
        _, err = process.communicate(timeout=60)
    assert len(workers) >= 2 and process.returncode == code
    assert err.count("\n") <= 1 and "Traceback" not in err
    deadline = time.monotonic() + 5  # one that was being started notices it a moment later
    while any(alive := [Path(f"/proc/{worker}").exists() for worker in workers]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive)


@pytest.mark.slow
def test_bad_input_takes_one_line(tmp_path):
    for flags, message in (
        (["task33", "x.py"], "'task33' is not a task or piece; expected one of task01, task02"),
        (["grade", "none"], "none: no such folder"),
        (["grade", tmp_path], f"{tmp_path}: nothing was handed in there"),
    ):
        result = command(*flags)
        assert (result.returncode, result.stdout) == (2, "")
        assert message in result.stderr and result.stderr.count("\n") == 1


OFFICIAL = [pytest.param(task, marks=[] if task == "optimizers" else pytest.mark.slow) for task in EXERCISES]


@pytest.mark.parametrize("task", OFFICIAL)
def test_the_official_file_passes_in_a_process_of_its_own(task, zygote):
    results = list(check(task, EXERCISES[task].official, official_too=True, zygote=zygote))
    assert {result.status for result in results} == {"pass"}, results[-1]


@pytest.mark.slow
def test_the_official_file_is_refused(tmp_path):
    copy = write(tmp_path, "task01", "# mine\n" + build.source("task01"))
    for path in (ROOT / "task01.py", copy):
        (result,) = check("task01", path)
        assert result.what == "the code is yours"


# What a student stumbled over.


def broken(task, *changes):
    return edited(build.source(task), changes, task)


SIGN = ("first * sin + second * cos", "first * sin - second * cos")
VALUES = ("        k, q = rotate(k", "        v = rotate(v, self.angles[:T])\n        k, q = rotate(k")


@pytest.mark.parametrize(
    ("task", "changes", "said"),
    [
        ("generate", [("logits / t", "logits * t")], "the temperature a divisor of the logits, or a factor?"),
        ("generate", [("logits / temperature", "logits")], "does the temperature act before the softmax?"),
        ("task01", [("logits / temperature", "logits * temperature")],
         "the temperature a divisor of the logits, or a factor?"),
        ("task09_rope", [SIGN], "a wrong sign in the rotation (a cos - b sin, a sin + b cos)"),
        ("task09_rope", [SIGN, VALUES], "and values turned, too"),
    ],
)  # fmt: skip
def test_a_students_slip_is_named(failing, task, changes, said):
    found = failing(task, broken(task, *changes))
    assert said.lower() in f"{found.got} {found.hint}".lower()


@pytest.mark.parametrize(
    ("task", "change", "said", "never"),
    [
        ("multi_head_attention", ('scores.masked_fill(future, float("-inf"))', "scores"), "outputs", "logits"),
        ("generate", ("model.block_size :", "model.context_size + 1 :"), "last context_size tokens", "block_size"),
    ],
)
def test_a_piece_is_spoken_of_in_its_words(failing, task, change, said, never):
    text = broken(task, change).replace("block_size", "context_size")
    found = failing(task, text).as_dict()
    shown = " ".join(str(found.get(part)) for part in ("what", "expected", "got", "hint", "sizes"))
    assert said in shown and never not in shown


def test_the_interface_names_the_learners_own_arguments(checked):
    text = build.source("multi_head_attention").replace("hidden_size", "output_dim").replace("n_head", "num_heads")
    assert checked("multi_head_attention", text)[1].detail.endswith(
        ": is built with output_dim, num_heads, dropout, causal"
    )
