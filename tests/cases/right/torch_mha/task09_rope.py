"""Task 9: rotary positions, with the function of torch, since nn.MultiheadAttention has no place to turn queries and keys."""

from dataclasses import dataclass

from common.config import TrainingConfig
from common.data import Corpus
from common.evaluate import check_prompt, evaluation_mode
from common.options import parse_options
from common.progress import print_sample
from common.run import run
from common.train import train

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config(TrainingConfig):
    batch_size: int = 64
    block_size: int = 256
    n_embd: int = 384
    n_head: int = 6
    n_layer: int = 6
    dropout: float = 0.2
    paper_scale: bool = False
    learning_rate: float = 0.0003
    max_steps: int = 5000
    eval_interval: int = 500
    eval_batches: int = 200


def rotations(T, D, device):
    """(T, D/2) complex numbers of length 1."""
    theta = 10_000.0 ** (-2 * torch.arange(D // 2, device=device) / D)
    return torch.exp(1j * torch.arange(T, device=device)[:, None] * theta)


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.scale = (config.n_embd // config.n_head if config.paper_scale else config.n_embd) ** -0.5
        self.p = config.dropout
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.out_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        r = rotations(T, C // self.n_head, x.device)
        q, k = self.rotate(q, r), self.rotate(k, r)
        p = self.p if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True, scale=self.scale)
        return self.resid_dropout(self.out_proj(y.transpose(1, 2).reshape(B, T, C)))

    @staticmethod
    def rotate(x, r):
        first, second = x.chunk(2, dim=-1)
        turned = torch.complex(first.contiguous(), second.contiguous()) * r
        return torch.cat([turned.real, turned.imag], dim=-1)


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.n_embd)
        self.attention = SelfAttention(config)
        self.norm2 = nn.LayerNorm(config.n_embd)
        self.mlp = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd),
            nn.ReLU(),
            nn.Linear(4 * config.n_embd, config.n_embd),
            nn.Dropout(config.dropout),
        )

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.blocks = nn.Sequential(*[Block(config) for _ in range(config.n_layer)])
        self.final_norm = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, vocab_size)

    def forward(self, tokens):
        T = tokens.shape[1]
        x = self.token_embedding(tokens)
        x = self.final_norm(self.blocks(x))
        return self.lm_head(x)

    @torch.no_grad()
    def generate(self, tokens, max_new_tokens, temperature=1.0):
        """Append sampled tokens: (B, T) → (B, T + max_new_tokens)."""
        check_prompt(tokens)
        with evaluation_mode(self):
            for _ in range(max_new_tokens):
                logits = self(tokens[:, -self.block_size :])[:, -1]  # (B, V)
                next_token = sample(logits, temperature)  # (B, 1)
                tokens = torch.cat([tokens, next_token], dim=1)  # (B, T + 1)
        return tokens


def sample(logits, temperature):
    """Draw a token from each row of logits: (B, V) → (B, 1). A low temperature prefers the likeliest."""
    if not temperature > 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")
    logits = logits - logits.amax(dim=-1, keepdim=True)  # (B, V), at most 0: a tiny temperature overflows nothing
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


if __name__ == "__main__":
    run(main)
