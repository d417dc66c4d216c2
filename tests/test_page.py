"""The page: its server serves nothing else, its JavaScript computes as PyTorch does, its index lists what is there."""

import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing

from common.checkpoint import load
from common.run import UserError
from page import server as served
from studies.setup import load_any
from tests.lessons import CORE, ROOT, parse_log, serving
from tools import export, page_lessons, page_models

import pytest
import torch


@pytest.fixture
def server():
    with serving(b"weights", "mine") as server:
        yield server


def get(server, path, method="GET", **headers):
    """Status, type and body; the path goes out as it is."""
    with closing(http.client.HTTPConnection(served.HOST, server.server_port, timeout=10)) as link:
        link.request(method, path, headers=headers)
        answer = link.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()


def command(*words, module=("-m", "page"), cwd=ROOT):
    """The page's command, in a process that Ctrl-C reaches."""
    line, pipe = [sys.executable, *module, "--no-browser", *words], subprocess.PIPE
    return subprocess.Popen(line, cwd=cwd, text=True, stdout=pipe, stderr=pipe, start_new_session=True)


def test_the_page_is_served_to_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    assert get(server, "/", Host=f"example.org:{server.server_port}")[0] == 403
    assert get(server, "/", Host=f"localhost:{server.server_port}")[0] == 200
    status, kind, body = get(server, "/")
    assert (status, kind) == (200, "text/html; charset=utf-8") and body == (served.ROOT / "index.html").read_bytes()
    assert get(server, "/index.html?own=mine")[2] == body
    assert get(server, "/", "HEAD") == (200, "text/html; charset=utf-8", b"")
    assert get(server, served.OWN) == (200, "application/octet-stream", b"weights")


@pytest.mark.parametrize(
    "path",
    [
        *("/server.py", "/__main__.py", "/../README.md", "/%2e%2e/weights/shakespeare.pt", "/js/..%2f..%2fREADME.md"),
        *("//etc/passwd", "/js/", "/nothing.js", "/%00.html", f"/{'a' * 5000}.html", "/http://example.org/x.html"),
    ],
)
def test_nothing_else_is_served(server, path):
    assert get(server, path)[::2] == (404, b"")


def test_a_link_out_of_the_folder_is_not_followed(server, tmp_path, monkeypatch):
    folder = tmp_path / "page"
    folder.mkdir()
    (tmp_path / "secret.json").write_text("secret")
    try:
        (folder / "link.json").symlink_to(tmp_path / "secret.json")
    except OSError:
        pytest.skip("this user may not make links")
    monkeypatch.setattr(served, "ROOT", folder.resolve())
    assert get(server, "/link.json")[0] == 404


def test_without_weights_there_are_none():
    with serving() as server:
        assert get(server, served.OWN)[0] == 404
        assert "?" not in server.address


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_it_says_its_address_and_ends_at_ctrl_c(elsewhere, tmp_path):
    process = command(module=(str(ROOT / "page"),), cwd=tmp_path) if elsewhere else command()
    address = process.stdout.readline()
    assert address.startswith("http://127.0.0.1:") and address.endswith("/\n")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert err.count("\n") == 1 and err.endswith("Interrupted while it served the page.\n")


