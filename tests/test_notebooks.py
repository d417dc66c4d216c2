"""Jupyter and `python -i`: a script that is stopped leaves a session as it was. Needs the extra `notebooks`."""

import os
import re
import subprocess
import sys
import time

from check.isolated import notebook
from common.run import UserError
from tests.lessons import ROOT, cells

import pytest


@pytest.fixture(scope="module")
def kernel():
    """A kernel in the repository, as Jupyter starts one."""
    pytest.importorskip("ipykernel")
    manager = pytest.importorskip("jupyter_client.manager")
    km, client = manager.start_new_kernel(cwd=str(ROOT), env={**os.environ, "OMP_NUM_THREADS": "1"})
    yield km, client
    client.stop_channels()
    km.shutdown_kernel(now=True)


def ask(kernel, code, stop_at=None):
    """Run a cell; what it printed. With `stop_at`, press Stop when this text was printed."""
    km, client = kernel
    message = client.execute(code)
    printed = ""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        reply = client.get_iopub_msg(timeout=300)
        if reply["parent_header"].get("msg_id") != message:
            continue
        kind, content = reply["msg_type"], reply["content"]
        if kind == "stream":
            printed += content["text"]
        elif kind in ("execute_result", "display_data"):
            printed += content["data"].get("text/plain", "")
        elif kind == "error":
            printed += "\n".join(content["traceback"])
        elif kind == "status" and content["execution_state"] == "idle":
            return printed
        if stop_at and stop_at in printed:
            stop_at = None
            time.sleep(0.5)
            km.interrupt_kernel()
    raise TimeoutError(printed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "stop_at"),
    [("%run task01.py --steps 100000", "Epoch 0"), ("%run task08_infinite.py", "\n"), ("%run task06.py", "Epoch 0")],
)
def test_stop_during_a_run_keeps_the_kernel_and_its_variables(kernel, line, stop_at):
    handlers = "import signal; [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]"
    ask(kernel, "kept = 41")
    before = ask(kernel, handlers)
    said = ask(kernel, line, stop_at)
    assert ("Interrupted" in said or "task08" in line) and "Traceback" not in said
    assert ask(kernel, "kept + 1") == "42"
    assert "42" in ask(kernel, "print(kept + 1)")  # stdout is where it was
    assert ask(kernel, handlers) == before
    stopped = ask(kernel, "import time\nprint('waiting', flush=True)\ntime.sleep(200)", "waiting")
    assert "KeyboardInterrupt" in stopped
    assert ask(kernel, "kept") == "41"


@pytest.mark.slow
def test_a_run_leaves_its_variables_and_bad_flags_are_one_line(kernel):
    said = ask(kernel, "%run task01.py --steps 3")
    assert "Epoch 0: avg train loss" in said and "Traceback" not in said
    assert "GPT" in ask(kernel, "GPT(Config(), 65).__class__.__name__")
    assert ask(kernel, "model.generate(torch.zeros(1, 1, dtype=torch.long), 4).shape") == "torch.Size([1, 5])"
    said = ask(kernel, "%run task01.py --steps none")
    assert "expected a whole number" in said and "Traceback" not in said
    assert "0" in ask(kernel, "import sys; sys.argv = ['task01', '--steps', '2']; main()")
    said = ask(
        kernel,
        "import threading; t = threading.Thread(target=main); t.start(); t.join(); print('joined', t.is_alive())",
    )
    assert "joined False" in said and "Traceback" not in said


@pytest.mark.slow
def test_main_runs_in_a_cell_with_its_progress_and_an_error_keeps_its_line(kernel):
    flags = (
        "import sys; sys.argv = ['/x/ipykernel_launcher.py', '-f', '/x/kernel.json']"  # Jupyter's, as a kernel starts
    )
    said = ask(kernel, f"{flags}; import task02; task02.main()", stop_at="Epoch 0")
    assert "Epoch 0: avg train loss" in said and "Step 0/5000" in said and "KeyboardInterrupt" in said
    assert "\x1b[2K" not in said
    own = "from common.run import run\ndef main():\n    open('/nowhere/at/all')\nrun(main)"
    said = ask(kernel, own)
    assert "FileNotFoundError" in said and re.search(r"-> *\S*3\b", said)


@pytest.mark.slow
def test_an_interactive_python_survives_bad_flags_and_a_mistyped_line():
    line, typed = [sys.executable, "-i", "task01.py", "--steps", "none"], "prin(1)\nprint(6 * 7)\n"
    result = subprocess.run(line, cwd=ROOT, input=typed, capture_output=True, text=True, timeout=300)
    assert "expected a whole number" in result.stderr and "NameError" in result.stderr
    assert "42" in result.stdout and result.returncode == 0


def code(*sources):
    return notebook.code_in(cells(*sources).encode())


def test_a_notebooks_code_is_read_in_order_without_what_python_does_not_know():
    lines = ["import math\n", "%time x = 1\n", "y = 7 % 4"]
    text, names = code(lines, "%%bash\nrm -rf x", "if y:\n    files = !ls\nprint?"), {}
    exec(text, names)
    assert names["y"] == 3 and names["x"] == 1 and text.index("cell 1") < text.index("cell 3")
    assert names["files"] == []


def test_a_cell_magic_that_is_not_first_is_an_error_as_in_jupyter():
    with pytest.raises(NameError, match="%%time"):
        exec(code("# mine\n%%time\nx = 1"), {})


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"cells": 3}', b'{"cells": []}', cells(" ").encode(), b"\xff\xfe"]
)
def test_what_is_no_notebook_is_named(content):
    with pytest.raises(UserError, match="notebook"):
        notebook.code_in(content)
