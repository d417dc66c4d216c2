"""Task 3: a feed-forward layer, with the function of torch."""

from dataclasses import dataclass

from common.data import Corpus
from common.evaluate import check_prompt, estimate_loss, evaluation_mode
from common.options import parse_options
from common.progress import log_losses, print_sample, training_steps
from common.run import run

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    batch_size: int = 32
    block_size: int = 8
    n_embd: int = 32
    n_head: int = 4
    learning_rate: float = 0.001
    max_steps: int = 5000
    eval_interval: int = 500
    eval_batches: int = 200


class SelfAttention(nn.Module):
    """Parameters as in nn.MultiheadAttention, without its projection."""

    def __init__(self, config):
        super().__init__()
        self.num_heads = config.n_head
        self.in_proj_weight = nn.Parameter(torch.empty(3 * config.n_embd, config.n_embd))
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x, attn_mask):
        B, T, C = x.shape
        q, k, v = F.linear(x, self.in_proj_weight).chunk(3, dim=-1)
        q = q.reshape(B, T, self.num_heads, -1).transpose(1, 2)
        k = k.reshape(B, T, self.num_heads, -1).transpose(1, 2)
        v = v.reshape(B, T, self.num_heads, -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
        return y.transpose(1, 2).reshape(B, T, C)


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.attention = SelfAttention(config)
        self.feed_forward = nn.Sequential(nn.Linear(config.n_embd, config.n_embd), nn.ReLU())
        self.lm_head = nn.Linear(config.n_embd, vocab_size)

    def forward(self, tokens):
        T = tokens.shape[1]
        x = self.token_embedding(tokens)
        x = x + self.position_embedding(torch.arange(T, device=tokens.device))
        mask = nn.Transformer.generate_square_subsequent_mask(T, device=tokens.device)
        x = self.attention(x, mask)
        x = self.feed_forward(x)
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
