"""Wrong code that is close to right code is caught, by rows of the tables of mutants and restylings."""

import re
from pathlib import Path

from check.command.names import task_of
from check.judge.stages.generation import DRAWS, _most_by_chance
from check.judge.stages.learning import limit
from exercises import build
from tools import cases
from tools.changes import edited
from tools.mutants import MUTANTS
from tools.restylings import RESTYLINGS

import pytest
import torch

OTHER_ORDER = "parameters are created in another order than in the lesson, or begin with other values"


def mutant(task, what):
    return next(each for each in MUTANTS if (each.task, each.what) == (task, what)).text()


def restyled(task, what):
    return next(each for each in RESTYLINGS if (each.task, each.what) == (task, what)).text()


@pytest.mark.parametrize(
    ("task", "what", "got"),
    [
        ("task07", "dropout on the weights alone", "none after the projection, after the MLP"),
        ("task07", "dropout in the first block only", "none on the attention weights in block 2"),
        ("task07", "dropout on the values", "numbers of the values dropped there"),
        ("task07", "dropout of whole positions", "whole positions dropped there"),
        ("task07", "one mask of the weights for the batch", "the same in all rows of a batch"),
        ("task07", "dropout on the stream", "one on the stream, after the MLP is added"),
        ("task06", "blocks in a Python list", "blocks: Python's own list, into which PyTorch does not look"),
        ("task01", "weights that begin at zero", "as at first, all 0"),
        ("task02", "weights that begin constant", "all rows of the keys in block 1 equal, also after 100 steps"),
        ("task02", "nucleus sampling", "only from the 62 likeliest"),
        ("task02", "the loss of its own with targets moved", ""),
    ],
)
def test_what_is_nearly_right_is_named(failing, task, what, got):
    result = failing(task, mutant(task, what))
    assert result.status == "fail" and result.got.startswith(got), result


@pytest.mark.parametrize(
    ("task", "what", "words"),
    [
        ("task06", "a residual from the norm's output", ["skips that add the normalized stream"]),
        ("task06", "the second sum from the block's input", ["the block's input in the second sum"]),
        ("task06", "the first norm twice", ["the first norm before both branches"]),
        ("task03", "a softmax on the logits", ["a softmax on the logits"]),
        ("task06", "a norm after each branch", ["norms of the branches' outputs"]),
        ("task05", "no skips and no ReLU", ["without its activation", "without skips"]),
        ("task04", "no ReLU and no scale", ["without its activation", "without the scale of the scores"]),
        ("task01", "scores times 1.57", ["scores 1.57 times as large"]),
        ("task02", "logits times 3", ["logits 3 times as large"]),
        ("task04", "the blocks in reverse", ["its blocks in reverse"]),
        ("task03", "the feed-forward part twice", ["The difference is in the feed-forward part"]),
    ],
)
def test_known_bugs_alone_and_in_pairs_are_named(failing, task, what, words):
    result = failing(task, mutant(task, what))
    assert result.stage == "logits" and all(word in result.got for word in words), result


@pytest.mark.parametrize("seed", range(4))
def test_a_bug_has_the_same_name_in_every_draw(failing, seed):
    text = build.source("task01").replace(" * scale", "").replace("head_size, bias=False)", "head_size)")
    assert failing("task01", text, seed).got == "the lesson's model without the scale of the scores"


@pytest.mark.parametrize(
    ("task", "what", "asked"),
    [
        ("task02", "heads split by a view alone, merged by another", "How are heads split: view to"),
        ("task02", "heads merged without a transpose", "How are heads merged: transpose(1, 2)"),
        ("task05", "the last position only", "Does forward return the logits of all positions"),
    ],
)
def test_a_question_is_about_the_cause(failing, task, what, asked):
    result = failing(task, mutant(task, what))
    assert result.hint.startswith(asked)
    assert "weights of the first head" in result.example or not what.startswith("heads split")


