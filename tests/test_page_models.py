"""The page's models: what its JavaScript computes is what PyTorch computes, and its index lists what is there."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

from common.checkpoint import load
from page.export import as_safetensors
from tests.lessons import CORE, ROOT, parse_log
from tools import export, page_lessons, page_models

import pytest
import torch

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
def test_a_run_becomes_a_file_that_others_read(trained, tmp_path, monkeypatch, capsys):
    pytest.importorskip("numpy", reason="safetensors.torch needs NumPy")
    from safetensors.torch import load as load_others

    path = tmp_path / "my.pt"
    shutil.copyfile(trained, path)
    monkeypatch.setattr(sys, "argv", ["export", str(path)])
    export.main()
    assert capsys.readouterr().out == f"{tmp_path / 'my.safetensors'}: written\n"
    tensors = load_others((tmp_path / "my.safetensors").read_bytes())
    for name, tensor in load(path)["model"].items():
        assert torch.equal(tensors[name], tensor.float())
    half = as_safetensors(load(path), torch.float16)
    assert len(half) < 0.6 * (tmp_path / "my.safetensors").stat().st_size


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
