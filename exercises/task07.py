"""Task 7: dropout, bundled by the course with scale: yours to write.

A large model learns its text by heart. In training a random part of what it computes is set to
zero, so that no part can rely on another; evaluation hides nothing.

    scores (B, H, T, T) ─ softmax ─ dropout ─ weights v ─ … ─ projection (B, T, C) ─ dropout ─ +
    C → 4C ─ ReLU ─ 4C → C ─ dropout ─ +

    weights = dropout(softmax(…)); x ← x + dropout(projection(heads)); x ← x + dropout(MLP(x))

What you cannot guess: Three places: on the attention weights after the softmax, after the
projection, at the end of the MLP. None on the embeddings. The share is config.dropout. The scale is
n_embd^-0.5, or head_size^-0.5 where config.paper_scale is set. The sizes are a GPU's; on a laptop
they are the preset laptop's.

Paper: Dropout, https://jmlr.org/papers/v15/srivastava14a.html; Attention Is All You Need,
https://arxiv.org/abs/1706.03762, section 5.4
Expect: a validation loss near 1.47 with the preset laptop, after about 17 minutes
Check it: python -m check task07 FILE; hints: python -m check task07 --hint 1
"""

from dataclasses import dataclass

from common.config import TrainingConfig
from common.data import Corpus
from common.options import parse_options
from common.progress import print_sample
from common.run import run
from common.train import train

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config(TrainingConfig):  # block_size, learning_rate and what else training needs
    """The documented run. In shape comments: B batch, T time, C = n_embd, H heads, D head size, V vocabulary."""

    n_embd: int = 384
    n_head: int = 6  # divides n_embd
    n_layer: int = 6
    dropout: float = 0.2
    paper_scale: bool = False  # True: divide scores by √head_size, as the paper does


def causal_mask(T):
    """(T, T), True where the query of a row may look at the key of a column: itself or the past."""
    return torch.ones(T, T, dtype=torch.bool).tril()


def attention(q, k, v, mask, scale, dropout):
    """Each query's average of the values (…, T, D), weighted by how well their keys (…, T, D) fit."""
    raise NotImplementedError("write attention")


class SelfAttention(nn.Module):
    """Heads side by side: in each, every position asks (query), announces (key) and gives (value)."""

    def __init__(self, config):
        super().__init__()
        raise NotImplementedError("write SelfAttention.__init__")

    def forward(self, x):  # (B, T, C)
        raise NotImplementedError("write SelfAttention.forward")


class FeedForward(nn.Module):
    """Each position by itself: widen, ReLU, narrow (an MLP)."""

    def __init__(self, config):
        super().__init__()
        raise NotImplementedError("write FeedForward.__init__")

    def forward(self, x):  # (B, T, C)
        return self.layers(x)  # (B, T, C)


class Block(nn.Module):
    """Positions exchange information (attention), then each processes what it got (feed-forward)."""

    def __init__(self, config):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.n_embd)
        self.attention = SelfAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.n_embd)
        self.feed_forward = FeedForward(config)

    def forward(self, x):  # (B, T, C)
        x = x + self.attention(self.attention_norm(x))  # (B, T, C)
        return x + self.feed_forward(self.feed_forward_norm(x))  # (B, T, C)


class GPT(nn.Module):
    """Tokens (B, T) → logits (B, T, V) of the token after each."""

    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.n_layer)))
        self.final_norm = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, vocab_size)

    def forward(self, tokens):  # (B, T)
        positions = torch.arange(tokens.shape[1], device=tokens.device)  # (T)
        x = self.token_embedding(tokens) + self.position_embedding(positions)  # (B, T, C)
        x = self.blocks(x)  # (B, T, C)
        return self.lm_head(self.final_norm(x))  # (B, T, V)

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
    train(model, corpus, config, options)
    print_sample(model, corpus)
    return model


if __name__ == "__main__":
    model = run(main)