@pytest.mark.parametrize(
    ("old", "new", "asked"),
    [
        (
            "tokens[:, -self.block_size :]",
            "(tokens if tokens.shape[1] >= self.block_size else tokens[:, -1:])[:, -self.block_size :]",
            "From the second new token on",
        ),
        (
            "dim=1)  # (B, T + 1)\n",
            "dim=1)\n            if (next_token == 0).all():\n                break\n",
            "Does it stop before",
        ),
    ],
)
def test_a_long_writing_from_a_short_text_is_compared(failing, old, new, asked):
    result = failing("task05", edited(build.source("task05"), [(old, new)], "task05"))
    assert result.stage == "generation" and result.hint.startswith(asked)


def test_a_loss_without_logits_fails_and_is_no_error(failing):
    result = failing("gpt", mutant("gpt", "with targets, only the loss"))
    assert (result.status, result.got) == ("fail", "one tensor ()")


def test_weights_of_three_tokens_are_an_example(failing):
    example = failing("task01", mutant("task01", "scores times 1.57")).example.splitlines()
    assert example[1].split() == ["the", "lesson's", "yours"] and len(example) == 5


def notes(results):
    return [note for result in results for note in result.notes]


def test_biases_and_another_scale_are_notes(checked):
    text = build.source("task02").replace("config.n_embd**-0.5", "(config.n_embd // config.n_head) ** -0.5")
    text = text.replace("3 * config.n_embd, bias=False)", "3 * config.n_embd)")
    assert notes(checked("task02", text)) == [
        "biases in queries, keys, values",
        "scores divided by √head_size, in the documented runs by √n_embd",
        OTHER_ORDER,
    ]


def test_another_order_of_creation_is_a_note(checked):
    text = build.source("task03")
    head, later = (re.search(rf".*self\.{name}_embedding = .*\n", text)[0] for name in ("token", "position"))
    for order, said in ((head + later, []), (later + head, [OTHER_ORDER])):
        assert notes(checked("task03", text.replace(head + later, order))) == said


@pytest.mark.parametrize("task", ["task02", "task05", "task06"])
@pytest.mark.parametrize("value", ["-1e9", "torch.finfo().min", "-1e4", "-1e3"])
def test_a_masked_score_is_far_below_all_others(failing, task, value):
    text = build.source(task)
    assert text.count('float("-inf")') == 1
    result = failing(task, text.replace('float("-inf")', value))
    assert (result and result.stage) == ("causality" if value in ("-1e4", "-1e3") else None), result


@pytest.mark.parametrize("what", ["dropout on the weights alone", "no dropout at all"])
def test_attention_may_drop_less_and_the_verdict_says_where(checked, what):
    results = checked("multi_head_attention", restyled("multi_head_attention", what))
    (result,) = (each for each in results if each.stage == "dropout")
    assert result.status == "pass"
    assert result.detail.startswith("on the attention weights" if "weights" in what else "none; ")


def test_a_mode_that_is_not_restored_is_a_note(checked):
    results = checked("task03", restyled("task03", "generate leaves the model in training mode"))
    assert {result.status for result in results} == {"pass"}
    assert "generate called in evaluation mode leaves the model in training mode" in notes(results)


def test_chance_stays_within_the_tolerance_of_frequencies():
    p = torch.tensor([0.5, 0.1, 1 / 65, 1e-4])
    deviations = _most_by_chance(p) / (p * (1 - p) / DRAWS).sqrt()
    assert (deviations > 7).all() and deviations[0] < 8


def test_the_limit_of_a_short_run_rises_with_its_start():
    ordinary, large = (4.9, 3.3), (174.0, 27.8)
    assert [limit(first, ordinary, large) for first in (4.2, 4.9, 174.0, 300.0)] == [3.3, 3.3, 27.8, 27.8]
    assert 3.3 < limit(5.0, ordinary, large) < 3.5


