"""The changes of task 9: each script is a small diff, stays causal and learns; their measurement can be stopped."""

import dataclasses
import importlib
import json
import re

import task09_rope
from check.command import run_file
from check.grading.marks import Mark, Points
from check.judge.checking import check, verdict
from check.judge.suites import change
from exercises import build
from studies import setup
from tests.lessons import LOGS, ROOT, lively
from tools.changes import BUGS, RIGHTS, edited
from tools.mutants import Mutant
from variants import characters, measure, summary

import pytest
import torch

NAMES = (*measure.NAMES, "alibi")
TINY = {"batch_size": 2, "block_size": 16, "n_embd": 24, "n_head": 4, "n_layer": 2, "dropout": 0.0, "eval_interval": 0}


def tiny(name, **changes):
    module = importlib.import_module(f"variants.{name}")
    known = TINY | changes
    fields = {field.name for field in dataclasses.fields(module.Config)}
    config = dataclasses.replace(module.Config(), **{key: known[key] for key in known if key in fields})
    return setup.build(module.GPT, config, 11, seed=1)


@pytest.mark.parametrize("name", NAMES)
def test_a_change_is_one_short_file(name):
    text = (ROOT / "variants" / f"{name}.py").read_text(encoding="utf-8")
    assert text.count("\n") <= 60 and "https://arxiv.org/abs/" in text
    assert re.search(r"^import task09_rope$", text, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_a_change_stays_causal_and_every_parameter_learns(name):
    model = lively(tiny(name).model, std=0.3)
    tokens = torch.randint(11, (3, 16))
    later = tokens.clone()
    later[:, 9:] = (later[:, 9:] + 1) % 11
    torch.testing.assert_close(model(tokens)[:, :9], model(later)[:, :9])
    assert not torch.allclose(model(tokens)[:, 9:], model(later)[:, 9:])
    model(tokens).square().mean().backward()
    assert [each for each, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert model.generate(tokens, 3).shape == (3, 19)


def test_with_a_cache_grouped_queries_compute_the_same():
    model = tiny("grouped_queries", n_kv_head=2).model.eval()
    tokens = torch.randint(11, (3, 16))
    whole = model(tokens)
    for block in model.blocks:
        block.attention.__class__ = characters.CachedAttention
        block.attention.start(len(tokens), block_size=16)
    parts = [model(part) for part in tokens.split([5, 1, 10], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


def test_what_each_change_computes():
    """With the numbers that undo it, a change is task 9; other numbers are the formula's."""
    tokens = torch.randint(11, (2, 16))
    task09 = setup.build(task09_rope.GPT, dataclasses.replace(task09_rope.Config(), **TINY), 11, seed=1).model
    for name in ("convolutions", "sliding_window"):
        model = tiny(name, window=16).model
        torch.testing.assert_close(model(tokens), task09(tokens))
    model = tiny("value_residual").model
    model.load_state_dict(task09.state_dict(), strict=False)
    torch.nn.init.zeros_(model.shares)
    torch.testing.assert_close(model(tokens), task09(tokens))
    norm = importlib.import_module("variants.rmsnorm").RMSNorm(6)
    x = 3 + torch.randn(2, 6)
    torch.testing.assert_close(norm(x), torch.nn.RMSNorm(6, 1e-5)(x))
    alibi = importlib.import_module("variants.alibi").distances(4, 8)
    assert alibi[0, 3].tolist() == [-1.5, -1.0, -0.5, 0.0] and alibi[7, 1, 0] == -(2.0**-8)
    assert alibi[0, 0, 1:].isneginf().all()
    window = importlib.import_module("variants.sliding_window").window_mask(5, 2)
    assert window.sum(dim=1).tolist() == [1, 2, 2, 2, 2] and window[4, 3]
    relu2 = tiny("swiglu", activation="relu2").model.blocks[0].feed_forward.layers[1]
    assert relu2(torch.tensor([-2.0, 3.0])).tolist() == [0.0, 9.0]


def test_a_measurement_goes_on_where_it_was_stopped(tmp_path, monkeypatch, call):
    small = {"batch_size": 2, "block_size": 32, "n_embd": 12, "n_head": 3, "n_layer": 2}
    monkeypatch.setitem(measure.SIZES, "small", small)
    monkeypatch.setattr(measure, "ROUNDS", 2)
    whole = measure.tuning_text

    def shortened(block_size):
        corpus = whole(block_size)
        corpus.splits = {name: tokens[:3000] for name, tokens in corpus.splits.items()}
        return corpus

    monkeypatch.setattr(measure, "tuning_text", shortened)
    monkeypatch.setattr(measure, "describe", lambda: "a machine")  # not measured
    words = ["--into", tmp_path, "--steps", 5, "--only", "task09", "alibi", "longer"]
    code, out, _ = call(measure, *words, "--seeds", 42, 43)
    assert code == 0 and out.count("small") == 6
    first = json.loads((tmp_path / "small-alibi-42.json").read_text())
    assert first["steps"] == 5 and first["cache"] == 4 * 2 * 2 * 12 * 32 and len(first["quarters"]) == 4
    (tmp_path / "small-alibi-42.json").unlink()
    code, out, _ = call(measure, *words, "--seeds", 42, 43)
    assert out.splitlines() == [f"small alibi 42: {first['loss']:.4f} after 5 steps"]
    call(measure, "--into", tmp_path, "--only", "task09", "alibi", "--seconds")
    monkeypatch.setattr(summary, "LOG", ROOT / "docs" / "logs" / "variants_test.txt")
    monkeypatch.setattr(summary, "PAGE", tmp_path / "none.md")
    try:
        code, out, _ = call(summary, "--from", tmp_path)
        log = summary.LOG.read_text(encoding="utf-8")
    finally:
        summary.LOG.unlink(missing_ok=True)
    assert code == 0 and out.startswith("docs/logs/variants_test.txt: 6 runs")
    assert re.search(r"^\| alibi \| [\d.]+ ± [\d.]+ \| -?[\d.]+ ± [\d.]+ \| [\d.]+ ± ", log, re.MULTILINE)
    assert "| gate |  |  |  |  |  |  |  | not measured |" in log


def test_a_change_helps_beyond_twice_the_spread():
    assert summary.verdict([-0.05, -0.06, -0.04]) == "helps"
    assert summary.verdict([0.05, 0.06, 0.04]) == "does not help: worse"
    assert summary.verdict([0.01, -0.02, -0.01]) == "within the spread" and summary.verdict([-0.5]) == "one seed"


# Task 9 with any of them, or with another.


def right(change, number):
    return [each for each in RIGHTS if each.task == change][number].text()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("as short as in variants/", build.source("gate"), "a gate after attention"),
        ("whole", right("swiglu", 0), "SwiGLU"), ("of task 9's sizes", right("swiglu", 4), "ReLU²"),
        *(pytest.param(change, right(change, 1), said, marks=pytest.mark.slow)
          for change, said in (("rmsnorm", "RMSNorm"), ("alibi", "ALiBi"), ("grouped_queries", "grouped queries"))),
    ],
)  # fmt: skip
def test_task_9_knows_which_change_was_made(checked, name, text, said):
    results = checked("task09_rope", text)
    assert verdict(results) == "pass" and results[-1].stage == "training"
    assert f"task 9 with {said}" in [note for result in results for note in result.notes]


@pytest.mark.slow
@pytest.mark.parametrize("change", NAMES)
def test_a_bug_is_no_change(checked, change):
    for bug in [each for each in BUGS[change] if each[3] == "logits"][:2]:
        results = checked("task09_rope", Mutant(change, *bug).text())
        expected = "pass" if bug[0] == "no window" else "fail"  # without its window it is task 9
        assert verdict(results) == expected, bug[0]


TASK09 = build.source("task09_rope")
SANDWICH = (
    ("self.attention = SelfAttention(config)\n", "self.attention = SelfAttention(config)\n        self.after = nn.LayerNorm(config.n_embd)\n"),
    ("x + self.attention(self.attention_norm(x))", "x + self.after(self.attention(self.attention_norm(x)))"),
)  # fmt: skip

CAPPED = ("* scale  # (…, T, T)", "* scale\n    scores = 5 * torch.tanh(scores / 5)")


def edited_task09(*changes):
    return edited(TASK09, changes, "task 9")


HEAD = "        self.lm_head = nn.Linear(config.n_embd, vocab_size)\n"
TIED = (HEAD, HEAD + "        self.lm_head.weight = self.token_embedding.weight\n")
NO_BIAS = (HEAD, HEAD.replace("vocab_size)", "vocab_size, bias=False)"))
NORM = "nn.LayerNorm(config.n_embd)"
NO_GAINS = (NORM, NORM.replace(")", ", elementwise_affine=False)"))
HALF_TURNED = (
    ("config.n_embd // config.n_head)  # (T, D/2)", "config.n_embd // config.n_head // 2)"),
    ("def rotate(x, angles):\n", "def rotate(x, angles):\n    x, rest = x.chunk(2, dim=-1)\n"),
    ("first * sin + second * cos], dim=-1)", "first * sin + second * cos, rest], dim=-1)"),
)
SKIPS = (
    (
        "        self.lm_head =",
        "        self.skips = nn.Parameter(torch.ones(config.n_layer // 2))\n        self.lm_head =",
    ),
    (
        "        x = self.blocks(x)  # (B, T, C)\n",
        """        half, kept = (len(self.blocks) + 1) // 2, []
        for n, block in enumerate(self.blocks):
            x = block(x + self.skips[n - half] * kept.pop() if n >= half else x)
            kept += [x] * (n < half)
""",
    ),
)


@pytest.mark.parametrize("changes", [SANDWICH, [CAPPED], [TIED], [NO_BIAS], SKIPS, HALF_TURNED])
def test_an_unknown_change_gets_no_verdict_and_no_points(checked, changes):
    results = checked("task09_rope", edited_task09(*changes))
    assert verdict(results) == "undecided" and results[-1].detail.startswith("unknown change: neither task 9, nor")
    mark = Mark("Ada", "", "task09_rope", "my_task09.py", "undecided", [each.as_dict() for each in results])
    Points().give(mark)
    assert mark.points == 0 and "unknown change: for the teacher" in mark.notes


def test_a_gated_activation_with_an_argument_does_not_stop_the_check(checked):
    text = right("swiglu", 0).replace("F.silu(self.gate_proj(x))", "F.gelu(self.gate_proj(x), approximate='tanh')")
    assert "approximate" in text and verdict(checked("task09_rope", text)) == "undecided"


def glu(activation):
    return right("swiglu", 0).replace("F.silu(self.gate_proj(x))", f"F.{activation}(self.gate_proj(x))")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (glu("gelu"), "SwiGLU, but with gelu as the gate's activation"),
        (glu("relu"), "SwiGLU, but with relu as the gate's activation"),
        (edited_task09((NORM, NORM.replace(")", ", bias=False)"))), "RMSNorm, but with the mean subtracted, as in"),
        (edited_task09(NO_GAINS), "norms that have no parameters"),
    ],
)
def test_other_forms_of_newer_models_are_choices(checked, text, said):
    results = checked("task09_rope", text)
    assert verdict(results) == "undecided" and results[-1].detail.startswith(f"unknown change: task 9 with {said}")


