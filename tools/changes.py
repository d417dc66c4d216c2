"""The changes of task 9 in variants/: bugs that learners write, and right files in the habits of well-known code bases.

A right file is whole: LLAMA and NANO are task 9 in two ways to write it, and each change is an edit of both.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from exercises import build

HEAD = """import math
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from common.progress import print_sample
@dataclass
class Config:
    n_embd: int = 192
    n_head: int = 6
    n_layer: int = 6
    block_size: int = 256
    dropout: float = 0.2
    n_kv_heads: int = 2
    sliding_window: int = 64
def rotary(T, D):
    inv_freq = 1.0 / (10000 ** (torch.arange(0, D, 2).float() / D))
    emb = torch.outer(torch.arange(T).float(), inv_freq)
    emb = torch.cat((emb, emb), dim=-1)
    return emb.cos(), emb.sin()
def rotate_half(x):
    a, b = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return torch.cat((-b, a), dim=-1)
def apply_rotary(x):
    cos, sin = rotary(x.shape[-2], x.shape[-1])
    return x * cos + rotate_half(x) * sin
class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(dim))
    def forward(self, x):
        variance = x.pow(2).mean(-1, keepdim=True)
        return self.weight * (x * torch.rsqrt(variance + self.eps))


"""
TAIL = """
    @torch.no_grad()
    def generate(self, idx, max_new_tokens, temperature=1.0):
        for _ in range(max_new_tokens):
            logits = self(idx[:, -self.block_size :])[:, -1, :] / temperature
            idx = torch.cat((idx, torch.multinomial(F.softmax(logits, dim=-1), 1)), dim=1)
        return idx
def main():
    print_sample(model, corpus)
"""
LLAMA = f"""{HEAD}class Attention(nn.Module):
    def __init__(self, config, layer_idx):
        super().__init__()
        self.layer_idx, self.num_heads, self.head_dim = layer_idx, config.n_head, config.n_embd // config.n_head
        self.dropout = config.dropout
        self.q_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.k_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.v_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.o_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)
    def forward(self, hidden, mask, first):
        bsz, q_len, _ = hidden.size()
        q = self.q_proj(hidden).view(bsz, q_len, -1, self.head_dim).transpose(1, 2)
        k = self.k_proj(hidden).view(bsz, q_len, -1, self.head_dim).transpose(1, 2)
        v = self.v_proj(hidden).view(bsz, q_len, -1, self.head_dim).transpose(1, 2)
        q, k = apply_rotary(q), apply_rotary(k)
        scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(self.head_dim) + mask
        weights = F.dropout(F.softmax(scores, dim=-1), p=self.dropout, training=self.training)
        out = torch.matmul(weights, v).transpose(1, 2).contiguous().reshape(bsz, q_len, -1)
        return F.dropout(self.o_proj(out), p=self.dropout, training=self.training), v
class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.up_proj = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.down_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)
        self.dropout = nn.Dropout(config.dropout)
    def forward(self, x):
        return self.dropout(self.down_proj(F.relu(self.up_proj(x))))
class DecoderLayer(nn.Module):
    def __init__(self, config, layer_idx):
        super().__init__()
        self.self_attn = Attention(config, layer_idx)
        self.mlp = MLP(config)
        self.input_layernorm = nn.LayerNorm(config.n_embd)
        self.post_attention_layernorm = nn.LayerNorm(config.n_embd)
    def forward(self, x, mask, first):
        residual = x
        x, first = self.self_attn(self.input_layernorm(x), mask, first)
        x = residual + x
        return x + self.mlp(self.post_attention_layernorm(x)), first
