"""The check names each bug, lets every right form pass, and cannot be talked into a pass."""

import ast
import base64
import dataclasses
import os
import re
import subprocess
import sys
import time
import zlib

import task01
import task07
from check.judge import arrangements, matching, reference
from check.judge.checking import check
from check.judge.stages.learning import adamw
from check.judge.suites import stages_of
from common import optim
from exercises import build
from exercises.catalogue import CHANGES, EXERCISES, PIECES
from tests.lessons import ROOT
from tools.mutants import ALL, MUTANTS, table
from tools.restylings import RESTYLINGS
from tools.styles import in_styles

import pytest
import torch


def write(tmp_path, task, text):
    path = tmp_path / f"my_{task}.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(MUTANTS)), ids=lambda n: f"{MUTANTS[n].task}: {MUTANTS[n].what}")
def test_every_bug_is_named(failing, number):
    """As it is, and every second one in another style, in turn; `python -m tools.verdicts` tries all styles."""
    mutant = MUTANTS[number]
    (_, text), *others = in_styles(mutant.task, mutant.text()).items()
    found = failing(mutant.task, text)
    assert found and found.stage == mutant.stage, found
    for style, text in others[number // 2 % max(1, len(others)) :][: number % 2]:
        assert failing(mutant.task, text), style


@pytest.mark.slow
@pytest.mark.parametrize("task", EXERCISES)
def test_right_code_passes_however_it_looks(failing, task):
    """As it is, and in another style, in turn; `python -m tools.verdicts` tries all styles."""
    wrong = []
    rows = [("official", build.source(task)), *((each.what, each.text()) for each in RESTYLINGS if each.task == task)]
    for number, (what, source) in enumerate(rows):
        first, *others = in_styles(task, source).items()
        for style, text in [first, *others[number % max(1, len(others)) :][:1]]:
            found = failing(task, text)
            if found:
                wrong.append((what, style, found.stage, found.what, found.got))
    assert wrong == []


def test_the_mutants_cover_all_tasks_and_stages():
    covered = {(mutant.task, mutant.stage) for mutant in MUTANTS}
    assert {task for task, _ in covered} == {*ALL, *PIECES, *CHANGES}
    wanted = {stage.__name__ for stage in stages_of("task07")} - {"gradients"}
    assert {stage for task, stage in covered if task in ALL} >= wanted
    for change in CHANGES:  # of task 9, which covers the other stages
        assert sum(mutant.task == change for mutant in MUTANTS) >= 8
        assert sum(each.task == change for each in RESTYLINGS) >= 5
    for piece in PIECES:
        wanted = {stage.__name__ for stage in stages_of(piece)} - {"identity", "interface"}
        assert {stage for task, stage in covered if task == piece} >= wanted


def test_the_committed_table_of_mutants_is_this_one():
    assert (ROOT / "docs/mutants.md").read_text(encoding="utf-8").endswith(f"\n\n{table()}\n")


@pytest.mark.parametrize("task", EXERCISES)
def test_a_starter_is_its_lesson_with_a_hole(failing, task):
    found = failing(task, build.starter(task))
    assert found.status == "not started" and found.detail.startswith("write ")


def test_the_reference_knows_the_official_files_scales_apart():
    task = reference.TASKS["task02"]
    model = __import__("task02").GPT(__import__("task02").Config(), 65)
    sizes = matching.Sizes(V=65, C=32, H=4, D=8, T=8, L=1)
    names, values = zip(*model.named_parameters(), strict=True)
    structure = matching.read(task, names, ["Linear"] * len(names), [value.shape for value in values], sizes)
    official = next(arrangements.arrangements(task, structure, sizes))
    weights = arrangements.weights(task, structure, values, sizes, official)
    tokens = torch.randint(65, (2, 8))
    torch.testing.assert_close(reference.logits(task, weights, tokens, reference.Form(scale="√C")), model(tokens))
    assert not torch.allclose(reference.logits(task, weights, tokens, reference.Form(scale="√D")), model(tokens))


def test_the_short_runs_optimizer_is_adamw():
    torch.manual_seed(0)
    ours = [torch.randn(3, 2).requires_grad_(), torch.randn(2).requires_grad_()]
    theirs = [leaf.detach().clone().requires_grad_() for leaf in ours]
    step, optimizer = adamw(ours, lr=0.1), torch.optim.AdamW(theirs, lr=0.1)
    for _ in range(5):
        gradients = [torch.randn_like(leaf) for leaf in ours]
        step(gradients)
        for leaf, gradient in zip(theirs, gradients, strict=True):
            leaf.grad = gradient
        optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_a_piece_computes_what_the_scripts_do():
    from exercises.official import attention, generate, optimizers

    q, k, v = torch.randn(3, 2, 5, 4)
    mask = task01.causal_mask(5)
    assert torch.equal(attention.causal_mask(5), mask)
    assert torch.equal(attention.attention(q, k, v, mask), task01.attention(q, k, v, mask, 4**-0.5))

    config = dataclasses.replace(task07.Config(), block_size=4, n_embd=6, n_layer=1)
    model, prompt = task07.GPT(config, 11).eval(), torch.zeros(2, 3, dtype=torch.long)
    torch.manual_seed(1)
    written = model.generate(prompt, 5, 0.8)
    torch.manual_seed(1)
    assert torch.equal(generate.generate(model, prompt, 5, 0.8), written)

    settings = config.weight_decay, config.learning_rate, (0.9, 0.999)
    (ours,) = optim.configure_optimizers(model, config)
    alone = optimizers.configure_optimizers(model, *settings)
    for group, other in zip(alone.param_groups, ours.param_groups, strict=True):
        assert [id(p) for p in group["params"]] == [id(p) for p in other["params"]]
        assert all(group[name] == other[name] for name in ("lr", "betas", "weight_decay"))


# The learner's process.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "got"),
    [
        ("while True: pass", r"none after \d+ seconds of processor time"),
        ("import os; os._exit(7)", "the program ended itself, with code 7"),
        ("raise SystemExit(3)", r"SystemExit: 3 \(my_task01.py, line 1\)"),
        ("1 / 0", r"ZeroDivisionError: division by zero \(my_task01.py, line 1\)"),
        ("def f(:", r"SyntaxError: invalid syntax \(my_task01.py, line 1\)"),
        ("breakpoint()", r"BdbQuit: breakpoint\(\) has no terminal inside the check"),
        ("input()", "EOFError"),
        ("import task01", "ModuleNotFoundError: task01 is the repository's own"),
        ("from exercises.official import attention", "ModuleNotFoundError: exercises is the repository's own"),
        ("import check.judge.reference", "ModuleNotFoundError: No module named 'check.judge'"),
    ],
)
def test_what_ends_or_fails_is_named(monkeypatch, tmp_path, code, got):
    monkeypatch.setattr("check.judge.process.WORK_SECONDS", 2.0)
    (result,) = check("task01", write(tmp_path, "task01", code + "\n"))
    assert (result.stage, result.status) == ("identity", "fail")
    assert re.match(got, result.got), result.got