@pytest.mark.parametrize("seed", range(3))
def test_the_official_dropout_passes_with_any_draw(failing, seed):
    assert failing("block", build.source("block"), seed) is None


@pytest.mark.parametrize(
    ("file", "name", "got", "asked"),
    [
        ("ng_video_lecture/task01.py", "softmax over the queries", "a softmax over the queries", "Along which axis"),
        ("arena/task03.py", "triu with diagonal 0", "each position hidden from itself", "At which diagonal"),
        ("heads_loop/task05.py", "-10 for minus infinity", "hidden scores that are -10", "What is a hidden score"),
        ("nanogpt/multi_head_attention.py", "the wrong axes transposed back", "heads merged after", "How are heads"),
        ("nanogpt/task04.py", "the last block is skipped", "transformer.h.2 changes nothing", "Where should"),
        ("arena/task05.py", "no b_O; sees one token ahead", "b_O change nothing", "At which diagonal"),
        ("torch_mha/task06.py", "only queries normed; GELU", "a norm only for the queries", "What do keys and values"),
        ("mingpt/mlp.py", "the root of 2 over pi, misread", "in the activation", "What is the formula"),
        ("ng_video_lecture/task04.py", "one block three times", "4656 fewer: blocks.0, blocks.1 and", "several times"),
        ("hugging_face/task01.py", "labels shifted a second time", "shifted once more", "already shifted by one"),
        ("hugging_face/generate.py", "times the temperature", "[", "a divisor of the logits, or a factor"),
        ("arena/attention.py", "softmax over the queries", "a softmax over the queries", "Along which axis"),
        ("torch_encoder_layer/positions.py", "the minus before the logarithm lost", "that grow", "What is the sign"),
        ("arena/gpt.py", "dropout of the token embeddings only", "before positions are added", "To which sum"),
        ("ng_video_lecture/gpt.py", "AdamW's own decay for the vectors", "0.01", "AdamW's default weight decay"),
        ("nanogpt/task01.py", "the mask is only on while training", "seen in evaluation mode", "self.training"),
        ("mingpt/task04.py", "softmax over the heads", "from which one is hidden", "Along which axis"),
        ("heads_loop/attention.py", "a token may not look at itself", "only at position 0", "At which diagonal"),
        ("torch_encoder_layer/task06.py", "PyTorch's default dropout of 0.1", "others each time", "another rate"),
        ("qwen/transformer.py", "an encoder's mask in a decoder", "as without a mask", "get the mask, or its flag"),
        ("palm_alibi/transformer.py", "triu from the second diagonal", "all up to t + 1", "At which diagonal"),
        ("hugging_face/encoder.py", "causal the wrong way round", "causal=False hides", "Which value of causal"),
        ("heads_loop/task05.py", "three layers, whatever n_layer says", "not with 2: IndexError", "a fixed number"),
        ("mingpt/task06.py", "one LayerNorm at two places", "22283: blocks.0.ln_1 and blocks.0.ln_2", "several times"),
        ("llama/encoder.py", "one angle for all positions", "the same", "its own angle"),
        ("nanogpt/transformer.py", "wpe is not added", "transformer.wpe.weight changes nothing", "its own angle"),
        ("arena/encoder.py", "positions along the batch", "7 rows run, 9", "Which axis is for rows"),
        ("mingpt/task02.py", "top_k is 10 by default", "only from the 10 likeliest", "Which default"),
        ("arena/generate.py", "probabilities taken for logits", "a softmax of a softmax", "treats them as logits"),
        ("nanogpt/generate.py", "softmax over the batch", "whatever the logits", "that of the rows (dim=0)"),
        ("hugging_face/generate.py", "max_length counts the prompt", "2 new tokens of 5", "is the prompt counted"),
        ("hugging_face/training.py", "clipped after the step", "as it is without clipping", "backward() and step()"),
        ("heads_loop/training.py", "gradients of all steps add up", "before is still in it", "at zero"),
        ("mingpt/training.py", "the sum of the losses' gradients", "exactly 2 times as much", "divided"),
        ("torch_scheduler/training.py", "get_lr times the optimizer's rate", "began with", "LambdaLR multiplies"),
        ("llms_from_scratch/schedule.py", "min_lr added to the whole cosine", "the peak and the minimum", "minus the"),
        ("nanogpt/schedule.py", "warmup counted in the fall", "0.3435", "How far along the fall"),
        ("mingpt/encoder.py", "causal is not given on", "position 0 does not", "passed on to each layer"),
        ("mingpt/gpt.py", "n_layer outside of the root", "which is 0.02 / √2 · n_layer", "under the root"),
        ("mingpt/attention.py", "triu; no scale", "the future is visible", "Which triangle"),
        ("hugging_face/positions.py", "the exponent doubled", "sines 0, 4, 8, … / C, of the cosines 2, 6",
         "the same angle"),
        ("torch_encoder_layer/transformer_layers_by_hand.py", "each layer reads the embeddings",
         "22,427 that there are", "not the embeddings"),
        ("arena/task05.py", "W_O summed over its own heads", "the sum of all heads", "its own part of W_O"),
        ("nanogpt/task09_rope.py", "turned before the transpose", "same angles at all positions", "or the heads"),
        ("ng_video_lecture/task09_rope.py", "keys not turned; exponents up to 2", "exponents 4i/D", "are turned"),
    ],
)  # fmt: skip
def test_a_planted_mistake_is_led_to(failing, file, name, got, asked):
    text = cases.planted(next(bug for bug in cases.mistakes([file]) if bug["name"] == name))
    result = failing(str(task_of(Path(file))), text)
    assert got in result.got and asked in result.hint, cases.said(result)


