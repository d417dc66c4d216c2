"""Task 7: dropout and scale, with nn.TransformerEncoderLayer."""

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


def make_layer(config):
    layer = nn.TransformerEncoderLayer(
        config.n_embd,
        config.n_head,
        dim_feedforward=4 * config.n_embd,
        dropout=config.dropout,  # of the weights, after the projection, after the MLP
        activation=F.relu,
        batch_first=True,
        norm_first=True,
    )
    layer.dropout = nn.Identity()  # PyTorch has a fourth one, inside of the MLP
    return layer


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.ModuleList([make_layer(config) for _ in range(config.n_layer)])
        self.final_norm = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, vocab_size)

    def forward(self, tokens):
        T = tokens.shape[1]
        x = self.token_embedding(tokens)
        x = x + self.position_embedding(torch.arange(T, device=tokens.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=tokens.device).triu(1)  # True: may not look
        for block in self.blocks:
            x = block(x, src_mask=mask)
        x = self.final_norm(x)
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