def test_what_cannot_be_served_is_one_line():
    with socket.create_server((served.HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        for words, said in (
            (("--port", port), f"port {port}: "),
            (("--weights", "nothing.safetensors"), "nothing.safetensors: No such file"),
        ):
            process = command(*words)
            out, err = process.communicate(timeout=20)
            assert (process.returncode, out, err.count("\n")) == (2, "", 1) and said in err
            assert words[0] != "--port" or "without --port" in err


def test_the_page_without_its_models_is_small():
    files = [path for path in served.ROOT.rglob("*") if path.suffix in served.TYPES]
    assert sum(path.stat().st_size for path in files if path.parent.name != "models") < 250_000


def test_the_page_loads_nothing_from_others():
    page = (served.ROOT / "index.html").read_text(encoding="utf-8")
    assert "default-src 'self'" in page
    for path in served.ROOT.rglob("*.[jch][sst]*"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""(?:src|href|import|from|fetch|url)\W{1,3}["'`]?https?:""", text), path


INDEX = json.loads((page_models.MODELS / "index.json").read_text(encoding="utf-8"))["models"]
written = pytest.mark.skipif(importlib.util.find_spec("safetensors") is None, reason="needs safetensors")


@written
@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize("length", [40, pytest.param(300, marks=pytest.mark.slow)])
def test_the_forward_pass_in_javascript_is_pytorchs(length, tmp_path):
    subprocess.run([sys.executable, "tests/page/reference.py", tmp_path, str(length)], cwd=ROOT, check=True)
    line = ["node", "--test", "tests/page/gpt.test.mjs"]
    environment = os.environ | {"REFERENCE": str(tmp_path)}
    result = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("about", INDEX, ids=[each["name"] for each in INDEX])
def test_the_index_is_of_the_logs_and_the_files(about):
    log = page_models.lines(page_models.log_of(about["name"]))
    assert about["log"] == log and about["val_loss"] == page_models.final(about["name"])
    if about["name"] in CORE:
        text = (ROOT / "docs" / "logs" / f"{about['name']}.txt").read_text(encoding="utf-8").split("\n", 1)[1]
        assert [step for step, *_ in about["log"]] == [step for step, *_ in parse_log(text)]
        assert [each["step"] for each in about["snapshots"]] == list(page_models.SNAPSHOTS)
    for each in [about, *about["snapshots"], *about["broken"]]:
        assert (page_models.MODELS / each["file"]).stat().st_size == each["bytes"]


def test_all_files_are_small_enough_and_those_to_begin_with_too():
    assert sum(path.stat().st_size for path in page_models.MODELS.iterdir()) <= 22e6
    assert sum(about["bytes"] for about in INDEX if about["name"] in CORE) <= 2e6


def test_every_fault_of_the_page_is_a_bug_of_the_table():
    shown = {each["name"]: each["title"] for about in INDEX for each in about["broken"]}
    assert shown == {fault: what for fault, (_, what, _) in page_models.FAULTS.items()}


@written
def test_a_run_becomes_a_file_that_others_read(trained, tmp_path, printed):
    pytest.importorskip("numpy", reason="safetensors.torch needs NumPy")
    from safetensors.torch import load as load_others

    path = tmp_path / "my.pt"
    shutil.copyfile(trained, path)
    assert printed(export, path) == f"{tmp_path / 'my.safetensors'}: written\n"
    tensors = load_others((tmp_path / "my.safetensors").read_bytes())
    for name, tensor in load(path)["model"].items():
        assert torch.equal(tensors[name], tensor.float())
    whole = (tmp_path / "my.safetensors").stat().st_size
    printed(export, path, "--half")
    assert (tmp_path / "my.safetensors").stat().st_size < 0.6 * whole
    halved, _, _, state = load_any(tmp_path / "my.safetensors")
    for name, tensor in load_any(path)[0].state_dict().items():
        torch.testing.assert_close(halved.state_dict()[name], tensor, rtol=1e-3, atol=1e-7)
    assert state["step"] == load(path)["step"]
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "my.safetensors").read_bytes()[:-5])
    with pytest.raises(UserError, match=r"cut\.safetensors: not a checkpoint"):
        load_any(tmp_path / "cut.safetensors")


def test_the_pages_lessons_are_those_of_the_files():
    assert page_lessons.PLACE.read_text(encoding="utf-8") == page_lessons.made(), "python -m tools.page_lessons"


def test_a_diff_has_every_line_that_differs():
    rows = page_lessons.rows("a\nb\nc\n", "a\nx = x + 1\nc\nd\n")
    kinds = [(row["kind"], row.get("picture")) for row in rows]
    assert kinds == [("gap", None), ("same", ""), ("changed", "skip"), ("same", ""), ("added", "")]
    assert rows[2]["left"] == [2, "b"] and rows[4]["right"] == [4, "d"]


def test_only_code_makes_a_picture():
    """A line of text, a comment, an import or a name that only looks like one would light up the wrong picture."""
    source = (
        '"""\nThe mask of a head.\n"""\nfrom common.options import save_weights\nself.lm_head = lm_head  # softmax\n'
    )
    assert not any(page_lessons.pictures(source + "self.block_size = 8\n"))
    shown = page_lessons.pictures(
        "scores = scores * scale\nweights = F.softmax(scores, dim=-1)\nx = x + self.attention(x)\n"
    )
    assert shown == ["scale", "softmax", "skip"]
    for name in page_lessons.LESSONS:
        source = (ROOT / f"{name}.py").read_text(encoding="utf-8")
        assert len(page_lessons.pictures(source)) == len(source.splitlines())