class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.config, self.block_size = config, config.block_size
        self.embed_tokens = nn.Embedding(vocab_size, config.n_embd)
        self.layers = nn.ModuleList([DecoderLayer(config, i) for i in range(config.n_layer)])
        self.norm = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, vocab_size, bias=False)
    def forward(self, input_ids):
        T = input_ids.shape[1]
        mask = torch.full((T, T), float("-inf")).triu(diagonal=1)
        x, first = self.embed_tokens(input_ids), None
        for layer in self.layers:
            x, first = layer(x, mask, first)
        return self.lm_head(self.norm(x))
{TAIL}"""
NANO = f"""{HEAD}class CausalSelfAttention(nn.Module):
    def __init__(self, config, number):
        super().__init__()
        self.number = number
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_drop, self.resid_drop = nn.Dropout(config.dropout), nn.Dropout(config.dropout)
        self.n_head, self.n_embd, self.config = config.n_head, config.n_embd, config
        self.register_buffer("tril", torch.tril(torch.ones(config.block_size, config.block_size)))
    def forward(self, x, memory):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        q, k, v = (part.view(B, T, -1, C // self.n_head).transpose(1, 2) for part in (q, k, v))
        q, k = apply_rotary(q), apply_rotary(k)
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.tril[:T, :T] == 0, float("-inf"))
        y = self.attn_drop(F.softmax(att, dim=-1)) @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.resid_drop(self.c_proj(y))
class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.fc1 = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.fc2 = nn.Linear(4 * config.n_embd, config.n_embd)
        self.drop = nn.Dropout(config.dropout)
    def forward(self, x):
        return self.drop(self.fc2(F.relu(self.fc1(x))))
class Block(nn.Module):
    def __init__(self, config, number):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd)
        self.attn = CausalSelfAttention(config, number)
        self.ln_2 = nn.LayerNorm(config.n_embd)
        self.ff = FeedForward(config)
    def forward(self, x, memory):
        x = x + self.attn(self.ln_1(x), memory)
        return x + self.ff(self.ln_2(x))
class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.transformer = nn.ModuleDict(dict(
            wte=nn.Embedding(vocab_size, config.n_embd),
            h=nn.ModuleList([Block(config, i) for i in range(config.n_layer)]),
            ln_f=nn.LayerNorm(config.n_embd),
        ))
        self.lm_head = nn.Linear(config.n_embd, vocab_size, bias=False)
    def forward(self, idx):
        x, memory = self.transformer.wte(idx), {{}}
        for block in self.transformer.h:
            x = block(x, memory)
        return self.lm_head(self.transformer.ln_f(x))
{TAIL}"""


def edited(text: str, edits: Iterable[tuple], where: str) -> str:
    """A text after edits of old and new. All of an old are replaced; an old of two goes from the one up to the other."""
    for old, new in edits:
        if isinstance(old, tuple):
            start = text.index(old[0])
            old = text[start : text.index(old[1], start)]
        assert old in text, f"{where}: nothing to change: {old}"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Restyling:
    """A right file: an exercise's official code, or a base of its own, with edits."""

    task: str
    what: str
    changes: tuple
    base: str = ""

    def text(self) -> str:
        return edited(self.base or build.source(self.task), self.changes, f"{self.task}: {self.what}")


# fmt: off
Q_NORMS = ("        self.o_proj =", "        self.q_norm, self.k_norm = (RMSNorm(self.head_dim) for _ in range(2))\n        self.o_proj =")
REPEATED = "        k, v = (torch.repeat_interleave(x, self.num_heads // x.shape[1], dim=1) for x in (k, v))\n        scores ="
KV = (
    ("self.k_proj = nn.Linear(config.n_embd, config.n_embd", "self.k_proj = nn.Linear(config.n_embd, config.n_kv_heads * self.head_dim"),
    ("self.v_proj = nn.Linear(config.n_embd, config.n_embd", "self.v_proj = nn.Linear(config.n_embd, config.n_kv_heads * self.head_dim"),
)
KV_SPLIT = (
    ("3 * config.n_embd", "config.n_embd + 2 * config.n_kv_heads * (config.n_embd // config.n_head)"),
    ("        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)\n", "        kv = self.config.n_kv_heads * C // self.n_head\n        q, k, v = self.c_attn(x).split([C, kv, kv], dim=2)\n"),
)
GATE_UP = "nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)"
MIX = "        q, k = apply_rotary(q), apply_rotary(k)\n"
CONV = """class CausalConv(nn.Module):
    def __init__(self, dim, kernel=4):
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel, groups=dim, padding=kernel - 1, bias=False)

    def forward(self, x):
        return RESIDUALself.conv(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)


class """
NORMS = (
    ("self.attn(self.ln_1(x), memory)", "self.attn(self.conv_a(self.ln_1(x)), memory)"),
    ("self.ff(self.ln_2(x))", "self.ff(self.conv_b(self.ln_2(x)))"),
    ("        self.ff = ", "        self.conv_a, self.conv_b = CausalConv(config.n_embd), CausalConv(config.n_embd)\n        self.ff = "),
)
L_NORMS = (
    ("self.self_attn(self.input_layernorm(x),", "self.self_attn(self.canon_a(self.input_layernorm(x)),"),
    ("self.mlp(self.post_attention_layernorm(x))", "self.mlp(self.canon_c(self.post_attention_layernorm(x)))"),
    ("        self.mlp = ", "        self.canon_a, self.canon_c = (CausalConv(config.n_embd, 3) for _ in range(2))\n        self.mlp = "),
)
# fmt: on
SLOPES = "torch.tensor([2 ** (-8 * (h + 1) / self.n_head) for h in range(self.n_head)]).view(-1, 1, 1)"

