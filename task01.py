"""Task 1: one self-attention head.

Each character looks back at those before it, decides which of them matter, and averages what they give. Position
embeddings tell their order. Without attention a model knows only the current character, and its loss stays near 2.5.
Paper: Attention Is All You Need, section 3.2.1, https://arxiv.org/abs/1706.03762

Documented validation loss: 2.4114.
"""

from dataclasses import dataclass

from common.data import Corpus
from common.evaluate import estimate_losses
from common.options import parse_options, save_weights
from common.progress import log_losses, print_sample, training_steps
from common.run import run

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    """The documented run. In shape comments: B batch, T time, C = n_embd, D head size, V vocabulary."""

    batch_size: int = 32
    block_size: int = 8  # the longest T: how far back the model sees
    n_embd: int = 32
    head_size: int = 32
    learning_rate: float = 1e-3
    max_steps: int = 5000  # updates; the log calls them epochs, as the course does
    eval_interval: int = 500
    eval_batches: int = 200


def causal_mask(T):
    """(T, T), True where the query of a row may look at the key of a column: itself or the past."""
    return torch.ones(T, T, dtype=torch.bool).tril()


def attention(q, k, v, mask, scale):
    """Each query's average of the values (…, T, D), weighted by how well their keys (…, T, D) fit."""
    scores = q @ k.transpose(-2, -1) * scale  # (…, T, T)
    scores = torch.where(mask, scores, float("-inf"))
    weights = F.softmax(scores, dim=-1)  # (…, T, T), each row sums to 1
    return weights @ v  # (…, T, D)


class SelfAttention(nn.Module):
    """One head: every position asks (query), announces (key) and gives (value)."""

    def __init__(self, config):
        super().__init__()
        self.key = nn.Linear(config.n_embd, config.head_size, bias=False)
        self.query = nn.Linear(config.n_embd, config.head_size, bias=False)
        self.value = nn.Linear(config.n_embd, config.head_size, bias=False)
        self.scale = config.head_size**-0.5  # keeps the softmax soft
        self.register_buffer("mask", causal_mask(config.block_size), persistent=False)

    def forward(self, x):  # (B, T, C)
        T = x.shape[1]
        k, q, v = self.key(x), self.query(x), self.value(x)  # (B, T, D) each
        return attention(q, k, v, self.mask[:T, :T], self.scale)  # (B, T, D)


class GPT(nn.Module):
    """Tokens (B, T) → logits (B, T, V) of the token after each."""

    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.attention = SelfAttention(config)
        self.lm_head = nn.Linear(config.head_size, vocab_size)

    def forward(self, tokens):  # (B, T)
        positions = torch.arange(tokens.shape[1], device=tokens.device)  # (T)
        x = self.token_embedding(tokens) + self.position_embedding(positions)  # (B, T, C)
        x = self.attention(x)  # (B, T, D)
        return self.lm_head(x)  # (B, T, V)

    @torch.no_grad()
    def generate(self, tokens, max_new_tokens, temperature=1.0):
        """Append sampled tokens: (B, T) → (B, T + max_new_tokens)."""
        for _ in range(max_new_tokens):
            logits = self(tokens[:, -self.block_size :])[:, -1]  # (B, V)
            next_token = sample(logits, temperature)  # (B, 1)
            tokens = torch.cat([tokens, next_token], dim=1)  # (B, T + 1)
        return tokens


def sample(logits, temperature):
    """Draw a token from each row of logits: (B, V) → (B, 1). A low temperature prefers the likeliest."""
    probabilities = F.softmax(logits / temperature, dim=-1)  # (B, V)
    return torch.multinomial(probabilities, num_samples=1)  # (B, 1)


def main():
    options = parse_options(__doc__, Config)
    config = options.config
    torch.manual_seed(options.seed)
    corpus = Corpus(options.data, config.block_size, options.device)
    model = GPT(config, len(corpus.vocabulary)).to(options.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, fused=True)  # one fast kernel

    for step in training_steps(config.max_steps):
        if step % config.eval_interval == 0 or step == options.last_step:
            train_loss, val_loss = estimate_losses(model, corpus, config)
            log_losses(step, train_loss, val_loss)
        tokens, targets = corpus.batch("train", config.batch_size)  # (B, T) each
        logits = model(tokens)  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    save_weights(model, corpus, options)
    print_sample(model, corpus)
    return model


if __name__ == "__main__":
    model = run(main)
