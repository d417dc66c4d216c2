"""Which parameter is which: right code in any layout is read, other parts are named, the rest is undecided."""

import itertools
from collections import Counter
from types import SimpleNamespace

from check.judge import matching
from check.judge.learner_file import LearnerFile
from check.judge.reference import TASKS
from check.judge.result import Failure, Undecided
from check.judge.stages.behaviour import position
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

ONE_HOT = (
    ("nn.Embedding(vocab_size, config.n_embd)", "nn.Linear(vocab_size, config.n_embd, bias=False)"),
    ("self.token_embedding(tokens)", "self.token_embedding(F.one_hot(tokens, self.lm_head.out_features).float())"),
)

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
        ("task06", LAST_NORM_INSIDE),
        *(
            (task, ((POSITION, ""), (HEAD.format(width), HEAD.format(width) + POSITION)))
            for task, width in (("task01", "head_size"), ("task02", "n_embd"), ("task06", "n_embd"))
        ),
        ("task06", LIST_PER_KIND),
        ("task06", FLAT_SEQUENTIAL),
        ("task06", HEADS_OUTSIDE),
        *(
            ("task06", own_norm(*norm))
            for norm in (
                ("self.w, self.b = P(torch.ones(width)), P(torch.zeros(width))", "w", "b"),
                ("self.bias, self.gain = P(torch.zeros(width)), P(torch.ones(width))", "gain", "bias"),
                ("self.g, self.s = P(torch.ones(1, 1, width)), P(torch.zeros(1, 1, width))", "g", "s"),
            )
        ),
        ("task02", ONE_HOT),
        ("task06", ((LAYER, PROJECTION_IN_PIECES),)),
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
        T, made = x.shape[1], []
        for roles in ["QKV"] if "W_QKV" in NAMES else "QKV":
            (axes, w), (bias_axes, b) = self.part(f"W_{roles}"), self.part(f"b_{roles}")
            r = "r" * ("r" in axes)
            bias = torch.einsum(f"{bias_axes}->{r}hd", b).unsqueeze(-2).unsqueeze(-4) if bias_axes else 0
            made.append(torch.einsum(f"btc,{axes}->{r}bhtd", x, w) + bias)
        q, k, v = made if len(made) == 3 else made[0]
        y = attention(q, k, v, causal_mask(T), self.axes["d"] ** -0.5)
        letters, w = self.part("W_O")
        return torch.einsum(f"bhtd,{letters}->btc", y, w) + self.b_O"""

SEPARATE = {"h c d": "h d", "h d c": "", "c h d": "h d", "c d h": "", "d c h": "", "hd c": "hd"}  # weights: biases
SEPARATE |= {"c hd": "h d", "dh c": "dh", "c dh": "d h"}
FUSED = {"r h c d": "r h d", "r h d c": "", "h c r d": "", "c r h d": "r h d", "r c hd": "", "r hd c": "r hd"}
FUSED |= {"c rhd": "rhd", "rhd c": "", "hrd c": "hrd", "h c rd": "", "c hdr": "hdr"}


@pytest.mark.parametrize(
    ("roles", "weight", "bias", "out"),
    [
        *(("QKV", *axes, "h d c") for axes in SEPARATE.items()),
        *((["QKV"], *axes, "h d c") for axes in FUSED.items()),
        *(("QKV", "h c d", "", out) for out in ("c h d", "h c d", "hd c", "c hd", "dh c")),
    ],
)
def test_projection_parameters_may_have_any_axes(tmp_path, roles, weight, bias, out):
    names = {f"W_{role}": weight for role in roles} | {f"b_{role}": bias for role in roles if bias}
    names |= {"W_O": out, "b_O": "c"}
    changes = ((LAYER, EINSUM), ("import torch\n", f"import math\n\nimport torch\n\nNAMES = {names!r}\n"))
    assert matched(tmp_path, "task06", *changes) == "equal"


# Parts that the lesson does not have, or has and they are missing


MLP = "self.feed_forward(self.feed_forward_norm(x))"
NORM2 = "        self.feed_forward_norm = nn.LayerNorm(config.n_embd)\n"

SEPARATE_LAYERS = (  # with biases, which may be there
    (("        self.qkv = nn.Linear", "        self.scale"),
     "        self.q, self.k, self.v = (nn.Linear(config.n_embd, config.n_embd) for _ in range(3))\n"),
    (("        heads = self.qkv", "        x = attention"),
     "        k, q, v = (f(x).view(B, T, self.n_head, -1).transpose(1, 2) for f in (self.k, self.q, self.v))\n"),
)  # fmt: skip

RMS = (
    ("class Block(nn.Module)", "class RMSNorm(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n"
     "        self.weight = nn.Parameter(torch.ones(width))\n\n    def forward(self, x):\n"
     "        return self.weight * x / torch.sqrt((x**2).mean(-1, keepdim=True))\n\n\nclass Block(nn.Module)"),
    ("nn.LayerNorm", "RMSNorm"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("task", "changes", "said"),
    [
        ("task06", ((NORM2, ""), (MLP, MLP.replace("feed_forward_norm", "attention_norm"))),
         "144 fewer: one norm in each block, the lesson has two"),
        ("task06", ((NORM2, NORM2 + NORM2.replace("feed_forward", "third")), (MLP, f"self.third_norm({MLP})")),
         "three norms in each block, the lesson has two"),
        ("task06", ((LAST_NORM, f"        self.blocks = {BLOCKS}\n"), ("self.final_norm(x)", "x")),
         "48 fewer: no norms after the blocks, the lesson has one"),
        ("task05", ((f"self.blocks = {BLOCKS}\n", LAST_NORM[8:]), ("head(x)", "head(self.final_norm(x))")),
         "48 more: one norm after the blocks, the lesson has none"),
        ("task03", (*SEPARATE_LAYERS, ("nn.Linear(config.n_embd, config.n_embd), nn.ReLU",
                                       "nn.Linear(config.n_embd, config.n_embd, bias=False), nn.ReLU")), "logits: "),
        ("task06", RMS, "is RMSNorm, or LayerNorm without its bias; the lesson's LayerNorm has two"),
        ("task06", ((POSITION, ""), (EMBEDDED, "        x = self.token_embedding(tokens)\n")),
         "168 fewer: no position tables, the lesson has one"),
    ],
)  # fmt: skip
def test_a_missing_or_extra_part_is_named(tmp_path, task, changes, said):
    assert said in matched(tmp_path, task, *changes)


QUERY = "        self.query = nn.Linear(config.n_embd, config.head_size, bias=False)\n"


def test_parameters_that_cannot_be_told_apart_are_undecided(tmp_path):
    odd = "        self.odd = nn.Parameter(torch.zeros(3)) if config.n_embd == 32 else None\n"
    said = matched(tmp_path, "task01", (QUERY, odd + QUERY))
    assert said.startswith("undecided: the check cannot tell which parameter is which: at n_embd = 32 it has others")


HOOK = """

