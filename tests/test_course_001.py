"""001: eight exercises, from attention to a trained GPT that writes. One file, by the exercises' own words."""

from tests.courses import assert_names, assert_passes

import pytest

SOLUTION = """
import math

import torch
import torch.nn as nn
from torch.nn import functional as F


class MultiHeadCausalSelfAttention(nn.Module):
    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        self.n_head = n_head
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.proj = nn.Linear(hidden_size, hidden_size)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, x):
        N, T, D = x.size()
        Q, K, V = self.qkv(x).split(D, dim=2)
        Q = Q.view(N, T, self.n_head, D // self.n_head).transpose(1, 2)
        K = K.view(N, T, self.n_head, D // self.n_head).transpose(1, 2)
        V = V.view(N, T, self.n_head, D // self.n_head).transpose(1, 2)
        A = Q @ K.transpose(-2, -1) / math.sqrt(D // self.n_head)
        A = A.masked_fill(torch.tril(torch.ones(T, T)) == 0, float("-inf"))
        A = self.dropout1(F.softmax(A, dim=-1))
        Y = (A @ V).transpose(1, 2).contiguous().view(N, T, D)
        return self.dropout2(self.proj(Y))


class MLP(nn.Module):
    def __init__(self, hidden_size, dropout):
        super().__init__()
        self.fc1 = nn.Linear(hidden_size, 4 * hidden_size)
        self.fc2 = nn.Linear(4 * hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.dropout(self.fc2(F.gelu(self.fc1(x))))


class Block(nn.Module):
    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        self.ln1 = nn.LayerNorm(hidden_size)
        self.attn = MultiHeadCausalSelfAttention(hidden_size, n_head, dropout)
        self.ln2 = nn.LayerNorm(hidden_size)
        self.mlp = MLP(hidden_size, dropout)

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        x = x + self.mlp(self.ln2(x))
        return x


class GPT(nn.Module):
    def __init__(self, vocab_size, context_size, hidden_size, n_layer, n_head, dropout):
        super().__init__()
        self.context_size = context_size
        self.wte = nn.Embedding(vocab_size, hidden_size)
        self.wpe = nn.Embedding(context_size, hidden_size)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(hidden_size, n_head, dropout) for _ in range(n_layer)])
        self.ln = nn.LayerNorm(hidden_size)
        self.out = nn.Linear(hidden_size, vocab_size, bias=False)
        self.wte.weight = self.out.weight
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
            elif name.endswith("mlp.fc2.weight"):
                nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * n_layer))
            elif p.dim() >= 2:
                nn.init.normal_(p, mean=0.0, std=0.02)

    def forward(self, x, y):
        N, T = x.shape
        h = self.drop(self.wte(x) + self.wpe(torch.arange(T, device=x.device)))
        for block in self.blocks:
            h = block(h)
        logits = self.out(self.ln(h))
        loss = None
        if y is not None:
            loss = F.cross_entropy(logits.view(N * T, -1), y.reshape(N * T))
        return logits, loss

    def configure_optimizers(self, weight_decay, learning_rate, betas):
        decay = [p for p in self.parameters() if p.dim() >= 2]
        nodecay = [p for p in self.parameters() if p.dim() < 2]
        return torch.optim.AdamW(
            [{"params": decay, "weight_decay": weight_decay}, {"params": nodecay, "weight_decay": 0.0}],
            lr=learning_rate,
            betas=betas,
        )

    @torch.no_grad()
    def generate(self, x, max_new_tokens, temperature=1.0):
        training = self.training
        self.eval()
        for _ in range(max_new_tokens):
            logits, _ = self(x[:, -self.context_size:], None)
            probs = F.softmax(logits[:, -1, :] / temperature, dim=-1)
            x = torch.cat((x, torch.multinomial(probs, num_samples=1)), dim=1)
        self.train(training)
        return x


def get_lr(it, learning_rate, warmup_iters, lr_decay_iters, min_lr):
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    if it > lr_decay_iters:
        return min_lr
    ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
    return min_lr + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (learning_rate - min_lr)


def train(model, optimizer, get_batch, get_lr, estimate_loss, max_iters, eval_iters, log_interval, grad_clip,
          gradient_accumulation_steps, log, save):
    best_val_loss = 1e9
    model.train()
    for iter_num in range(max_iters):
        lr = get_lr(iter_num)
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr
        if iter_num % eval_iters == 0:
            model.eval()
            val_loss = estimate_loss(model)
            model.train()
            if val_loss < best_val_loss:
                best_val_loss = val_loss
                save(iter_num, val_loss)
        for micro_step in range(gradient_accumulation_steps):
            X, Y = get_batch()
            logits, loss = model(X, Y)
            loss = loss / gradient_accumulation_steps
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if iter_num % log_interval == 0:
            log(iter_num, loss.item() * gradient_accumulation_steps, lr)
"""
EXERCISES = ["multi_head_attention", "mlp", "block", "gpt", "optimizers", "schedule", "training", "generate"]