SHORT = """import task09_rope
from task09_rope import Config, GPT as Lesson, main
from torch import nn


class GPT(Lesson):
    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        for block in self.blocks:
            CHANGE
"""


@pytest.mark.parametrize(
    ("code", "status", "stage"),
    [
        ("block.feed_forward.layers[1] = nn.GELU()", "undecided", "logits"),
        ("pass\n\nraise ValueError", "fail", "identity"),
        ("block.attention.mask = block.attention.mask.new_ones(block.attention.mask.shape)", "fail", "causality"),
        ("pass", "fail", "identity"),
    ],
)
def test_a_short_file_is_judged_by_what_it_changes(tmp_path, zygote, code, status, stage):
    path = tmp_path / "my_task09.py"
    path.write_text(SHORT.replace("CHANGE", code), encoding="utf-8")
    results = [*check("task09_rope", path, zygote=zygote)]
    assert (verdict(results), results[-1].stage, results[0].stage) == (status, stage, "identity")
    stages = [result.stage for result in check("task09_rope", path, everything=True, zygote=zygote)]
    assert len(stages) == len({*stages})


def test_a_window_of_a_fixed_length_is_told_to_have_a_field(checked):
    results = checked("task09_rope", edited_task09((".tril()", ".tril().triu(-63)")))
    assert results[-1].stage == "sizes" and "does Config have a field `window`" in results[-1].hint


