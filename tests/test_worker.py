"""Learners' files as they come: settings at import, packages that are absent, files next to them, notebooks."""

import itertools
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from check.grading import grade
from check.grading.submissions import collect
from check.isolated import sandbox, server
from check.judge.checking import CODES, check, verdict
from check.judge.process import LearnerProcess, clean, hint_for, missing
from check.judge.zygote import CAN_FORK, ROOT, Zygote, descendants
from exercises.catalogue import EXERCISES
from tests.lessons import cells, hand_in

import pytest
import torch

RIGHT = (Path(__file__).parent / "cases" / "learner_task03.py").read_text()
IMPORTS, BODY = RIGHT.split("\n\n@dataclass", 1)
BODY = "@dataclass" + BODY
CONFIG = RIGHT[RIGHT.index("@dataclass") : RIGHT.index("class Head")]
FORWARD = "    def forward(self, idx):\n        B, T = idx.shape"
pytestmark = pytest.mark.skipif(not CAN_FORK, reason="one process for many files is POSIX's")


def check_with(zygote, path, **how):
    """The results up to the first that does not hold, or until the model's logits were compared."""
    results = []
    for result in check("task03", path, zygote=zygote, **how):
        results.append(result)
        if result.stage == "logits":
            break
    return results


def said(result):
    return " ".join([result.detail, result.what, result.got, result.hint, result.source])


def changed(old, new, text=RIGHT):
    assert old in text
    return text.replace(old, new)


def top(extra):
    return f"{IMPORTS}\n{extra}\n\n\n{BODY}"


PASS = {
    "argparse at import": top("import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr')\np.parse_args()"),
    "a device at import": top(
        "device = 'cuda' if torch.cuda.is_available() else 'cpu'\ntorch.set_default_device(device)"
    ),
    "float64": top("torch.set_default_dtype(torch.float64)"),
    "anomaly mode": top("torch.autograd.set_detect_anomaly(True)"),
    "a compiled method": changed(FORWARD, "    @torch.compile\n" + FORWARD),
    "a compiled class": changed("class Head(", "@torch.compile(mode='max-autotune')\nclass Head("),
    "a compiled part": changed("nn.Linear(C, C)", "torch.compile(nn.Linear(C, C))"),
    "a scripted part": changed("nn.ModuleList([Head(", "nn.ModuleList([torch.jit.script(Head(").replace(
        "block_size) for", "block_size)) for"
    ),
    "a thread at import": top("import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()"),
    "a Config of any keywords": changed(
        CONFIG, "class Config:\n    def __init__(self, **kw):\n        self.__dict__.update(kw)\n\n\n"
    ),
    "a Config of attributes": changed("@dataclass\n", "").replace(": int =", " ="),
    "a named tuple": changed("@dataclass\nclass Config:", "class Config(NamedTuple):").replace(
        "import dataclass", "import dataclass\nfrom typing import NamedTuple"
    ),
    "a Config that is a function": changed(
        CONFIG, "from types import SimpleNamespace\ndef Config(**kw):\n    return SimpleNamespace(**kw)\n\n\n"
    ),
    "a Config that is a dict": changed(CONFIG, "Config = dict(block_size=8, n_embd=32, n_head=4)\n\n\n")
    .replace("config.block_size", "config['block_size']")
    .replace("config.n_embd, config.n_head", "config['n_embd'], config['n_head']"),
    "logits in a dict": changed("return self.head(x)", "return {'loss': None, 'logits': self.head(x)}").replace(
        "])[:, -1]", "])['logits'][:, -1]"
    ),
    "logits as an attribute": top("from types import SimpleNamespace")
    .replace("return self.head(x)", "return SimpleNamespace(loss=None, logits=self.head(x))")
    .replace("])[:, -1]", "]).logits[:, -1]"),
    "the loss first": changed("return self.head(x)", "return torch.tensor(0.0), self.head(x)").replace(
        "])[:, -1]", "])[1][:, -1]"
    ),
    "many lines printed": changed(FORWARD, FORWARD + "\n        print(torch.zeros(4, 32, 32))"),
    "a byte-order mark": "\ufeff" + RIGHT,
    "carriage returns": RIGHT.replace("\n", "\r"),
}