ATTACKS = {  # lines at the top of a wrong file → what the check says, or "" where the file is only wrong
    "garbage on every descriptor": (
     "import os\nfor fd in range(3, 20):\n    try:\n        os.write(fd, b'garbage' * 9)\n    except OSError:\n        pass\n",
     "alone"),
    "a patched torch.equal and allclose": ("import torch\ntorch.equal = torch.allclose = lambda *a, **k: True\n", ""),
    "a patched tensor comparison": ("import torch\ntorch.Tensor.__le__ = lambda *a: torch.tensor(True)\n", ""),
    "a patched loss": ("import torch\ntorch.nn.functional.cross_entropy = lambda *a: torch.ones(1)\n", "cross_entropy"),
    "a method of the main module": ("import __main__\n__main__.Learner.logits = lambda *a, **k: {}\n", "Learner.logits"),
    "a class of the main module": ("import __main__\n__main__.Learner = object\n", "Learner"),
    "a method of the worker": (
     "from check.isolated import worker\nworker.Learner.generate = lambda *a, **k: {}\n", "Learner.generate"),
    "a function's code": (
     "import sys\nsys.modules['check.isolated.worker'].Learner.build.__code__ = (lambda *a, **k: {}).__code__\n",
     "Learner.build"),
    "found by the collector": (
     "import gc\nfor each in gc.get_objects():\n    if isinstance(each, type) and each.__name__ == 'Learner':\n"
     "        each.load = lambda *a, **k: {}\n", "Learner.load"),
    "found by frames": (
     "import sys\nframe = sys._getframe()\nwhile frame:\n    for each in list(frame.f_locals.values()):\n"
     "        if type(each).__name__ == 'Learner':\n            type(each).logits = lambda *a, **k: {}\n"
     "    frame = frame.f_back\n", "Learner.logits"),
    "the protocol": ("from check.isolated import protocol\nprotocol.send = lambda *a: None\n", "protocol.send"),
    "the official task, installed": ("from task01 import *\n", "the repository's own"),
}  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="descriptors as on POSIX")
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_wrong_file_cannot_talk_itself_into_a_pass(attack, tmp_path, zygote):
    lines, said = ATTACKS[attack]
    wrong = build.source("task01").replace(" * scale", "")
    text = wrong.replace("import torch\n", lines + "import torch\n", 1)
    found = list(check("task01", write(tmp_path, "task01", text), zygote=zygote))[-1]
    assert found.status == "fail" and said in f"{found.what} {found.expected} {found.got}", found


OFFICIAL_IN_A_STRING = {
    "a string": "exec({source!r})\n",
    "base64": "import base64, zlib\nexec(zlib.decompress(base64.b64decode({packed!r})))\n",
    "hidden exec": "import builtins\ngetattr(builtins, 'ex' + 'ec')({source!r}, globals())\n",
}


