"""Task 9: rotary position embedding (RoPE): yours to write.

Nothing is added to say where a token stands. Queries and keys are turned by an angle that grows
with their position. The product of a query and a key then depends on how far apart they are, and on
nothing else about where.

    angles (T, D/2) = positions (T, 1) · θ (D/2)
    q (B, H, T, D) ─ halves a, b (B, H, T, D/2) ─ a cos - b sin, a sin + b cos ─ join ─ (B, H, T, D)
    k the same; v as it is

    θᵢ = 10000^(-2i/D); coordinates i and i + D/2 of a vector at position t are turned by t · θᵢ

What you cannot guess: There is no position embedding. Heads are cut first, then queries and keys
are turned, then multiplied. All else is task 7's. To turn neighbours, coordinates 2i and 2i + 1, is
right, too.

Paper: RoFormer, https://arxiv.org/abs/2104.09864
Expect: a validation loss near 1.45 with the preset laptop, after about 18 minutes
Check it: python -m check task09_rope FILE; hints: python -m check task09_rope --hint 1
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
    scores = q @ k.transpose(-2, -1) * scale  # (…, T, T)
    scores = torch.where(mask, scores, float("-inf"))
    weights = dropout(F.softmax(scores, dim=-1))  # (…, T, T), each row sums to 1
    return weights @ v  # (…, T, D)


def rotation_angles(T, D):
    """(T, D/2): position times frequency, from 1 radian a step for the first pair to 1/10,000 for the last."""
    raise NotImplementedError("write rotation_angles")


def rotate(x, angles):
    """Turn coordinates i and i + D/2 of each vector (…, T, D), as one point in a plane, by angles (T, D/2)."""
    raise NotImplementedError("write rotate")


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
        self.layers = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd),  # (B, T, 4C)
            nn.ReLU(),
            nn.Linear(4 * config.n_embd, config.n_embd),  # (B, T, C)
            nn.Dropout(config.dropout),
        )

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
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.n_layer)))
        self.final_norm = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, vocab_size)

    def forward(self, tokens):  # (B, T)
        x = self.token_embedding(tokens)  # (B, T, C)
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