FILES: dict[str, list[tuple]] = {  # what, the base, edits
    "rmsnorm": [
        ("Llama's names", LLAMA, ("nn.LayerNorm(", "RMSNorm(")),
        ("nanoGPT's names, biases", NANO, ("nn.LayerNorm(", "RMSNorm(")),
        ("torch's own", LLAMA, ("nn.LayerNorm(config.n_embd)", "nn.RMSNorm(config.n_embd, eps=1e-5)")),
        ("a gain of 1 + weight", LLAMA, ("nn.LayerNorm(", "RMSNorm("), ("torch.ones(dim)", "torch.zeros(dim)"), ("self.weight * ", "(1 + self.weight) * ")),
        ("the norm times the root of its width", NANO, ("nn.LayerNorm(", "RMSNorm("), ("self.weight * (x * torch.rsqrt(variance + self.eps))", "F.normalize(x, dim=-1) * x.shape[-1] ** 0.5 * self.weight")),
    ],
    "swiglu": [
        ("Llama's names", LLAMA, ("        self.up_proj", f"        self.gate_proj = {GATE_UP}\n        self.up_proj"), ("F.relu(self.up_proj(x))", "F.silu(self.gate_proj(x)) * self.up_proj(x)")),
        ("another width, in another order", LLAMA, ("        self.down_proj", f"        self.w3 = {GATE_UP}\n        self.down_proj"), ("4 * config.n_embd", "5 * config.n_embd // 2"), ("F.relu(self.up_proj(x))", "self.w3(x) * F.silu(self.up_proj(x))")),
        ("one layer for both, cut in halves", NANO, ("self.fc1 = nn.Linear(config.n_embd, 4 * config.n_embd)", "self.fc1 = nn.Linear(config.n_embd, 2 * 4 * config.n_embd, bias=False)"), ("self.fc2(F.relu(self.fc1(x)))", "self.fc2(torch.mul(*(lambda a, b: (F.silu(a), b))(*self.fc1(x).chunk(2, dim=-1))))")),
        ("fc1, fc2, fc3 with biases", NANO, ("        self.fc2 = nn", "        self.fc3 = nn.Linear(4 * config.n_embd, config.n_embd)\n        self.fc2 = nn"), ("self.fc2 = nn.Linear(4 * config.n_embd, config.n_embd)", "self.fc2 = nn.Linear(config.n_embd, 4 * config.n_embd)"), ("self.fc2(F.relu(self.fc1(x)))", "self.fc3(F.silu(self.fc1(x)) * self.fc2(x))")),
        ("ReLU²", NANO, ("F.relu(self.fc1(x))", "F.relu(self.fc1(x)).pow(2)")),
    ],
    "qk_norm": [
        ("Llama's names", LLAMA, Q_NORMS, (MIX, "        q, k = apply_rotary(self.q_norm(q)), apply_rotary(self.k_norm(k))\n")),
        ("before the transpose", LLAMA, Q_NORMS, ("self.q_proj(hidden).view(bsz, q_len, -1, self.head_dim)", "self.q_norm(self.q_proj(hidden).view(bsz, q_len, -1, self.head_dim))"), ("self.k_proj(hidden).view(bsz, q_len, -1, self.head_dim)", "self.k_norm(self.k_proj(hidden).view(bsz, q_len, -1, self.head_dim))")),
        ("without gains", NANO, (MIX, "        q, k = (F.rms_norm(apply_rotary(part), (part.size(-1),)) for part in (q, k))\n")),
        ("length 1 and a learnt factor", NANO, (MIX, MIX + "        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)\n"), ("(1.0 / math.sqrt(k.size(-1)))", "self.g"), ("        self.c_proj", "        self.g = nn.Parameter(torch.tensor(5.0))\n        self.c_proj")),
        ("LayerNorm", NANO, ("        self.c_proj", "        self.qn, self.kn = (nn.LayerNorm(config.n_embd // config.n_head) for _ in range(2))\n        self.c_proj"), (MIX, "        q, k = apply_rotary(self.qn(q)), apply_rotary(self.kn(k))\n")),
    ],
    "grouped_queries": [
        ("Llama's names", LLAMA, *KV, ("        scores =", REPEATED)),
        ("expand and reshape", LLAMA, *KV, ("        scores =", REPEATED.replace("torch.repeat_interleave(x, self.num_heads // x.shape[1], dim=1)", "x[:, :, None].expand(-1, -1, self.num_heads // x.shape[1], -1, -1).reshape(bsz, self.num_heads, q_len, -1)"))),
        ("nanoGPT's split", NANO, *KV_SPLIT, ("        att = (q", "        k, v = (x.repeat_interleave(self.n_head // x.size(1), dim=1) for x in (k, v))\n        att = (q")),
        ("queries in groups, no repetition", LLAMA, *KV, ("self.head_dim).transpose(1, 2)\n        k = ", "self.head_dim).transpose(1, 2)\n        k = "), ("torch.matmul(q, k.transpose(2, 3))", 'torch.einsum("bkgtd,bksd->bkgts", q.unflatten(1, (k.shape[1], -1)), k).flatten(1, 2)'), ("torch.matmul(weights, v)", 'torch.einsum("bkgts,bksd->bkgtd", weights.unflatten(1, (v.shape[1], -1)), v).flatten(1, 2)')),
        ("num_key_value_heads, repeated before they are turned", LLAMA, *KV, ("n_kv_heads", "num_key_value_heads"), (MIX, REPEATED.split("        scores")[0] + MIX)),
    ],
    "sliding_window": [
        ("a mask of -inf", LLAMA, (".triu(diagonal=1)\n", '.triu(diagonal=1)\n        mask = mask + torch.full((T, T), float("-inf")).tril(diagonal=-self.config.sliding_window)\n')),
        ("distances", NANO, ("        att = att.masked_fill(", '        far = (torch.arange(T)[:, None] - torch.arange(T)) >= self.config.sliding_window\n        att = att.masked_fill(far, float("-inf"))\n        att = att.masked_fill(')),
        ("window_size in the buffer", NANO, ("sliding_window", "window_size"), ("torch.tril(torch.ones(config.block_size, config.block_size))", "torch.ones(config.block_size, config.block_size).tril().triu(1 - config.window_size)")),
        ("row by row", NANO, ("        att = att.masked_fill(", '        for t in range(T):\n            att[..., t, : max(0, t - self.config.sliding_window + 1)] = float("-inf")\n        att = att.masked_fill(')),
        ("scaled_dot_product_attention", NANO, ("        att = att.masked_fill(", "        seen = (self.tril[:T, :T] == 1) & (self.tril[:T, :T].T.roll(0, 0).triu(1 - T) >= 0)\n        seen &= torch.ones(T, T).triu(1 - self.config.sliding_window) == 1\n        att = att.masked_fill("), ("self.tril[:T, :T] == 0", "~seen")),
    ],
    "gate": [
        ("Llama's names", LLAMA, ("        self.o_proj", "        self.gate_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)\n        self.o_proj"), ("self.o_proj(out)", "self.o_proj(out * torch.sigmoid(self.gate_proj(hidden)))")),
        ("with a bias, made last", NANO, ("        self.c_proj", "        self.c_gate = nn.Linear(config.n_embd, config.n_embd)\n        self.c_proj"), ("self.c_proj(y)", "self.c_proj(self.c_gate(x).sigmoid() * y)")),
        ("head by head", LLAMA, ("        self.o_proj", "        self.g = nn.Linear(config.n_embd, config.n_embd)\n        self.o_proj"), ("torch.matmul(weights, v).transpose", "(torch.matmul(weights, v) * F.sigmoid(self.g(hidden)).view(bsz, q_len, -1, self.head_dim).transpose(1, 2)).transpose")),
        ("closed by a positive number", NANO, ("        self.c_proj", "        self.c_gate = nn.Linear(config.n_embd, config.n_embd, bias=False)\n        self.c_proj"), ("self.c_proj(y)", "self.c_proj(y / (1 + torch.exp(-self.c_gate(x))))")),
        ("as a parameter", LLAMA, ("        self.o_proj", "        self.w_gate = nn.Parameter(0.02 * torch.randn(config.n_embd, config.n_embd))\n        self.o_proj"), ("self.o_proj(out)", "self.o_proj(out * (hidden @ self.w_gate).sigmoid())")),
    ],
    "value_residual": [
        ("halves", LLAMA, (MIX, MIX + "        v1 = v if first is None else first\n        v = 0.5 * v + 0.5 * v1\n"), ("training=self.training), v\n", "training=self.training), v1\n")),
        ("a learnt share", LLAMA, (MIX, MIX + "        v1 = v if first is None else first\n        v = (1 - self.lamb) * v + self.lamb * v1\n"), ("training=self.training), v\n", "training=self.training), v1\n"), ("        self.o_proj", "        self.lamb = nn.Parameter(torch.tensor(0.5))\n        self.o_proj")),
        ("two numbers, kept in a dict", NANO, (MIX, "        v1 = memory.setdefault('v', v)\n        v = self.lambdas[0] * v + self.lambdas[1] * v1 if self.number else v\n" + MIX), ("        self.c_proj", "        self.lambdas = nn.Parameter(torch.tensor([0.5, 0.5]))\n        self.c_proj")),
        ("added", NANO, (MIX, "        v = v + memory.setdefault('v', v) if self.number else memory.setdefault('v', v)\n" + MIX)),
        ("added times a number", NANO, (MIX, "        v = v + self.alpha * memory['v'] if self.number else memory.setdefault('v', v)\n" + MIX), ("        self.c_proj", "        self.alpha = nn.Parameter(torch.ones(1)) if number else 0.0\n        self.c_proj")),
    ],
    "convolutions": [
        ("nn.Conv1d, x added", NANO, ("class CausalSelfAttention", CONV.replace("RESIDUAL", "x + ") + "CausalSelfAttention"), *NORMS),
        ("nn.Conv1d alone", NANO, ("class CausalSelfAttention", CONV.replace("RESIDUAL", "") + "CausalSelfAttention"), *NORMS),
        ("Canon's names, three taps", LLAMA, ("class Attention", CONV.replace("RESIDUAL", "x + ") + "Attention"), *L_NORMS),
        ("on the embeddings, too", LLAMA, ("class Attention", CONV.replace("RESIDUAL", "x + ") + "Attention"), *L_NORMS, ("        self.norm =", "        self.conv_in = CausalConv(config.n_embd)\n        self.norm ="), ("self.embed_tokens(input_ids), None", "self.conv_in(self.embed_tokens(input_ids)), None")),
        ("padded by hand", NANO, ("class CausalSelfAttention", CONV.replace("RESIDUAL", "x + ").replace(", padding=kernel - 1", "") .replace("self.conv(x.transpose(1, 2))[..., : x.shape[1]]", "self.conv(F.pad(x.transpose(1, 2), (self.conv.kernel_size[0] - 1, 0)))") + "CausalSelfAttention"), *NORMS),
    ],
    "alibi": [
        ("a bias in the scores", NANO, (MIX, ""), ("        att = att.masked", f"        att = att - {SLOPES} * (torch.arange(T)[:, None] - torch.arange(T))\n        att = att.masked")),
        ("of the key's position alone", NANO, (MIX, ""), ("        att = att.masked", f"        att = att + {SLOPES} * torch.arange(T)\n        att = att.masked")),
        ("in the mask", LLAMA, (MIX, ""), (".triu(diagonal=1)\n", ".triu(diagonal=1)\n        slopes = 2.0 ** (-8.0 / self.config.n_head * torch.arange(1, 1 + self.config.n_head))\n" "        mask = mask + slopes[:, None, None] * -(torch.arange(T)[:, None] - torch.arange(T)).clamp(min=0)\n")),
        ("a ratio again and again", NANO, (MIX, ""), ("        att = att.masked", "        start = 2 ** (-8 / self.n_head)\n        m = torch.tensor([start * start**i for i in range(self.n_head)])\n" "        att = att + m.view(1, -1, 1, 1) * (torch.arange(T).view(1, -1) - torch.arange(T).view(-1, 1))\n        att = att.masked")),
        ("the first head looks furthest", NANO, (MIX, ""), ("        att = att.masked", f"        att = att - {SLOPES}.flip(0) * (torch.arange(T)[:, None] - torch.arange(T))\n        att = att.masked")),
    ],
}  # fmt: skip
RIGHTS = [Restyling(task, what, tuple(edits), base) for task, files in FILES.items() for what, base, *edits in files]
INTERLEAVED = "k, v = (part.repeat_interleave(self.counts[0] // self.counts[1], dim=1) for part in (k, v))"
BAND = "causal_mask(T).triu(1 - window)"
GATED = "y = y.transpose(1, 2).reshape(B, T, C) * self.gate(x).sigmoid()"
BUGS: dict[str, list[tuple[str, str, str, str]]] = {  # what, old, new, the stage that names it
    "rmsnorm": [
        ("the mean subtracted", "        return self.gain * x *", "        x = x - x.mean(dim=-1, keepdim=True)\n        return self.gain * x *", "logits"),
        ("a sum, not a mean", ".mean(dim=-1", ".sum(dim=-1", "logits"),
        ("no root", ".rsqrt()", ".reciprocal()", "logits"),
        ("the mean over the positions", "dim=-1", "dim=-2", "causality"),
        ("the last norm is LayerNorm", "        self.final_norm = RMSNorm(config.n_embd)\n", "", "parameters"),
        ("one norm for both branches", "block.feed_forward_norm = RMSNorm(config.n_embd)", "block.feed_forward_norm = block.attention_norm", "parameters"),
        ("the gain not used", "self.gain * x", "x", "logits"),
        ("the gain detached", "self.gain * x", "self.gain.detach() * x", "gradients"),
    ],
    "swiglu": [
        ("GELU", "F.silu(self.gate(x))", "F.gelu(self.gate(x))", "logits"),
        ("a sigmoid, not SiLU", "F.silu(self.gate(x))", "self.gate(x).sigmoid()", "logits"),
        ("no activation", "F.silu(self.gate(x))", "self.gate(x)", "logits"),
        ("a sum", "F.silu(self.gate(x)) * ", "F.silu(self.gate(x)) + ", "logits"),
        ("the gate twice", "* self.widen(x)", "* self.gate(x)", "logits"),
        ("no dropout", "self.dropout(self.narrow(F.silu(self.gate(x)) * self.widen(x)))", "self.narrow(F.silu(self.gate(x)) * self.widen(x))", "dropout"),
        ("one MLP for all blocks", "block.feed_forward = SwiGLU(config)", "block.feed_forward = self.blocks[0].feed_forward = SwiGLU(config) if block is self.blocks[0] else self.blocks[0].feed_forward", "parameters"),
        ("the gate detached", "F.silu(self.gate(x))", "F.silu(self.gate(x)).detach()", "gradients"),
    ],
    "qk_norm": [
        ("keys not normalized", "k, q = self.key_norm(k), ", "k, q = k, ", "logits"),
        ("queries not normalized", "self.query_norm(q)  #", "q  #", "logits"),
        ("one norm for both", "self.key_norm = RMSNorm(D)", "self.key_norm = self.query_norm", "parameters"),
        ("norms after the rotation", "        k, q = self.key_norm(k), self.query_norm(q)  # (B, H, T, D) each\n        k, q = rotate(k, self.angles[:T]), rotate(q, self.angles[:T])  # (B, H, T, D) each\n", "        k, q = rotate(k, self.angles[:T]), rotate(q, self.angles[:T])\n        k, q = self.key_norm(k), self.query_norm(q)\n", "logits"),
        ("no scale", "self.scale = D**-0.5", "self.scale = 1.0", "logits"),
        ("over the positions", "self.key_norm(k), self", "k * k.square().mean(2, True).rsqrt() * self.key_norm.gain, self", "causality"),
        ("a gain detached", "self.key_norm(k), self", "self.key_norm(k).detach(), self", "gradients"),
        ("no rotation", "rotate(k, self.angles[:T]), rotate(q, self.angles[:T])", "k, q", "logits"),
    ],
    "grouped_queries": [
        ("heads in turn", "repeat_interleave(self.counts[0] // self.counts[1], dim=1)", "repeat(1, self.counts[0] // self.counts[1], 1, 1)", "logits"),
        ("one head of keys and values for all", INTERLEAVED, "k, v = (part[:, :1].expand(-1, self.n_head, -1, -1) for part in (k, v))", "logits"),
        ("the mean of all heads", INTERLEAVED, "k, v = (part.mean(1, True).expand(-1, self.n_head, -1, -1) for part in (k, v))", "logits"),
        ("values in turn, keys in groups", INTERLEAVED, INTERLEAVED + "\n        v = heads[:, -self.counts[2] :].repeat(1, self.counts[0] // self.counts[1], 1, 1)", "logits"),
        ("keys not turned", "rotate(k, self.angles[:T]), ", "k, ", "logits"),
        ("as many heads as queries", "[config.n_head, config.n_kv_head, config.n_kv_head]", "[config.n_head] * 3", "logits"),
        ("heads split without a transpose", "view(B, T, sum(self.counts), -1).transpose(1, 2)", "view(B, sum(self.counts), T, -1)", "causality"),
        ("keys in place of values", "attention(q, k, v,", "attention(q, k, k,", "logits"),
    ],
    "sliding_window": [
        ("one too long", BAND, "causal_mask(T).triu(-window)", "logits"),
        ("one too short", BAND, "causal_mask(T).triu(2 - window)", "causality"),
        ("no window", BAND, "causal_mask(T)", "logits"),
        ("both directions", BAND, "causal_mask(T).new_ones(T, T).triu(1 - window).tril(window - 1)", "causality"),
        ("what is near hidden", BAND, "causal_mask(T).tril(-window)", "steadiness"),
        ("the first block alone", "in self.blocks:", "in self.blocks[:1]:", "logits"),
        ("transposed", BAND, f"{BAND}.T", "causality"),
        ("the first position visible to all", BAND, f"{BAND} | causal_mask(T).new_ones(T, T).triu().T.tril(0).logical_and(causal_mask(T).cumsum(1) == 1)", "logits"),
    ],
    "gate": [
        ("no sigmoid", ".sigmoid()", "", "logits"),
        ("a softmax", ".sigmoid()", ".view(B, T, self.n_head, -1).softmax(-1).flatten(2)", "logits"),
        ("added", " * self.gate(x).sigmoid()", " + self.gate(x).sigmoid()", "logits"),
        ("after the projection", f"{GATED}  # (B, T, C)\n        return self.dropout(self.projection(y))", "y = y.transpose(1, 2).reshape(B, T, C)\n        return self.dropout(self.projection(y) * self.gate(x).sigmoid())", "logits"),
        ("on the values", f"        y = attention(q, k, v, self.mask[:T, :T], self.scale, self.dropout)  # (B, H, T, D)\n        {GATED}", "        v = v * self.gate(x).sigmoid().view(B, T, self.n_head, -1).transpose(1, 2)\n        y = attention(q, k, v, self.mask[:T, :T], self.scale, self.dropout)\n        y = y.transpose(1, 2).reshape(B, T, C)", "logits"),
        ("not used", " * self.gate(x).sigmoid()", "", "logits"),
        ("it reads what attention gives", "self.gate(x).sigmoid()", "self.gate(y.transpose(1, 2).reshape(B, T, C)).sigmoid()", "logits"),
        ("detached", "self.gate(x).sigmoid()", "self.gate(x.detach()).sigmoid()", "gradients"),
    ],
    "value_residual": [
        ("the previous block's values", "        v = share * first + (1 - share) * v", "        v, first = share * first + (1 - share) * v, v", "logits"),
        ("not handed on", "heard, first = block", "heard, _ = block", "logits"),
        ("keys mixed, not values", "first = v if first is None else first\n        v = share * first + (1 - share) * v", "first = k if first is None else first\n        k = share * first + (1 - share) * k", "logits"),
        ("a difference", "share * first + (1", "share * first - (1", "logits"),
        ("the mixed values handed on", "        v = share * first + (1 - share) * v", "        v = first = share * first + (1 - share) * v", "logits"),
        ("the first block's values detached", "share * first", "share * first.detach()", "gradients"),
        ("the first block's values alone", "share * first + (1 - share) * v", "first + 0 * share", "logits"),
        ("no skip", "x = x + heard", "x = heard", "logits"),
    ],
    "convolutions": [
        ("later positions", "F.pad(x, (0, 0, back, 0))[:, :T]", "F.pad(x, (0, 0, 0, back))[:, back:]", "causality"),
        ("in a circle", "F.pad(x, (0, 0, back, 0))[:, :T]", "x.roll(back, 1)", "causality"),
        ("without the position itself", "return x + sum", "return sum", "logits"),
        ("from two positions back", "(0, 0, back, 0)", "(0, 0, back + 1, 0)", "logits"),
        ("the first position repeated", "F.pad(x, (0, 0, back, 0))[:, :T]", "torch.cat([x[:, :1].expand(-1, back, -1), x], 1)[:, :T]", "logits"),
        ("channels moved, not positions", "F.pad(x, (0, 0, back, 0))[:, :T]", "F.pad(x, (back, 0))[..., :-back]", "logits"),
        ("before the norm", "nn.Sequential(block.attention_norm, ShortConvolution(config.n_embd))", "nn.Sequential(ShortConvolution(config.n_embd), block.attention_norm)", "logits"),
        ("not used", "return x + sum", "return x + 0 * sum", "logits"),
    ],
    "alibi": [
        ("slopes from 1 on", "torch.arange(1, n_head + 1) / n_head", "torch.arange(n_head) / n_head", "logits"),
        ("halves for any number of heads", "-8 * torch.arange(1, n_head + 1) / n_head", "-torch.arange(1, n_head + 1)", "logits"),
        ("far scores raised", "-slopes[:", "slopes[:", "logits"),
        ("divided like the scores", "* scale + bias", "* scale + bias * scale", "logits"),
        ("no distances", "-slopes[:, None, None] * behind", "0 * slopes[:, None, None] * behind", "logits"),
        ("no mask", "torch.where(causal_mask(T), -slopes[:, None, None] * behind, float(\"-inf\"))", "-slopes[:, None, None] * behind.abs()", "causality"),
        ("the square of the distance", "* behind, float", "* behind**2, float", "logits"),
        ("the bias after the softmax", 'weights = dropout(F.softmax(scores, dim=-1))', 'weights = dropout(F.softmax(scores - bias.clamp(min=-1e9) * (bias > float("-inf")), dim=-1) * (1 + 0.1 * bias.clamp(min=-1)))', "logits"),
    ],
}  # fmt: skip