@pytest.mark.parametrize("case", PASS)
def test_a_right_file_passes_whatever_it_does_at_import(zygote, tmp_path, case):
    (tmp_path / "my_task03.py").write_text(PASS[case], newline="")
    assert verdict(results := check_with(zygote, tmp_path / "my_task03.py")) == "pass", said(results[-1])


@pytest.mark.parametrize("name", ["random.py", "torch.py", "common.py", "check.py"])
def test_a_file_may_have_any_name(zygote, tmp_path, name):
    (tmp_path / name).write_text(changed("= config.n_embd,", "= config.n_embed,"))
    assert f"{name}, line 40" in said(check_with(zygote, tmp_path / name)[-1])
    (tmp_path / name).write_text(RIGHT)
    assert verdict(check_with(zygote, tmp_path / name)) == "pass"


NAMED = {
    "a GPU": ("fail", "no GPU.*line 49: x = self.tok", changed("device=idx.device", "device='cuda'")),
    "a Config that is not there": ("fail", "defines Config", changed("class Config", "class Sizes")),
    "another name": ("fail", "Is GPTLanguageModel the model", changed("class GPT(", "class GPTLanguageModel(")),
    "another size": ("fail", "Did you mean n_heads for n_head", RIGHT.replace("n_head:", "n_heads:")),
    "a package": ("undecided", "not installed here: pip install flash_attn_9|is not here", top("import flash_attn_9")),
    "a file of theirs": ("undecided", r"Is model.py another file of yours\?", "from model import *\n"),
    "a package of theirs": ("undecided", "a file alone has no package", top("from .layers.data import Corpus")),
    "a shell line": ("fail", "a notebook's .*!pip install x", top("!pip install x")),
    "Python 2": ("fail", "line 64: print 'done'", RIGHT + "\nprint 'done'\n"),
    "input": ("fail", "no terminal", top("input()")),
    "a file elsewhere": ("fail", "data/text.txt.*travel", top("open('data/text.txt')")),
    "a pool": ("fail", r"pool of processes wait until main\(\)",
     top("import multiprocessing\nmultiprocessing.Pool(2)")),
    "tabs": ("fail", "line 48: B, T", changed("        B, T = idx.shape", "\tB, T = idx.shape")),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMED)
def test_what_the_check_lacks_or_the_file_breaks_is_named_with_its_line(zygote, tmp_path, case):
    if case == "a pool" and sandbox.kind() != "sandlock":
        pytest.skip("only sandlock denies what a pool of processes needs; elsewhere it works")
    status, words, text = NAMED[case]
    (tmp_path / "my_task03.py").write_text(text)
    result = check_with(zygote, tmp_path / "my_task03.py")[-1]
    assert result.status == status, said(result)
    assert re.search(words, said(result), re.DOTALL), said(result)


def test_grad_mode_that_was_switched_off_is_asked_about():
    message = "element 0 of tensors does not require grad and does not have a grad_fn"
    assert "grad mode" in hint_for({"kind": "RuntimeError", "message": message, "source": ""})


def test_a_package_that_is_absent_is_undecided_and_said():
    assert missing("numpy", "a.py, line 1").startswith("could not be checked: numpy is not installed here: pip install")
    assert "pip install scikit-learn" in missing("sklearn.metrics", "")
    assert "only on Colab" in missing("google.colab", "")
    assert CODES["undecided"] == 3


