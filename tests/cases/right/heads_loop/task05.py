"""Task 5: skips."""

import math
from dataclasses import dataclass

from common.data import Corpus
from common.evaluate import check_prompt, estimate_loss, evaluation_mode
from common.options import parse_options
from common.progress import log_losses, print_sample, training_steps
from common.run import run

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    batch_size: int = 32
    block_size: int = 8
    n_embd: int = 32
    n_head: int = 4
    n_layer: int = 3
    learning_rate: float = 0.001
    max_steps: int = 5000
    eval_interval: int = 500
    eval_batches: int = 200


def softmax(x):
    # subtract the biggest so that exp does not explode
    biggest = x.max(dim=-1, keepdim=True).values
    e = torch.exp(x - biggest)
    return e / e.sum(dim=-1, keepdim=True)


class Head(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.head_size = config.n_embd // config.n_head
        self.key = nn.Linear(config.n_embd, self.head_size, bias=False)
        self.query = nn.Linear(config.n_embd, self.head_size, bias=False)
        self.value = nn.Linear(config.n_embd, self.head_size, bias=False)

    def forward(self, x):
        T = x.shape[1]
        scores = self.query(x) @ self.key(x).transpose(1, 2)
        scores = scores / math.sqrt(self.head_size)
        future = torch.arange(T)[None, :] > torch.arange(T)[:, None]
        scores[:, future] = -1e9
        return softmax(scores) @ self.value(x)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = nn.ModuleList([Head(config) for i in range(config.n_head)])
        self.projection = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x):
        results = []
        for head in self.heads:
            results.append(head(x))
        return self.projection(torch.cat(results, dim=-1))


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wide = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.narrow = nn.Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x):
        x = self.wide(x)
        x = torch.maximum(x, torch.zeros_like(x))
        return self.narrow(x)


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.n_layer = config.n_layer
        self.mlps = nn.ModuleList([MLP(config) for i in range(config.n_layer)])
        self.attns = nn.ModuleList([Attention(config) for i in range(config.n_layer)])
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.last = nn.Linear(config.n_embd, vocab_size)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)

    def forward(self, tokens):
        x = self.token_embedding(tokens) + self.position_embedding(torch.arange(tokens.size(1)))
        for i in range(self.n_layer):
            x = x + self.attns[i](x)
            x = x + self.mlps[i](x)
        return self.last(x)

    def generate(self, tokens, max_new_tokens, temperature=1.0):
        was_training = self.training
        self.eval()
        with torch.no_grad():
            for i in range(max_new_tokens):
                last = tokens[:, -self.block_size:]
                logits = self(last)[:, -1, :]
                p = softmax(logits / temperature)
                new = torch.multinomial(p, 1)
                tokens = torch.cat([tokens, new], dim=1)
        if was_training:
            self.train()
        return tokens


def main():
    options = parse_options(__doc__, Config)
    config = options.config
    torch.manual_seed(options.seed)
    corpus = Corpus(options.data, config.block_size, options.device)
    model = GPT(config, len(corpus.vocabulary)).to(options.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, fused=True)

    for step in training_steps(config.max_steps):
        if step % config.eval_interval == 0:
            train_loss = estimate_loss(model, corpus, "train", config.eval_batches, config.batch_size)
            val_loss = estimate_loss(model, corpus, "val", config.eval_batches, config.batch_size)
            log_losses(step, train_loss, val_loss)
        tokens, targets = corpus.batch("train", config.batch_size)  # (B, T) each
        logits = model(tokens)  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    print_sample(model, corpus)


if __name__ == "__main__":
    run(main)
