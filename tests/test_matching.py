"""Which parameter is which: right code in any layout is read, other parts are named, the rest is undecided."""

import itertools
from collections import Counter

from check.judge import matching
from check.judge.learner_file import LearnerFile
from check.judge.reference import TASKS
from check.judge.result import Failure, Undecided
from check.judge.stages.learning import gradients
from check.judge.stages.logits import logits, sizes
from check.judge.stages.parameters import allowed_differences, parameters
from tools import in_process as local
from tools.restylings import LAYER, Restyling

import pytest


def matched(tmp_path, task, *changes, stages=(parameters, logits, sizes, gradients)):
    """What the stages that match parameters find in the official file after these changes."""
    path = tmp_path / f"my_{task}.py"
    path.write_text(Restyling(task, "", changes).text(), encoding="utf-8")
    with local.LocalProcess(path) as process:
        process.ask("load")
        learner = LearnerFile(task, path, process)
        try:
            for stage in stages:
                stage(learner)
        except Undecided as undecided:
            return f"undecided: {undecided}"
        except Failure as failure:
            return f"{stage.__name__}: {failure.got}"
    return "equal"


# Sizes


@pytest.mark.parametrize("task", [task for task in TASKS if task not in ("transformer", "encoder", "grouped_queries")])
@pytest.mark.parametrize("H", [1, 2, 4, 5])
def test_no_two_kinds_of_parameters_are_as_large_at_telling_sizes(task, H):
    if (H > 1) == TASKS[task].n_head:
        sizes = matching.telling(H, 3)
        numbers = {"vectors": 4 * sizes.C} | {name: count for count, name in matching.kinds(TASKS[task], sizes)}
        if H > 1:
            del numbers["table of heads"]  # as wide as the others
        assert max(Counter(numbers.values()).values()) == 1
        assert min(numbers, key=numbers.__getitem__) == "vectors" or H == 1


@pytest.mark.parametrize("task", ["task05", "task06", "task07", "task09_rope", "gpt"])
def test_a_missing_or_extra_part_is_no_count_of_biases(task):
    """But for a norm more in each block, which has as many numbers as two biases: norms are counted by themselves."""
    at = matching.telling(4, 3)
    norm, layers, table = 2 * at.C, at.C * at.C + at.C, at.V * at.C
    parts = {"norm": norm, "a norm in each block": 3 * norm, "layer": layers, "MLP": 8 * at.C**2 + 5 * at.C}
    parts |= {"table": table, "positions": at.T * at.C, "output bias": at.V, "MLP biases": 3 * 5 * at.C}
    found = {
        (what, sign)
        for (what, size), sign in itertools.product(parts.items(), (1, -1))
        if sign * size in allowed_differences(TASKS[task], at)
    }
    assert found <= {("a norm in each block", 1)}


# Right code


BLOCKS = "nn.Sequential(*(Block(config) for _ in range(config.n_layer)))"


LAST_NORM = f"        self.blocks = {BLOCKS}\n        self.final_norm = nn.LayerNorm(config.n_embd)\n"


POSITION = "        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)\n"


HEAD = "        self.lm_head = nn.Linear(config.{}, vocab_size)\n"


FORWARD = ("        x = self.blocks(x)", "        return self.lm_head")


LAST_NORM_INSIDE = (
    (LAST_NORM, f"        self.blocks = {BLOCKS.replace(')))', ')), nn.LayerNorm(config.n_embd))')}\n"),
    ("self.final_norm(x)", "x"),
)


LIST_PER_KIND = (
    (
        LAST_NORM,
        "        made = lambda make: nn.ModuleList([make() for _ in range(config.n_layer)])\n"
        "        self.ln1, self.ln2 = (made(lambda: nn.LayerNorm(config.n_embd)) for _ in range(2))\n"
        "        self.attns, self.mlps = made(lambda: SelfAttention(config)), made(lambda: FeedForward(config))\n"
        "        self.final_norm = nn.LayerNorm(config.n_embd)\n",
    ),
    (
        FORWARD,
        "        for ln1, attn, ln2, mlp in zip(self.ln1, self.attns, self.ln2, self.mlps):\n"
        "            x = x + attn(ln1(x))\n            x = x + mlp(ln2(x))\n",
    ),
)


FLAT_SEQUENTIAL = (
    (
        ("class GPT", '    """Tokens'),
        "class Add(nn.Module):\n    def __init__(self, fn, width):\n        super().__init__()\n"
        "        self.fn = nn.Sequential(nn.LayerNorm(width), fn)\n\n"
        "    def forward(self, x):\n        return x + self.fn(x)\n\n\nclass GPT(nn.Module):\n",
    ),
    (
        BLOCKS,
        "nn.Sequential(*(Add(part(config), config.n_embd) "
        "for _ in range(config.n_layer) for part in (SelfAttention, FeedForward)))",
    ),
)


