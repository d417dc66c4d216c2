"""Parts that a lesson does not have, or has and they are missing; and positions that no table holds."""

from types import SimpleNamespace

from check.judge.learner_file import LearnerFile
from check.judge.stages.behaviour import position
from tests.test_matching import BLOCKS, EMBEDDED, HEAD, LAST_NORM, MLP, POSITION, matched

import pytest

# Parts that the lesson does not have, or has and they are missing


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
        ("named", "equal"),
        ("named | {'lm_head.bias': 0 * model.lm_head.bias}",
         "parameters: 1273 numbers, among them 1262 of the model's"),
        ("named | {'attention.query.weight': 10**0.5 * model.attention.query.weight}",
         "parameters: 1273 numbers, among them 1033 of the model's"),
        ("{name: named[name] for name in list(named)[1:]}", "parameters: 1009 numbers, among them 1009 of the model's"),
        ("named | {'attention.key.weight': model.attention.query.weight}",
         "parameters: 1033 numbers, among them 1033 of the model's"),
    ],
)  # fmt: skip
def test_official_weights_may_only_arrange(tmp_path, changed, said):
    assert matched(tmp_path, "task01", ("\n\ndef main", HOOK.replace("CHANGED", changed))).startswith(said)


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
