"""Task 4: blocks, with the function of torch."""

from dataclasses import dataclass

from common.data import Corpus
from common.evaluate import check_prompt, estimate_loss, evaluation_mode
from common.options import parse_options
from common.progress import log_losses, print_sample, training_steps
from common.run import run

import torch
from torch import nn
from torch.nn import functional as F


@dataclass
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


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.to_qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.linear = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x):
        # (B, T, 3C) → (B, T, H, 3, D) → three of (B, H, T, D)
        q, k, v = self.to_qkv(x).unflatten(-1, (self.n_head, 3, -1)).permute(3, 0, 2, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=x.size(-1) ** -0.5)
        x = x.transpose(1, 2).flatten(-2)
        return F.relu(self.linear(x), inplace=True)


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.lm_head = nn.Linear(config.n_embd, vocab_size)

    def forward(self, tokens):
        T = tokens.shape[1]
        x = self.token_embedding(tokens)
        x = x + self.position_embedding(torch.arange(T, device=tokens.device))
        for layer in self.layers:
            x = layer(x)
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