def test_the_processor_time_of_children_counts(zygote, tmp_path, monkeypatch):
    monkeypatch.setattr("check.judge.process.WORK_SECONDS", 1.0)
    busy = "import os\nfor _ in range(2):\n    if os.fork() == 0:\n        while True:\n            pass\nos.wait()\n"
    (tmp_path / "my_task03.py").write_text(busy)
    before = time.monotonic()
    (result,) = check_with(zygote, tmp_path / "my_task03.py")
    assert "seconds of processor time" in result.got and time.monotonic() - before < 60


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="orphans are found by /proc")
def test_what_a_file_leaves_running_ends_with_it(zygote, tmp_path):
    leave = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(999)\n"
    (tmp_path / "my_task03.py").write_text(leave + RIGHT)
    assert check_with(zygote, tmp_path / "my_task03.py")[-1].status == "pass"
    assert not zygote.server or len(descendants(zygote.server.pid)) <= 2  # the sandbox, and what holds PyTorch


def test_a_process_holds_nothing_of_another_or_of_the_check(zygote, tmp_path):
    text = "import os, sys, torch\nours = ('check.', 'exercises', 'tests')\n"
    text += "found = [m for m in sys.modules if m.startswith(ours) and m != 'check.isolated']\n"
    text += "def causal_mask(T):\n    try:\n        names = os.listdir('..')\n    except OSError:\n        names = []\n"
    text += "    return torch.tensor(len(found) * 100 + len(names))\n"
    (tmp_path / "my_attention.py").write_text(text)
    with LearnerProcess(tmp_path / "my_attention.py", zygote) as process:
        process.ask("load")
        known = {path.stem for path in (ROOT / "check" / "isolated").glob("[!_]*.py")} - {"server"}
        assert int(process.ask("mask", length=3)) in (
            100 * len(known),
            100 * len(known) + len(os.listdir(zygote.folder)),
        )
    files = [path for path in (zygote.folder / "lib").rglob("*") if path.suffix in (".py", ".md")]
    texts = " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in files)
    assert "sounds_like" in texts and "def find_classes" in texts
    for hints in [part for each in EXERCISES.values() for part in (each.hints, *each.of_stages.values())]:
        assert not any(" ".join(hint.split()) in texts for hint in hints)