OWN_NORM = """P = nn.Parameter


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        PARAMETERS

    def forward(self, x):
        x = x - x.mean(-1, keepdim=True)
        return GAIN * x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-5) + BIAS


class Block(nn.Module)"""


def own_norm(parameters, gain, bias):
    text = OWN_NORM.replace("PARAMETERS", parameters).replace("GAIN", f"self.{gain}").replace("BIAS", f"self.{bias}")
    return (("class Block(nn.Module)", text), ("nn.LayerNorm", "Norm"))


EMBEDDED = ("        positions = torch.arange", "        x = self.blocks")  # of forward


RAW_TABLES = (
    ("        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)\n", ""),
    (POSITION, "        self.W_E = nn.Parameter(torch.randn(vocab_size, config.n_embd))\n"
               "        self.W_pos = nn.Parameter(torch.randn(1, config.block_size, config.n_embd))\n"),
    (HEAD.format("n_embd"), "        self.W_U = nn.Parameter(torch.randn(config.n_embd, vocab_size) / 6)\n"
                            "        self.b_U = nn.Parameter(torch.zeros(vocab_size))\n"),
    (EMBEDDED, "        x = self.W_E[tokens] + self.W_pos[:, : tokens.shape[1]]\n"),
    ("self.lm_head(self.final_norm(x))", "self.final_norm(x) @ self.W_U + self.b_U"),
)  # fmt: skip


ONE_HOT = (
    ("nn.Embedding(vocab_size, config.n_embd)", "nn.Linear(vocab_size, config.n_embd, bias=False)"),
    ("self.token_embedding(tokens)", "self.token_embedding(F.one_hot(tokens, self.lm_head.out_features).float())"),
)


CONV1D = (
    ("class SelfAttention", "class Conv1D(nn.Module):\n    def __init__(self, before, after, bias=True):\n"
     "        super().__init__()\n        self.weight = nn.Parameter(torch.randn(before, after) / 9)\n"
     "        self.bias = nn.Parameter(torch.zeros(after)) if bias else None\n\n    def forward(self, x):\n"
     "        return x @ self.weight + (0 if self.bias is None else self.bias)\n\n\nclass SelfAttention"),
    ("self.qkv = nn.Linear", "self.qkv = Conv1D"),
    ("self.projection = nn.Linear", "self.projection = Conv1D"),
    ("            nn.Linear", "            Conv1D"),
)  # fmt: skip


PARAMETER_LISTS = """class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        C = config.n_embd
        self.w = nn.ParameterList([torch.randn(C, 4 * C) / 6, torch.randn(4 * C, C) / 9])
        self.b = nn.ParameterList([torch.zeros(4 * C), torch.zeros(C)])

    def forward(self, x):
        return torch.relu(x @ self.w[0] + self.b[0]) @ self.w[1] + self.b[1]"""


HEADS = """class Head(nn.Module):
    def __init__(self, C, D):
        super().__init__()
        self.key, self.query, self.value = (nn.Linear(C, D, bias=False) for _ in range(3))

    def forward(self, x):
        scores = self.query(x) @ self.key(x).mT / self.key.out_features**0.5
        hidden = torch.ones_like(scores, dtype=torch.bool).triu(1)
        return scores.masked_fill(hidden, float("-inf")).softmax(-1) @ self.value(x)


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        C, H = config.n_embd, config.n_head
        self.heads = nn.ModuleList([Head(C, C // H) for _ in range(H)])
        self.projection = nn.Linear(C, C)

    def forward(self, x):
        return self.projection(torch.cat([head(x) for head in self.heads], dim=-1))"""


PROJECTION_IN_PIECES = HEADS.replace(
    "        self.projection = nn.Linear(C, C)\n",
    "        self.parts = nn.ModuleList([nn.Linear(C // H, C, bias=False) for _ in range(H)])\n"
    "        self.bias = nn.Parameter(torch.zeros(C))\n",
).replace(
    "self.projection(torch.cat([head(x) for head in self.heads], dim=-1))",
    "self.bias + sum(part(head(x)) for head, part in zip(self.heads, self.parts))",
)