def official_weights(model):
    named = dict(model.named_parameters())
    return CHANGED


def main"""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("named", "equal"), ("named | {'lm_head.bias': 0 * model.lm_head.bias}", (1273, 1262)),
        ("named | {'attention.query.weight': 10**0.5 * model.attention.query.weight}", (1273, 1033)),
        ("{name: named[name] for name in list(named)[1:]}", (1009, 1009)),
        ("named | {'attention.key.weight': model.attention.query.weight}", (1033, 1033)),
    ],
)  # fmt: skip
def test_official_weights_may_only_arrange(tmp_path, changed, said):
    got = matched(tmp_path, "task01", ("\n\ndef main", HOOK.replace("CHANGED", changed)))
    assert got == said or got.startswith("parameters: {} numbers, among them {} of the model's".format(*said))


def test_official_weights_arranges_what_the_check_cannot_read(tmp_path):
    """The output's bias in two parts: undecided without the hook; with it even gradients are compared."""
    bias = "        self.shift = nn.ParameterList([torch.zeros(5), torch.zeros(vocab_size - 5)])\n"
    head = HEAD.format("head_size")
    changes = [(head, head.replace(")\n", ", bias=False)\n") + bias)]
    changes += [("return self.lm_head(x)", "return self.lm_head(x) + torch.cat([*self.shift])")]
    assert "shift.0" in matched(tmp_path, "task01", *changes)
    both = "named | {'lm_head.bias': torch.cat([named.pop('shift.0'), named.pop('shift.1')])}"
    hook = ("\n\ndef main", HOOK.replace("CHANGED", both))
    assert matched(tmp_path, "task01", *changes, hook) == "equal"
    frozen = ("torch.cat([*self.shift])", "torch.cat([self.shift[0].detach() + 0 * self.shift[0], self.shift[1]])")
    assert matched(tmp_path, "task01", *changes, frozen, hook).startswith("gradients: ")


# Positions that no table holds


def test_free_positions_may_be_rotary_but_are_there(tmp_path):
    without = ("+ self.positions[: tokens.shape[1]]", "")
    turned = (
        "    scores = q @",
        "    a = torch.arange(q.shape[-2])[:, None] / 10_000.0 ** torch.linspace(0, 1, q.shape[-1] // 2)\n"
        "    turn = lambda x, y: torch.cat([x * a.cos() - y * a.sin(), x * a.sin() + y * a.cos()], -1)\n"
        "    q, k = (turn(*x.chunk(2, dim=-1)) for x in (q, k))\n    scores = q @",
    )
    assert matched(tmp_path, "transformer", without, stages=[position]).startswith("position: the same")
    assert matched(tmp_path, "transformer", without, turned, stages=[position]) == "equal"


def test_values_for_a_moment_are_put_back():
    filled = []
    learner, model = object.__new__(LearnerFile), SimpleNamespace(number=0, values=["before"])
    learner.process = SimpleNamespace(ask=lambda question, model, values: filled.append(values))
    with pytest.raises(KeyError), learner.with_values(model, ["inside"]):
        assert model.values == ["inside"]
        raise KeyError
    assert filled == [["inside"], ["before"]] and model.values == ["before"]