HIDDEN = ".triu(1), -torch.inf)"
CLIP = "torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)"


@pytest.mark.parametrize(
    ("file", "edits", "got", "asked"),
    [
        ("palm_alibi/transformer.py", {"softmax(-1)": "softmax(-2)"}, "a softmax over the queries", "Along which axis"),
        ("palm_alibi/transformer.py", {HIDDEN: ".triu(1), -2.0)"}, "as much as earlier ones", "What is a hidden score"),
        ("palm_alibi/transformer.py", {HIDDEN: ".tril(-1), -torch.inf)"}, "the future is visible", "Which triangle"),
        ("palm_alibi/transformer.py", {HIDDEN: ".triu(1), -1e9)", "softmax(-1)": "softmax(1)"}, "the heads",
         "Along which axis"),
        ("palm_alibi/transformer.py", {HIDDEN: ".triu(T), 0)", "softmax(-1)": "softmax(-1).tril()"},
         "set to 0 too late", "What is a hidden score"),
        ("llms_from_scratch/encoder.py", {"dim=-1, ": "dim=1, "}, "over the positions", "Over which axis"),
        ("llms_from_scratch/encoder.py", {"diagonal=1": "diagonal=0"}, "only at position 0", "At which diagonal"),
        ("llama/transformer.py", {"True) for _": "_ == 0) for _"}, "several do not", "Which of the blocks"),
        ("mingpt/encoder.py", {"att = att.masked": "if self.training: att = att.masked"}, "seen in evaluation mode",
         "self.training"),
        ("nanogpt/task05.py", {"_ in range(config.n_layer)": "_ in range(3)"}, "3 with n_layer = 1, too",
         "a fixed number"),
        ("llama/transformer.py", {"_ in range(n_layers)": "_ in range(3)"}, "3 with n_layer = 1, too",
         "a fixed number"),
        ("mingpt/task06.py", {"[Block(config) for _ in range(config.n_layer)]": "[Block(config)] * 3"}, "and blocks.2",
         "used several times"),
        ("llms_from_scratch/encoder.py", {"self.att(x)": "self.att(x.transpose(0, 1)).transpose(0, 1)"},
         "depends on the rows before it", "Which axis is for rows"),
        ("nanogpt/generate.py", {"top_k=None": "top_k=20"}, "only from the 20 likeliest", "Which default"),
        ("nanogpt/generate.py", {"range(max_new_tokens)": "range(max_new_tokens - 1)"}, "4 new tokens of 5", "stop"),
        ("arena/generate.py", {"range(max_new_tokens)": "range(max_new_tokens - tokens.shape[1])"}, "2 new", "counted"),
        ("mingpt/task02.py", {"probs = F.softmax(logits": "probs = F.softmax(F.softmax(logits, -1)"},
         "a softmax of a softmax", "treats them as logits"),
        ("hugging_face/training.py", {"clip_grad_norm_": "clip_grad_value_"}, "number by number", "by its norm"),
        ("hugging_face/training.py", {"range(total)": "range(2 * total)"}, "from 0 to max_iters", "each name"),
        ("nanogpt/training.py", {"range(gradient_accumulation_steps)": "range(9)"}, "more than 48 batches", "name"),
        ("hugging_face/training.py", {"detach()\n": f"detach()\n        {CLIP}\n"}, "after each batch", "clipped once"),
        ("mingpt/gpt.py", {"math.sqrt(2 * n_layer)": "math.sqrt(n_layer)"}, "0.02 / √n_layer", "under the root"),
        ("mingpt/gpt.py", {"0.02 / math.sqrt(2 * n_layer)": "0.02"}, "as other layers have", "Which layers'"),
        ("mingpt/gpt.py", {"mean=0.0, std=0.02)": "mean=0.0, std=0.02**0.5)"}, "√0.02", "variance"),
        ("mingpt/attention.py", {"torch.ones(T, T))": "torch.ones(T, T), 1)"}, "the next position",
         "At which diagonal"),
        ("mingpt/attention.py", {"torch.tril(torch.ones(T, T))": "torch.ones(T, T)"}, "as everywhere", "a triangle"),
        ("arena/task05.py", {"hed->bqd": "ed->bqd", "z, self.W_O": "z, self.W_O[0]"}, "the first head's part",
         "own part"),
        ("arena/multi_head_attention.py", {"bqnh,nhm": "bqnh,khm"}, "the sum of all heads", "its own part of W_O"),
        ("nanogpt/task09_rope.py", {"_size), theta": "_size) / 2, theta"}, "angles 0.5 times", "from one position"),
        ("nanogpt/task09_rope.py", {"10000.0": "500.0", "self.rotate(q), self.rotate(k)": "self.rotate(q), k"},
         "not keys, and with frequencies of base 500", "Which of q, k"),
        ("nanogpt/task09_rope.py", {"s[:T], self.sin[:T]": "s[:1], self.sin[:1]"}, "same angles", "or the heads"),
    ],
)  # fmt: skip
def test_its_neighbours_are_led_to(failing, file, edits, got, asked):
    text = edited((cases.RIGHT / file).read_text(encoding="utf-8"), edits.items(), file)
    result = failing(str(task_of(Path(file))), text)
    assert got in result.got and asked in result.hint, cases.said(result)


ALONE = """import torch
from torch.nn import functional as F


def masked_attention(q, k, v):
    T = q.size(-2)
    scores = q @ k.mT / q.size(-1) ** 0.5
    scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf"))
    return F.softmax(scores, dim=-1) @ v
"""


@pytest.mark.parametrize(
    ("edit", "stage", "said"),
    [
        (("x", "x"), "", ""),
        ((".triu(1)", ".triu(2)"), "causality", "the next position visible, too"),
        (("    scores = scores.masked_fill", "    scores.masked_fill"), "interface", "no such function among"),
    ],
)
def test_attention_may_make_its_own_mask_and_no_other_function_does(failing, edit, stage, said):
    result = failing("attention", ALONE.replace(*edit))
    assert ((result and result.stage) or "") == stage and said in (result.got if result else "")
