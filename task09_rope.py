"""Task 9: rotary position embedding (RoPE).

Queries and keys are turned by an angle that grows with their position, so that their product depends on how far apart
they are. No position is added. The course asks for one newer change; variants/ has nine others (docs/variants.md).
Papers: RoFormer, https://arxiv.org/abs/2104.09864; used in LLaMA, https://arxiv.org/abs/2302.13971
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
    laptop = {"weight_decay": 0.3}  # of the preset laptop; task 7 has 0.1


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
    frequencies = 10_000.0 ** (-torch.arange(0, D, 2) / D)  # (D/2)
    return torch.arange(T)[:, None] * frequencies  # (T, D/2)


def rotate(x, angles):
    """Turn coordinates i and i + D/2 of each vector (…, T, D), as one point in a plane, by angles (T, D/2)."""
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)  # (T, D/2)
    first, second = x.chunk(2, dim=-1)  # (…, T, D/2) each
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)  # (…, T, D)


class SelfAttention(nn.Module):
    """Heads side by side: in each, every position asks (query), announces (key) and gives (value)."""

    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)  # rows: key, query, value of each head
        self.projection = nn.Linear(config.n_embd, config.n_embd)
        self.scale = config.n_embd**-0.5  # an error of the documented runs: the paper has head_size**-0.5
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("mask", causal_mask(config.block_size), persistent=False)
        angles = rotation_angles(config.block_size, config.n_embd // config.n_head)  # (T, D/2)
        self.register_buffer("angles", angles, persistent=False)

    def forward(self, x):  # (B, T, C)
        B, T, C = x.shape
        heads = self.qkv(x).view(B, T, self.n_head, -1).transpose(1, 2)  # (B, H, T, 3D)
        k, q, v = heads.chunk(3, dim=-1)  # (B, H, T, D) each
        k, q = rotate(k, self.angles[:T]), rotate(q, self.angles[:T])  # (B, H, T, D) each
        x = attention(q, k, v, self.mask[:T, :T], self.scale, self.dropout)  # (B, H, T, D)
        return self.dropout(self.projection(x.transpose(1, 2).reshape(B, T, C)))  # (B, T, C)


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
