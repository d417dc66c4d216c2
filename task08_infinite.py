"""Task 8: endless Shakespeare, by task 7's model and weights (weights/README.md) with a key-value cache.

The next character needs the keys and values of all characters before it, and those never change. With a cache, a
character costs the work of one position, not of a window. When the block is full, its last half is read again.
"""

from dataclasses import dataclass

from common.config import TrainingConfig
from common.run import run
from common.stream import encode, keep_likely, load_model, parse_options, write

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


def causal_mask(T):
    """(T, T), True where the query of a row may look at the key of a column: itself or the past."""
    return torch.ones(T, T, dtype=torch.bool).tril()


def attention(q, k, v, mask, scale, dropout):
    """Each query's average of the values (…, T, D), weighted by how well their keys (…, T, D) fit."""
    scores = q @ k.transpose(-2, -1) * scale  # (…, T, T)
    scores = torch.where(mask, scores, float("-inf"))
    weights = dropout(F.softmax(scores, dim=-1))  # (…, T, T), each row sums to 1
    return weights @ v  # (…, T, D)


class KVCache:
    """The keys and values of the positions that a block has read, with room for block_size of them."""

    def __init__(self, config):
        self.kv = torch.zeros(2, 1, config.n_head, config.block_size, config.n_embd // config.n_head)
        self.length = 0

    def update(self, k, v):
        """Append those of the next T positions, (1, H, T, D) each; return all so far, (1, H, length, D) each."""
        start, self.length = self.length, self.length + k.shape[2]
        self.kv[:, :, :, start : self.length] = torch.stack([k, v])
        return self.kv[:, :, :, : self.length]


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
        self.cache = KVCache(config)

    def forward(self, x):  # (B, T, C)
        B, T, C = x.shape
        heads = self.qkv(x).view(B, T, self.n_head, -1).transpose(1, 2)  # (B, H, T, 3D)
        k, q, v = heads.chunk(3, dim=-1)  # (B, H, T, D) each
        new = slice(self.cache.length, self.cache.length + T)  # the positions of x
        k, v = self.cache.update(k, v)  # (B, H, length, D) each
        x = attention(q, k, v, self.mask[new, : new.stop], self.scale, self.dropout)  # (B, H, T, D)
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
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.n_layer)))
        self.final_norm = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, vocab_size)

    def forward(self, tokens):  # (B, T)
        read = self.blocks[0].attention.cache.length  # positions before these
        positions = torch.arange(read, read + tokens.shape[1], device=tokens.device)  # (T)
        x = self.token_embedding(tokens) + self.position_embedding(positions)  # (B, T, C)
        x = self.blocks(x)  # (B, T, C)
        return self.lm_head(self.final_norm(x))  # (B, T, V)

    def restart(self):  # with empty caches
        for block in self.blocks:
            block.attention.cache.length = 0

    @torch.no_grad()
    def generate(self, tokens, temperature=1.0, top_k=0, top_p=1.0):
        """Yield one by one, without end, the tokens (1, 1) that follow a text (1, T)."""
        self.restart()
        tokens = unread = tokens[:, -self.block_size :]  # (1, T)
        while True:
            if tokens.shape[1] > self.block_size:  # the cache is full
                self.restart()
                tokens = unread = tokens[:, -self.block_size // 2 :]
            logits = keep_likely(self(unread)[:, -1], temperature, top_k, top_p)  # (B, V)
            next_token = unread = sample(logits, temperature)  # (B, 1)
            tokens = torch.cat([tokens, next_token], dim=1)  # (B, T + 1)
            yield next_token


def sample(logits, temperature):
    """Draw a token from each row of logits: (B, V) → (B, 1). A low temperature prefers the likeliest."""
    probabilities = F.softmax(logits / temperature, dim=-1)  # (B, V)
    return torch.multinomial(probabilities, num_samples=1)  # (B, 1)


def main():
    options = parse_options(__doc__)
    torch.manual_seed(options.seed)
    model, vocabulary = load_model(options.weights, GPT, Config)
    prompt = encode(options.prompt, vocabulary)  # (1, T)
    write(model.generate(prompt, **options.sampling), vocabulary, options)
    return model


if __name__ == "__main__":
    model = run(main)
