"""Learners' files that are right pass, with planted mistakes or faults they do not; homeworks written literally."""

import json
import re
from pathlib import Path

from check.command.names import task_named, task_of, told_by
from check.isolated.notebook import executed
from exercises.catalogue import PIECES
from tools import cases
from tools.in_process import first_failure

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("path", cases.right_files([]), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_right_files_in_every_style_pass(path, zygote):
    found = cases.first_failure(path, 0, zygote)
    assert found is None, cases.said(found)


@pytest.mark.slow
@pytest.mark.parametrize("bug", cases.mistakes([]), ids=lambda bug: f"{bug['file']}: {bug['name']}")
def test_no_planted_mistake_passes(bug, failing):
    assert failing(str(task_of(Path(bug["file"]))), cases.planted(bug)) is not None


@pytest.mark.slow
def test_a_relu_at_its_kink_is_no_failure():
    """With this draw a ReLU's input is 0 but for rounding, and one text's gradients differ."""
    path = cases.RIGHT / "heads_loop" / "task05.py"
    found = first_failure("task05", path, seed=13)
    assert found is None, cases.said(found)


LITERAL = cases.CASES / "literal"
TOLD = {  # those that are not to pass: the stage, and words of what is said
    ("000/03_training.ipynb", "training"): ("interface", "no max_iters"),
    ("001/ex7_training_main.py", "training"): ("interface", "neither an argument nor a global gives main its model"),
    ("003/block_attention_block.py", "block"): ("dropout", "none on the attention weights"),
    ("003/block_attention_only.py", "block"): ("interface", "no argument dropout"),
    ("003/block_post_ln.py", "block"): ("interface", "no argument dropout"),
    ("002/config/task02_projection.py", "task02"): ("parameters", "sa_heads.proj 600"),
    ("002/config/task03_linear.py", "task03"): ("logits", "without its activation"),
    ("002/config/task04_linear.py", "task04"): ("logits", "without its activation"),
    ("002/config/task05_no_projection.py", "task05"): ("parameters", "Which layer mixes the heads"),
    ("002/config/task07_paper_dropout.py", "task07"): ("dropout", "none on the attention weights"),
    ("002/config/task09_rmsnorm_swiglu.py", "task09"): ("parameters", "unknown change"),
}
TOLD_ALL = {"002/globals": ("interface", "Are the globals"), "002/script": ("identity", "import")}


def rows():
    """File, sentence and piece of each row of the table in README.md."""
    for line in (LITERAL / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            file, _, sentence, pieces, _ = line.strip("| ").split(" | ")
            for piece in re.findall("[a-z_]+[0-9]*", pieces.replace("(or", "")):
                if piece in PIECES or piece.startswith("task"):
                    yield pytest.param(file.strip("`"), piece, id=f"{file.strip('`')}, {piece}: {sentence}")


@pytest.mark.parametrize(("file", "piece"), [*rows()])
def test_a_literal_file_passes_or_is_told_why_not(file, piece, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some save their model
    found = first_failure(task_named(piece), LITERAL / file)
    told = TOLD.get((file, piece)) or TOLD_ALL.get(file.rpartition("/")[0])
    if told:
        assert found.stage == told[0] and told[1] in f"{found.got} {found.what} {found.hint} {found.detail}", found
    else:
        assert found is None, found


ATTENTION, ENCODER = "000/modeling_attention.py", "000/transformer_lm/modeling_transformer.py"
STEPS = "004/src/model/attention/impl.py"
FAULTS = [  # file, piece, old, new, stage; tools/mutants.py has the faults that look the same in any form
    (ATTENTION, "multi_head_attention", "self.mix(out)", "out", "logits"),
    (ATTENTION, "multi_head_attention", "diagonal=1", "diagonal=0", "steadiness"),
    (ATTENTION, "multi_head_attention", "if self.causal:", "if True:", "bidirectional"),
    (ENCODER, "encoder", "embeddings(positions)", "embeddings(input_ids % 7)", "position"),
    (ENCODER, "encoder", "x = layer(x)", "x = self.layers[0](x)", "layers"),
    ("001/homework.py", "multi_head_attention", "dropout1(F.softmax(scores, dim=-1))",
     "dropout1(scores).softmax(-1)", "steadiness"),
    ("001/homework.py", "gpt", "return logits, loss", "return loss", "shapes"),
    ("001/homework.py", "schedule", "return min_lr + coeff", "return coeff", "rise"),
    ("002/config/task02.py", "task02", "[Head(config) for _ in range(config.n_head)]", "[Head(config)] * 4",
     "parameters"),
    ("002/config/task02.py", "task02", "torch.cat([head(x) for head in self.heads], dim=-1)",
     "sum(head(x) for head in self.heads).repeat(1, 1, len(self.heads))", "logits"),
    ("003/attention_QKV_mask_none.py", "attention", "masked_fill(mask == 0, float(\"-inf\"))", "tril(1)", "causality"),
    ("003/transformer.py", "positions", "(-math.log(10000.0) / C)", "(math.log(10000.0) / C)", "formula"),
    ("003/transformer.py", "transformer", "self.W_O(out", "self.W_O(out.detach()", "layers"),
    (STEPS, "multi_head_attention", "q = self.query(x)", "q = self.key(x) + 0 * self.query(x)", "logits"),
    (STEPS, "multi_head_attention", "v = self.value(x)", "v = x + 0 * self.value(x)", "logits"),
    (STEPS, "multi_head_attention", "k = k.reshape(", "k = k.transpose(1, 2).reshape(", "causality"),
    (STEPS, "multi_head_attention", "torch.bmm(q, k.transpose(1, 2))", "torch.bmm(q, k)", "shapes"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "piece", "old", "new", "stage"), FAULTS)
def test_a_fault_in_a_literal_file_is_named(file, piece, old, new, stage, failing, tmp_path):
    text = (LITERAL / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "modeling_attention.py").write_text((LITERAL / ATTENTION).read_text(encoding="utf-8"))
    found = failing(piece, text.replace(old, new))
    assert (found.status, found.stage) == ("fail", stage) and found.hint.endswith("?"), found


@pytest.mark.parametrize(
    ("file", "piece"),
    [
        ("000/modeling_attention.py", "multi_head_attention"),
        ("000/transformer_lm/modeling_transformer.py", "encoder"), ("000/02_transformer_all_in_one.ipynb", "encoder"),
        ("003/attention_QKV_only.py", "attention"), ("003/transformer_paper.py", "transformer"),
        ("004/src/model/attention/impl.py", "multi_head_attention"), ("001/homework.py", "gpt"),
    ],
)  # fmt: skip
def test_path_or_class_tell_the_piece(file, piece):
    assert told_by(LITERAL / file) == piece


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([1, 2], "top to bottom"), ([2, 1], "not run in order"), ([1, 3], "not run in order"),
        ([1, None], "you have not run 1 of 2 cells: Restart and run all"),
    ],
)  # fmt: skip
def test_a_notebooks_order_of_execution_is_told(counts, said, tmp_path):
    cells = [{"cell_type": "code", "source": "x = 1", "execution_count": count} for count in counts]
    path = tmp_path / "my_mlp.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    assert said in executed(path)