@pytest.mark.parametrize("text", [build.source("swiglu"), "from variants.swiglu import GPT, Config, main"])
def test_a_script_of_the_repository_is_not_an_unknown_change(tmp_path, zygote, text):
    path = tmp_path / "my_task09.py"
    path.write_text(text, encoding="utf-8")
    (result,) = check("task09_rope", path, zygote=zygote)
    assert (result.status, result.stage) == ("fail", "identity") and "as the repository has it" in result.got


GELU = ("nn.ReLU()", "nn.GELU()")
PARALLEL = (
    ("        x = x + self.attention(self.attention_norm(x))  # (B, T, C)\n", "        before = x\n        x = x + self.attention(self.attention_norm(x))  # (B, T, C)\n"),
    ("self.feed_forward(self.feed_forward_norm(x))", "self.feed_forward(self.feed_forward_norm(before))"),
)  # fmt: skip
OUTPUTS = (
    ("self.attention(self.attention_norm(x))", "self.attention_norm(self.attention(x))"),
    ("self.feed_forward(self.feed_forward_norm(x))", "self.feed_forward_norm(self.feed_forward(x))"),
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([GELU], "task 9 with gelu as activation"),
        pytest.param([("10_000.0", "500_000.0")], "task 9 with frequencies of base 500000", marks=pytest.mark.slow),
        pytest.param(PARALLEL, "task 9 with attention and MLP side by side", marks=pytest.mark.slow),
        pytest.param(OUTPUTS, "task 9 with norms of the branches' outputs", marks=pytest.mark.slow),
    ],
)
def test_what_would_be_a_bug_in_an_earlier_task_may_be_a_choice(checked, changes, said):
    results = checked("task09_rope", edited_task09(*changes))
    assert verdict(results) == "undecided" and results[-1].detail.startswith(f"unknown change: {said}; no verdict")
    results = checked("task09_rope", edited_task09(*changes, ("rotate(k, self.angles[:T]), ", "k, ")))
    assert verdict(results) == "fail"