def test_the_process_that_forks_knows_whether_the_check_still_needs_it(monkeypatch):
    """After its only file it ends at once; with others to come it uses the time to import what optimizers need."""
    monkeypatch.setattr(server, "GOODBYE_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    with theirs:
        assert server._goes_on(theirs)
        ours.send(b"an order")
        assert server._goes_on(theirs) and theirs.recv(100) == b"an order"
        ours.close()
        assert not server._goes_on(theirs)


@pytest.mark.slow
def test_the_learners_process_starts_before_the_check_imports_pytorch(tmp_path):
    (tmp_path / "my_attention.py").write_text("x = 1\n")
    code = (
        "import sys\nfrom check import __main__ as front\nfrom check.judge import zygote\n"
        "start = zygote.Zygote.__init__\nseen = []\n"
        "zygote.Zygote.__init__ = lambda self: (seen.append('torch' in sys.modules), start(self))[1]\n"
        "sys.argv = ['check', 'attention', sys.argv[1]]\n"
        "try:\n    front.main()\nfinally:\n    print(seen, zygote.AHEAD)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "my_attention.py")]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert result.stdout.endswith("[False] []\n"), result


@pytest.mark.slow
def test_the_process_that_forks_is_started_again_after_some_files(monkeypatch, tmp_path):
    monkeypatch.setattr("check.judge.zygote.MOST_FILES", 2)
    (tmp_path / "my_attention.py").write_text("")
    with Zygote() as zygote:
        for left in (True, False):
            with LearnerProcess(tmp_path / "my_attention.py", zygote) as process:
                process.ask("load")
            assert bool(zygote.server) == left or sandbox.holds_one_file()


# Files next to it


HEAD = BODY[BODY.index("class Head") : BODY.index("class GPT")]
REST = RIGHT.replace(HEAD, "")
LAYERS = f"{IMPORTS}\n\n{HEAD}"


@pytest.mark.parametrize(
    ("main", "line", "head"),
    [
        ("my_task03", "from modeling_attention import Head", "modeling_attention"),
        ("transformer_lm/task03", "from .attention import Head", "transformer_lm/attention"),
        ("src/model/gpt/task03", "from ..layers.heads import Head", "src/model/layers/heads"),
        ("src/model/task03", "from src.layers import Head", "src/layers"),
        ("my_task03", "from layers import Head", "layers/__init__"),
    ],
)
def test_files_of_one_homework_travel_along(zygote, tmp_path, main, line, head):
    hand_in(tmp_path, {f"{main}.py": f"{line}\n{REST}", f"{head}.py": LAYERS, "task01.py": "1 / 0"})
    results = check_with(zygote, tmp_path / f"{main}.py")
    assert verdict(results) == "pass", said(results[-1])


def test_an_error_in_a_file_next_to_it_names_that_file_and_no_other_is_copied(zygote, tmp_path):
    broken = HEAD.replace("self.q(x) @", "self.q(x) * ")
    files = {"layers.py": f"{IMPORTS}\n\n{broken}", "my_task01.py": "secret = 1", "random.py": "1 / 0"}
    hand_in(tmp_path, {"my_task03.py": f"from layers import Head\nimport random\n{REST}", **files})
    assert "layers.py, line 21: return F.softmax" in said(check_with(zygote, tmp_path / "my_task03.py")[-1])
    with LearnerProcess(tmp_path / "my_task03.py", zygote) as process:
        assert [path.name for path in (process.folder / "files").rglob("*.py")] == ["layers.py"]


def test_no_file_comes_from_outside_the_submission(zygote, tmp_path):
    hand_in(tmp_path, {"other.py": "secret = 1", "own/my_task03.py": "from ..other import secret\n"})
    with LearnerProcess(tmp_path / "own" / "my_task03.py", zygote, within=tmp_path / "own") as process:
        assert not list((process.folder / "files").rglob("*.py"))


@pytest.mark.slow
def test_grade_takes_the_files_of_the_same_student_along(zygote, tmp_path):
    main = f"from layers import Head\n{REST}"
    hand_in(tmp_path, {"anna/task03.py": main, "anna/layers.py": LAYERS, "anna/notes.py": "1", "layers.py": "1 / 0"})
    with zipfile.ZipFile(tmp_path / "bo.zip", "w") as archive:
        archive.writestr("lm/task03.py", main.replace("from layers", "from .layers"))
        archive.writestr("lm/layers.py", LAYERS)
        archive.writestr("../layers.py", "1 / 0")
    found = collect(tmp_path)
    assert set(found.left) == {"anna/notes.py", "layers.py", "bo.zip/../layers.py"}
    marks = [grade.mark_submission(each, 0, zygote) for each in found.submissions]
    assert [mark.status for mark in marks] == ["pass", "pass"], [mark.stages[-1] for mark in marks]


# Notebooks


NOTEBOOKS = {
    "a timed cell": (cells(IMPORTS, "%%time\n" + BODY), ""),
    "a captured cell": (cells(IMPORTS, "%%capture out\n" + BODY), ""),
    "another language": (cells("%%bash\nls 'x", RIGHT), r"cell 1 \(%%bash\)"),
    "a file written": (cells("%%writefile my_model.py\n" + RIGHT, "from my_model import *"), ""),
    "an operator": (cells(RIGHT, 'print("%d steps, block %d"\n      % (Config.max_steps, Config.block_size))'), ""),
    "a future import": (cells(IMPORTS, "from __future__ import annotations\n" + BODY), ""),
    "display": (cells(RIGHT, "display(Config())\nget_ipython().ast_node_interactivity = 'all'"), ""),
    "a shell's value": (cells("files = !ls\nprint(files)", RIGHT), ""),
    "a line over two": (cells("!pip install -q \\\n    einops\n" + IMPORTS, BODY), ""),
    "magics": (cells("%load_ext autoreload\n?print\n%matplotlib inline\n%time n = 1\nn + 1", RIGHT), ""),
    "await": (cells(IMPORTS, "import asyncio\nawait asyncio.sleep(0)", BODY), ""),
    "a cell that trains": (
        cells(RIGHT, "m = GPT(Config(), 65)\nx = torch.ones(1, 8).long()\nm(x).sum().backward()\nprint(m)"),
        r"cell 2, line 3 \(it trains\)",
    ),
    "Colab": (
        cells("from google.colab import drive\ndrive.mount('/content')", RIGHT),
        r"cell 1, line 1 \(google.* is not installed here\), cell 1, line 2",
    ),
    "data": (cells("text = open('shakespeare.txt').read()\nprint(len(text))", RIGHT), r"cell 1, line 1 \(no such file"),
}


@pytest.mark.parametrize("with_ipython", [True, False])
@pytest.mark.parametrize("case", NOTEBOOKS)
def test_a_notebook_is_run_as_jupyter_would(zygote, tmp_path, monkeypatch, case, with_ipython):
    if with_ipython:
        pytest.importorskip("IPython.core.inputtransformer2")
    else:
        monkeypatch.setitem(sys.modules, "IPython.core.inputtransformer2", None)
    content, left_out = NOTEBOOKS[case]
    (tmp_path / "task03.ipynb").write_text(content)
    results = list(itertools.islice(check("task03", tmp_path / "task03.ipynb", zygote=zygote), 3))
    assert verdict(results) == "pass", said(results[-1])
    assert re.search(left_out, results[0].detail), results[0].detail


def test_a_notebooks_errors_name_cell_and_line(zygote, tmp_path):
    path = tmp_path / "task03.ipynb"
    for last, where in (
        ("x = 1\nx.y", "cell 3, line 2: x.y"),
        ("def f(:", "cell 3, line 1: def f(:"),
        ("import no_such\nclass Mine(no_such.Base):\n    x = 1", "no_such is not here (task03.ipynb, cell 3, line 1"),
        (
            "import no_such\nno_such.x()\nprint(nothing)",
            "NameError: name 'nothing' is not defined (task03.ipynb, cell 3, line 3",
        ),
        ("from no_such import *", "no_such is not here"),
    ):
        path.write_text(cells(IMPORTS, BODY, last))
        assert where in said(check_with(zygote, path)[-1]), said(check_with(zygote, path)[-1])


def test_a_notebook_runs_the_file_next_to_it(zygote, tmp_path):
    (tmp_path / "other.py").write_text(LAYERS)
    (tmp_path / "task03.ipynb").write_text(cells(IMPORTS, "%run other.py", REST.replace(IMPORTS, "")))
    assert verdict(results := check_with(zygote, tmp_path / "task03.ipynb")) == "pass", said(results[-1])


# What comes back


def test_whatever_an_answer_says_moves_no_cursor():
    message = {"a\x1b[2J": ["\x1b]0;title\x07", {"names": ["\u202eabc"]}], "value": torch.ones(1), "n": 1}
    assert "\x1b" not in str(clean(message)) and "\u202e" not in str(clean(message)) and clean(message)["n"] == 1


@pytest.mark.slow
def test_where_nothing_can_be_forked_each_file_has_a_process_of_its_own(monkeypatch, tmp_path):
    for module in ("check.judge.zygote", "check.judge.process"):
        monkeypatch.setattr(f"{module}.CAN_FORK", False)
    (tmp_path / "my_task03.py").write_text(RIGHT)
    with Zygote() as zygote:
        assert zygote.server is None
        assert [verdict(check_with(zygote, tmp_path / "my_task03.py")) for _ in range(2)] == ["pass", "pass"]
    (tmp_path / "my_task03.py").write_text("import os\nos._exit(7)\n")
    assert "ended itself, with code 7" in check_with(None, tmp_path / "my_task03.py")[-1].got
