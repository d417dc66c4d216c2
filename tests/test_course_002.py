"""002: the nine tasks. One solution in the style of the lecture that most people write it from, grown task by task."""

from tests.courses import assert_names, assert_passes

import pytest

TASKS = ["task01", "task02", "task03", "task04", "task05", "task06", "task07"]

HEAD = """
class Head(nn.Module):
    def __init__(self, n_embd, head_size, block_size, dropout):
        super().__init__()
        self.key = nn.Linear(n_embd, head_size, bias=False)
        self.query = nn.Linear(n_embd, head_size, bias=False)
        self.value = nn.Linear(n_embd, head_size, bias=False)
        self.register_buffer("tril", torch.tril(torch.ones(block_size, block_size)))
        self.dropout = nn.Dropout(dropout)
        self.factor = SCALE

    def forward(self, x):
        B, T, C = x.shape
        k = self.key(x)
        q = self.query(x)
        wei = q @ k.transpose(-2, -1) * self.factor
        wei = wei.masked_fill(self.tril[:T, :T] == 0, float("-inf"))
        wei = self.dropout(F.softmax(wei, dim=-1))
        return wei @ self.value(x)


class MultiHeadAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        size = config.n_embd // config.n_head
        self.heads = nn.ModuleList([Head(config.n_embd, size, config.block_size, DROPOUT) for _ in range(config.n_head)])
        PROJ

    def forward(self, x):
        out = torch.cat([h(x) for h in self.heads], dim=-1)
        return PROJECTED
"""


def solution(task):
    """The file for a task of 1 to 7."""
    number = int(task[-1])
    dropout = "config.dropout" if number == 7 else "0.0"
    one_head = "head_size: int = 32" if number == 1 else "n_head: int = 4"
    fields = ["block_size: int = 8", "n_embd: int = 32", one_head]
    fields += ["n_layer: int = 3"] if number >= 4 else []
    fields += ["dropout: float = 0.2"] if number == 7 else []
    head = HEAD.replace("SCALE", "head_size ** -0.5").replace("DROPOUT", dropout)
    head = head.replace("PROJ\n", "self.proj = nn.Linear(config.n_embd, config.n_embd)\n" if number >= 5 else "pass\n")
    projected = "F.dropout(self.proj(out), config_dropout(self), self.training)" if number == 7 else "self.proj(out)"
    head = head.replace("PROJECTED", projected if number >= 5 else "out")
    attention = "MultiHeadAttention(config)"
    if number == 1:
        attention = "Head(config.n_embd, config.head_size, config.block_size, 0.0)"
    mlp = "nn.Linear(config.n_embd, config.n_embd), nn.ReLU()"
    if number >= 5:
        mlp = "nn.Linear(config.n_embd, 4 * config.n_embd), nn.ReLU(), nn.Linear(4 * config.n_embd, config.n_embd)"
    if number == 7:
        mlp += ", nn.Dropout(config.dropout)"
    norms = number >= 6
    first = "self.sa(self.ln1(x))" if norms else "self.sa(x)"
    second = "self.ffwd(self.ln2(x))" if norms else "self.ffwd(x)"
    skip = "x + " if number >= 5 else ""
    block = f"""
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.sa = {attention}
        self.ffwd = nn.Sequential({mlp}) if {number >= 3} else nn.Identity()
        {"self.ln1, self.ln2 = nn.LayerNorm(config.n_embd), nn.LayerNorm(config.n_embd)" if norms else "pass"}

    def forward(self, x):
        x = {skip}{first}
        return {skip}{second}
"""
    layers = "config.n_layer" if number >= 4 else "1"
    width = "config.head_size" if number == 1 else "config.n_embd"
    return f"""
from dataclasses import dataclass

import torch
import torch.nn as nn
from torch.nn import functional as F


@dataclass
class Config:
    {chr(10).join("    " + field for field in fields).strip()}


def config_dropout(module):
    return module.heads[0].dropout.p

{head}
{block}

class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding_table = nn.Embedding(vocab_size, config.n_embd)
        self.position_embedding_table = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.Sequential(*[Block(config) for _ in range({layers})])
        self.ln_f = {"nn.LayerNorm(config.n_embd)" if norms else "nn.Identity()"}
        self.lm_head = nn.Linear({width}, vocab_size)

    def forward(self, idx, targets=None):
        B, T = idx.shape
        x = self.token_embedding_table(idx) + self.position_embedding_table(torch.arange(T, device=idx.device))
        logits = self.lm_head(self.ln_f(self.blocks(x)))
        loss = None if targets is None else F.cross_entropy(logits.view(B * T, -1), targets.view(B * T))
        return logits, loss

    @torch.no_grad()
    def generate(self, idx, max_new_tokens, temperature=1.0):
        was_training = self.training
        self.eval()
        for _ in range(max_new_tokens):
            logits, _ = self(idx[:, -self.block_size:])
            probs = F.softmax(logits[:, -1, :] / temperature, dim=-1)
            idx = torch.cat((idx, torch.multinomial(probs, num_samples=1)), dim=1)
        self.train(was_training)
        return idx
"""


FAULTS = [
    ("task01", ("the scale left out", " * self.factor", "", "logits")),
    ("task01", ("the mask of the whole block", "self.tril[:T, :T]", "self.tril", "shapes")),
    ("task01", ("no mask", "wei = wei.masked_fill(self.tril[:T, :T] == 0, float(\"-inf\"))", "pass", "causality")),
    ("task02", ("heads added, not side by side", "torch.cat([h(x) for h in self.heads], dim=-1)", "sum(h(x) for h in self.heads).repeat(1, 1, len(self.heads))", "logits")),
    ("task02", ("one head's module, several times", "[Head(config.n_embd, size, config.block_size, 0.0) for _ in range(config.n_head)]", "[Head(config.n_embd, size, config.block_size, 0.0)] * config.n_head", "parameters")),
    ("task02", ("a projection, which comes with task 5", "        pass\n", "        self.proj = nn.Linear(config.n_embd, config.n_embd)\n", "parameters")),
    ("task03", ("no ReLU", ", nn.ReLU()", "", "logits")),
    ("task04", ("one block, several times", "[Block(config) for _ in range(config.n_layer)]", "[Block(config)] * config.n_layer", "parameters")),
    ("task05", ("no skip around attention", "x = x + self.sa(x)", "x = self.sa(x)", "logits")),
    ("task05", ("the projection after the skip", "return x + self.ffwd(x)", "return self.ffwd(x)", "logits")),
    ("task06", ("norms after the sums", "x = x + self.sa(self.ln1(x))", "x = self.ln1(x + self.sa(x))", "logits")),
    ("task06", ("no last norm", "self.lm_head(self.ln_f(self.blocks(x)))", "self.lm_head(self.blocks(x))", "logits")),
    ("task07", ("no dropout on the weights", "self.dropout(F.softmax(wei, dim=-1))", "F.softmax(wei, dim=-1)", "dropout")),
    ("task07", ("writes in training mode", "        self.eval()\n", "", "generation")),
]  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_the_lectures_solution_passes(tmp_path, task):
    assert_passes(tmp_path, task, solution(task))


@pytest.mark.parametrize(("task", "fault"), FAULTS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_faults_are_named(tmp_path, task, fault):
    assert_names(tmp_path, task, solution(task), fault)