@pytest.mark.parametrize(
    ("where", "stage"),
    [("def __init__(self, config, vocab_size):\n", "interface"), ("def forward(self, tokens):  # (B, T)\n", "shapes")],
)
def test_a_file_that_ends_its_process_fails_and_is_no_unknown_change(tmp_path, zygote, where, stage):
    path = tmp_path / "my_task09.py"
    path.write_text(edited_task09((where, where + "        __import__('os')._exit(3)\n")), encoding="utf-8")
    *_, last = check("task09_rope", path, zygote=zygote)
    assert (last.status, last.stage) == ("fail", stage)


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        ((".tril()", ".tril(1)"), "causality"),
        (("tokens[:, -self.block_size :]", "tokens"), "generation"),
        (("self.after(self.attention(", "self.after(self.attention.requires_grad_(False)("), "gradients"),
    ],
)
def test_an_unknown_change_fails_where_it_cannot_work(checked, change, stage):
    results = checked("task09_rope", edited_task09(*SANDWICH, change))
    assert verdict(results) == "fail" and results[-1].stage == stage


@pytest.mark.slow
@pytest.mark.parametrize(("mask", "said"), [("", "the model is task 7's, "), (".triu(-63)", "neither task 9, nor")])
def test_task_7_is_told_from_an_unknown_change(checked, mask, said):
    text = build.source("task07").replace("class GPT(", "MINE = 1\n\n\nclass GPT(")
    results = checked("task09_rope", text.replace(".tril()", f".tril(){mask}"))
    assert verdict(results) == "undecided" and results[-1].detail.startswith(f"unknown change: {said}")


@pytest.mark.slow
def test_biases_in_task_7_are_no_sign_of_a_change(checked):
    text = build.source("task07").replace("3 * config.n_embd, bias=False", "3 * config.n_embd")
    results = checked("task09_rope", text)
    assert verdict(results) == "undecided" and results[-1].detail.startswith("unknown change: the model is task 7's, ")


