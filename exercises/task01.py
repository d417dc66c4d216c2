"""Task 1: one self-attention head: yours to write.

Each position looks back at the positions before it. It asks a question (its query), each position
announces what it has (its key), and where the two fit, it takes over what that position gives (its
value). The result is an average of values, whose weights the text itself decides.

    x (B, T, C) ──┬─ query ─ q (B, T, D) ─┐
                  ├─ key ─── k (B, T, D) ─┴─ q kᵀ (B, T, T) ─ scale, mask, softmax ─┐
                  └─ value ─ v (B, T, D) ───────────────────────── weights v (B, T, D)

    attention(q, k, v) = softmax(mask(q kᵀ · scale)) v

What you cannot guess: The three linear layers have no bias. They are created in the order key,
query, value. The scale is head_size^-0.5. The mask puts -inf where the column is later than the
row.

Paper: Attention Is All You Need, https://arxiv.org/abs/1706.03762, section 3.2.1
Expect: a validation loss of 2.4114 at the end, after 11 seconds on one core
Check it: python -m check task01 FILE; hints: python -m check task01 --hint 1
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
    raise NotImplementedError("write causal_mask")


def attention(q, k, v, mask, scale):
    """Each query's average of the values (…, T, D), weighted by how well their keys (…, T, D) fit."""
    raise NotImplementedError("write attention")


class SelfAttention(nn.Module):
    """One head: every position asks (query), announces (key) and gives (value)."""

    def __init__(self, config):
        super().__init__()
        raise NotImplementedError("write SelfAttention.__init__")

    def forward(self, x):  # (B, T, C)
        raise NotImplementedError("write SelfAttention.forward")


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