HEADS_OUTSIDE = (
    (LAYER, HEADS.replace("self.heads = nn.ModuleList([Head(C, C // H) for _ in range(H)])", "pass")
     .replace("(self, x):\n        return self.proj", "(self, x, heads):\n        return self.proj")
     .replace("in self.heads]", "in heads]")),
    ("    def forward(self, x):  # (B, T, C)\n        x = x + self.attention(self.attention_norm(x))",
     "    def forward(self, x, heads):\n        x = x + self.attention(self.attention_norm(x), heads)"),
    (LAST_NORM, LAST_NORM + "        C, H = config.n_embd, config.n_head\n        self.n_head = H\n"
     "        self.heads = nn.ModuleList([Head(C, C // H) for _ in range(H * config.n_layer)])\n"),
    ("        x = self.blocks(x)", "        for i, block in enumerate(self.blocks):\n"
     "            x = block(x, self.heads[i * self.n_head : (i + 1) * self.n_head])"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        *((task, LAST_NORM_INSIDE) for task in ("task06", "task07", "task09_rope")),
        *(
            (task, ((POSITION, ""), (head, head + POSITION)))
            for task, head in (
                ("task01", HEAD.format("head_size")),
                *((task, HEAD.format("n_embd")) for task in ("task02", "task04", "task06", "task07")),
            )
        ),
        ("task06", LIST_PER_KIND),
        ("task06", FLAT_SEQUENTIAL),
        ("task06", ((LAYER, HEADS),)),
        ("task06", HEADS_OUTSIDE),
        *(
            ("task06", own_norm(*norm))
            for norm in (
                ("self.w, self.b = P(torch.ones(width)), P(torch.zeros(width))", "w", "b"),
                ("self.bias, self.gain = P(torch.zeros(width)), P(torch.ones(width))", "gain", "bias"),
                ("self.g, self.s = P(torch.ones(1, 1, width)), P(torch.zeros(1, 1, width))", "g", "s"),
            )
        ),
        ("task06", RAW_TABLES),
        ("task02", ONE_HOT),
        ("task06", ((LAYER, PROJECTION_IN_PIECES),)),
        ("task06", CONV1D),
        ("task06", ((("class FeedForward", "\n\n\nclass"), PARAMETER_LISTS),)),
    ],
)  # fmt: skip
def test_right_parameters_are_read_wherever_they_are(tmp_path, task, changes):
    assert matched(tmp_path, task, *changes) == "equal"


EINSUM = """class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.axes = {"h": config.n_head, "d": config.n_embd // config.n_head, "c": config.n_embd, "r": 3}
        for name, letters in NAMES.items():
            shape = [math.prod(self.axes[axis] for axis in dimension) for dimension in letters.split()]
            setattr(self, name, nn.Parameter(torch.randn(shape) / 6))

    def part(self, name):
        letters = NAMES.get(name, "").replace(" ", "")
        return letters, getattr(self, name).view([self.axes[axis] for axis in letters]) if letters else 0.0

    def forward(self, x):
        T = x.shape[1]
        if "W_QKV" in NAMES:
            w, b = self.part("W_QKV"), self.part("b_QKV")
            made = torch.einsum(f"btc,{w[0]}->rbhtd", x, w[1])
            q, k, v = made + (torch.einsum(f"{b[0]}->rhd", b[1])[:, None, :, None] if b[0] else 0)
        else:
            made = []
            for role in "QKV":
                w, b = self.part(f"W_{role}"), self.part(f"b_{role}")
                made.append(torch.einsum(f"btc,{w[0]}->bhtd", x, w[1]))
                made[-1] = made[-1] + (torch.einsum(f"{b[0]}->hd", b[1])[:, None] if b[0] else 0)
            q, k, v = made
        y = attention(q, k, v, causal_mask(T), self.axes["d"] ** -0.5)
        letters, w = self.part("W_O")
        return torch.einsum(f"bhtd,{letters}->btc", y, w) + self.b_O"""


SEPARATE = ("h c d", "h d c", "c h d", "c d h", "d c h", "hd c", "c hd", "dh c", "c dh")


FUSED = ("r h c d", "r h d c", "h c r d", "c r h d", "r c hd", "r hd c", "c rhd", "rhd c", "hrd c", "h c rd", "c hdr")


@pytest.mark.parametrize(
    ("matrix", "bias", "out"),
    [
        *(
            ({f"W_{role}": letters for role in "QKV"}, {f"b_{role}": bias for role in "QKV"} if bias else {}, "h d c")
            for letters, bias in zip(SEPARATE, ["h d", "", "h d", "", "", "hd", "h d", "dh", "d h"], strict=True)
        ),
        *(
            ({"W_QKV": letters}, {"b_QKV": bias} if bias else {}, "h d c")
            for letters, bias in zip(
                FUSED, ["r h d", "", "", "r h d", "", "r hd", "rhd", "", "hrd", "", "hdr"], strict=True
            )
        ),
        *(({f"W_{role}": "h c d" for role in "QKV"}, {}, out) for out in ("c h d", "h c d", "hd c", "c hd", "dh c")),
    ],
)
def test_projection_parameters_may_have_any_axes(tmp_path, matrix, bias, out):
    names = matrix | {"W_O": out} | bias | {"b_O": "c"}
    changes = ((LAYER, EINSUM), ("import torch\n", f"import math\n\nimport torch\n\nNAMES = {names!r}\n"))
    assert matched(tmp_path, "task06", *changes) == "equal"


# Parts that the lesson does not have, or has and they are missing


MLP = "self.feed_forward(self.feed_forward_norm(x))"