@pytest.mark.parametrize("form", OFFICIAL_IN_A_STRING)
def test_code_from_a_string_is_named(form, tmp_path, zygote):
    source = build.source("task01")
    packed = base64.b64encode(zlib.compress(source.encode()))
    path = write(tmp_path, "task01", OFFICIAL_IN_A_STRING[form].format(source=source, packed=packed))
    first = next(check("task01", path, zygote=zygote, graded=True))
    assert (first.stage, first.status) == ("identity", "fail")
    assert "runs code from a string (my_task01.py, line" in first.got
    assert "runs code from a string" in next(check("task01", path, zygote=zygote)).notes[0]


def test_an_official_file_under_another_name_is_named(tmp_path, zygote):
    (tmp_path / "helper.py").write_text(build.source("task01"), encoding="utf-8")
    (found,) = check("task01", write(tmp_path, "task01", "from helper import *\n"), zygote=zygote)
    assert "imports helper.py, as the repository has it" in found.got


MISCHIEF = """
import atexit, os, subprocess, sys, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
atexit.register(time.sleep, 1000)
print("\\x1b[2Jhello from the learner")
reached = []
for path in ("{root}/README.md", "{root}/task01.py", "{other}"):
    try:
        open(path, "a").close()
        reached.append(path)
    except OSError:
        pass
try:
    os.kill(os.getppid(), 0)
    reached.append("parent")
except OSError:
    pass
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
if os.fork() == 0:
    time.sleep(1000)
assert not reached, reached
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Landlock and /proc are Linux's")
def test_a_right_file_with_threads_forks_and_long_fingers_passes_and_leaves_nothing_behind(tmp_path):
    other = tmp_path / "other" / "their_task01.py"
    other.parent.mkdir()
    other.write_text("")
    lines = MISCHIEF.format(root=ROOT, other=other)
    text = build.source("task01").replace("import torch\n", f"{lines}import torch\n", 1)
    before = time.monotonic()
    results = list(check("task01", write(tmp_path, "task01", text), official_too=True))
    assert [result.status for result in results] == ["pass"] * len(results), results[-1]
    assert time.monotonic() - before < 100
    left = subprocess.run(["pgrep", "-f", "time.sleep.1000"], capture_output=True, text=True).stdout
    assert left == ""


# Starters that are written in part.


def filled(task, names, change=lambda text: text):
    """A starter in which only these functions are written, as the lesson has them or changed."""
    text = change(build.source(task))
    lines = text.split("\n")
    left = [name for name in EXERCISES[task].write if name not in names]
    for first, last, indent, name in sorted(build._bodies(ast.parse(text), left), reverse=True):
        lines[first - 1 : last] = [f'{" " * indent}raise NotImplementedError("write {name}")']
    return "\n".join(lines)


@pytest.mark.parametrize("task", [name for name in EXERCISES if len(EXERCISES[name].write) > 1])
def test_what_is_written_of_a_starter_is_counted(failing, task):
    first, second, *_ = names = EXERCISES[task].write
    found = failing(task, filled(task, [first]))
    assert found.status == "not started" and found.detail == f"write {second} next (1 of {len(names)} is written)"
    found = failing(task, filled(task, names[:-1]))
    verb = "is" if len(names) == 2 else "are"
    said = f"write {names[-1]} next ({len(names) - 1} of {len(names)} {verb} written)"
    assert found.status == "not started" and found.detail == said


@pytest.mark.parametrize(
    ("task", "written", "right", "wrong", "stage", "said"),
    [
        ("task01", ["causal_mask"], ".tril()", ".tril(1)", "causality", "1 of 4 written; causal_mask: logits do not"),
        ("task01", ["causal_mask", "attention"], " * scale", "", "logits", "2 of 4 written; causal_mask, attention: "),
        ("task03", ["FeedForward.__init__", "FeedForward.forward"], "nn.ReLU()", "nn.Sigmoid()", "logits", "2 of 3"),
        ("task09_rope", ["rotation_angles"], "10_000", "100", "logits", "1 of 4 written; rotation_angles: "),
        ("transformer", ["causal_mask"], ".tril()", ".triu()", "causality", "1 of 7 written; causal_mask: "),
        ("attention", ["causal_mask"], ".tril()", ".tril(1)", "interface", "the mask has one value for the past"),
    ],
)
def test_what_is_written_of_a_starter_is_checked(failing, task, written, right, wrong, stage, said):
    text = filled(task, written, lambda text: text.replace(right, wrong))
    assert wrong in text
    found = failing(task, text)
    assert (found.stage, found.status) == (stage, "fail") and found.what.startswith(said), found


def test_an_error_in_the_lessons_own_part_is_not_charged(failing):
    text = filled("task03", ["FeedForward.__init__", "FeedForward.forward"]).replace("SelfAttention", "Attention")
    found = failing("task03", text)
    assert found.detail == "write GPT.forward next (2 of 3 are written)"
    renamed = filled("task03", ["GPT.forward"]).replace("FeedForward(", "Mlp(")
    assert failing("task03", renamed).detail.startswith("write FeedForward.")