SWIGLU = (
    """            nn.Linear(config.n_embd, 4 * config.n_embd),  # (B, T, 4C)
            nn.ReLU(),
            nn.Linear(4 * config.n_embd, config.n_embd),  # (B, T, C)
""",
    "            SwiGLU(config.n_embd),\n",
)
GATED = """class SwiGLU(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.w1, self.w2 = (nn.Linear(C, 8 * C // 3, bias=False) for _ in "12")
        self.w3 = nn.Linear(8 * C // 3, C, bias=False)

    def forward(self, x):
        return self.w3(F.silu(self.w1(x)) * self.w2(x))


class FeedForward("""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ((), ""),
        ((("* self.w2", "+ self.w2"),), "a sum in place of the product"),
        ((("x = x + self.attention(", "x = self.attention("),), "without the skip around attention"),
    ],
)
def test_a_change_may_be_made_to_task_7(checked, edits, said):
    text = edited(build.source("task07"), (SWIGLU, ("class FeedForward(", GATED), *edits), "task 7")
    results = checked("task09_rope", text)
    assert "task 7 with SwiGLU" in [note for result in results for note in result.notes]
    assert verdict(results) == ("fail" if said else "pass") and said in results[-1].got


@pytest.mark.slow
def test_a_bug_in_task_7_is_no_unknown_change(checked):
    results = checked("task09_rope", build.source("task07").replace("x = x + self.attention(", "x = self.attention("))
    assert verdict(results) == "fail" and "without the skip around attention" in results[-1].got


@pytest.mark.slow
@pytest.mark.parametrize("number", ["1", "config.n_head // 2"])
def test_the_number_of_key_heads_may_be_fixed(checked, number):
    text = (ROOT / "variants" / "grouped_queries.py").read_text(encoding="utf-8")
    text = text.replace("config.n_kv_head", f"({number})").replace("    n_kv_head: int = 1", "    pass")
    results = checked("task09_rope", text)
    assert "task 9 with grouped queries" in [note for result in results for note in result.notes]
    assert verdict(results) == "pass"


@pytest.mark.slow
@pytest.mark.parametrize("change", change.MISSING)
def test_task_9_itself_is_none_of_its_changes(checked, change):
    results = checked(change, edited_task09(("class GPT(", "MINE = 1\n\n\nclass GPT(")))
    assert verdict(results) == "fail" and results[-1].got == "the parameters of task 9"


@pytest.mark.slow
@pytest.mark.parametrize("reach", [64, 65])
def test_a_window_is_known_where_it_is_longer_than_the_checks_texts(checked, reach):
    window = ("    n_layer: int = 6\n", "    n_layer: int = 6\n    window: int = 64\n")
    near = (".tril()", f".tril().triu({1 + 64 - reach} - window)")
    assert "causal_mask(config.block_size)" in TASK09
    passing = ("causal_mask(config.block_size)", "causal_mask(config.block_size, config.window)")
    results = checked(
        "task09_rope", edited_task09(window, near, passing, ("def causal_mask(T)", "def causal_mask(T, window)"))
    )
    assert "task 9 with a sliding window" in [note for result in results for note in result.notes]
    assert verdict(results) == ("pass" if reach == 64 else "fail")
    assert reach == 64 or "a window that is one too long" in results[-1].got


def test_a_file_in_which_nothing_writes_may_leave_the_mode_to_its_caller(checked):
    results = checked("task07", build.source("task07").partition("\ndef main")[0])
    assert verdict(results) == "pass"
    assert any("in the mode in which it is called" in note for result in results for note in result.notes)


def test_the_loss_of_any_change_is_told_next_to_task_9s():
    log = (LOGS / "task09_rope_seed42.txt").read_text(encoding="utf-8")
    loss = re.search(r"Final val loss: ([\d.]+)", log)[1]
    assert f"yours ends at {loss}" in run_file.next_to_task09(log) and "within twice" in run_file.next_to_task09(log)
    assert "lower than task 9's by more than twice" in run_file.next_to_task09(log.replace(loss, "1.2000"))
    assert "higher by more than twice" in run_file.next_to_task09(log.replace(loss, "1.9000"))
    assert "Not compared" in run_file.next_to_task09("Epoch 7: avg train loss 2.0 | avg val loss 2.0\n")
