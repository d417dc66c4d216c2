"""Task 7: dropout and scale, with nn.MultiheadAttention."""

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


class SelfAttention(nn.Module):
    """nn.MultiheadAttention divides by √head_size; a factor for the queries makes √n_embd of it."""

    def __init__(self, config):
        super().__init__()
        self.factor = 1.0 if config.paper_scale else config.n_head**-0.5
        self.mha = nn.MultiheadAttention(config.n_embd, config.n_head, dropout=config.dropout, bias=False, batch_first=True)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        T = x.shape[1]
        mask = torch.triu(torch.full((T, T), float("-inf"), device=x.device, dtype=x.dtype), diagonal=1)
        y, _ = self.mha(x * self.factor, x, x, attn_mask=mask, need_weights=False)
        return self.resid_dropout(y)


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
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.Sequential(*[Block(config) for _ in range(config.n_layer)])
        self.final_norm = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, vocab_size)

    def forward(self, tokens):
        T = tokens.shape[1]
        x = self.token_embedding(tokens)
        x = x + self.position_embedding(torch.arange(T, device=tokens.device))
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