FAULTS = [
    ("multi_head_attention", ("dropout before the softmax", "self.dropout1(F.softmax(A, dim=-1))", "F.softmax(self.dropout1(A), dim=-1)", "steadiness")),
    ("multi_head_attention", ("heads recombined without a transpose", ".transpose(1, 2).contiguous().view(N, T, D)", ".contiguous().view(N, T, D)", "causality")),
    ("multi_head_attention", ("no output projection", "self.dropout2(self.proj(Y))", "self.dropout2(Y)", "logits")),
    ("multi_head_attention", ("scaled by the whole width", "math.sqrt(D // self.n_head)\n        A = A.m", "D\n        A = A.m", "logits")),
    ("mlp", ("ReLU, not GELU", "F.gelu", "F.relu", "logits")),
    ("mlp", ("dropout on the hiddens", "self.dropout(self.fc2(F.gelu(self.fc1(x))))", "self.fc2(self.dropout(F.gelu(self.fc1(x))))", "dropout")),
    ("mlp", ("as wide as its input", "4 * hidden_size", "hidden_size", "parameters")),
    ("block", ("norms after the sums", "x = x + self.attn(self.ln1(x))", "x = self.ln1(x + self.attn(x))", "logits")),
    ("block", ("no connection around the MLP", "x = x + self.mlp(self.ln2(x))", "x = self.mlp(self.ln2(x))", "logits")),
    ("gpt", ("weights not tied", "        self.wte.weight = self.out.weight\n", "", "parameters")),
    ("gpt", ("an output with bias", "vocab_size, bias=False)", "vocab_size)", "parameters")),
    ("gpt", ("no dropout on the embeddings", "h = self.drop(self.wte(x) + self.wpe(torch.arange(T, device=x.device)))", "h = self.wte(x) + self.wpe(torch.arange(T, device=x.device))", "dropout")),
    ("gpt", ("the MLPs' ends not smaller", "0.02 / math.sqrt(2 * n_layer)", "0.02", "initialization")),
    ("gpt", ("n_layer without its 2", "math.sqrt(2 * n_layer)", "math.sqrt(n_layer)", "initialization")),
    ("gpt", ("biases as PyTorch draws them", "nn.init.zeros_(p)", "pass", "initialization")),
    ("gpt", ("the targets moved once more", "F.cross_entropy(logits.view(N * T, -1), y.reshape(N * T))", "F.cross_entropy(logits[:, :-1].flatten(0, 1), y[:, 1:].flatten())", "loss")),
    ("gpt", ("the loss alone", "return logits, loss", "return loss", "shapes")),
    ("optimizers", ("decay for all", '"weight_decay": 0.0', '"weight_decay": weight_decay', "decay")),
    ("optimizers", ("betas forgotten", "betas=betas", "betas=(0.9, 0.999)", "settings")),
    ("schedule", ("the cosine upside down", "1.0 + math.cos", "1.0 - math.cos", "rise")),
    ("schedule", ("the minimum forgotten", "return min_lr + 0.5", "return 0.5", "rise")),
    ("training", ("clipped before it is whole", "            loss.backward()\n", "            loss.backward()\n            torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)\n", "clipping")),
    ("training", ("gradients never zeroed", "        optimizer.zero_grad(set_to_none=True)\n", "", "accumulation")),
    ("training", ("not divided by the number of batches", "loss = loss / gradient_accumulation_steps", "loss = loss / 1", "accumulation")),
    ("training", ("dropout off for good", "            model.train()\n            if val", "            if val", "mode")),
    ("generate", ("temperature multiplies", "/ temperature", "* temperature", "sampling")),
    ("generate", ("without a crop", "x[:, -self.context_size:]", "x", "context")),
]  # fmt: skip


@pytest.mark.parametrize("piece", EXERCISES)
def test_the_solution_that_the_faults_are_put_into_passes(tmp_path, piece):
    assert_passes(tmp_path, piece, SOLUTION)


@pytest.mark.parametrize(("piece", "fault"), FAULTS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_faults_are_named(tmp_path, piece, fault):
    assert_names(tmp_path, piece, SOLUTION, fault)
