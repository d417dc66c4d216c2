"""Task 4: blocks."""

from dataclasses import dataclass

from common.data import Corpus
from common.evaluate import check_prompt, estimate_loss, evaluation_mode
from common.options import parse_options
from common.progress import log_losses, print_sample, training_steps
from common.run import run

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
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


class Embed(nn.Module):
    def __init__(self, cfg: Config, d_vocab: int):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty((d_vocab, cfg.n_embd)))
        nn.init.normal_(self.W_E, std=1.0)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.W_E[tokens]


class PosEmbed(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty((cfg.block_size, cfg.n_embd)))
        nn.init.normal_(self.W_pos, std=1.0)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, seq_len = tokens.shape
        return self.W_pos[:seq_len].expand(batch, -1, -1)  # batch seq d_model


class Attention(nn.Module):
    IGNORE: Tensor

    def __init__(self, cfg: Config):
        super().__init__()
        self.cfg = cfg
        n_heads, d_head = cfg.n_head, cfg.n_embd // cfg.n_head
        self.d_head = d_head
        self.W_Q = nn.Parameter(torch.empty((n_heads, cfg.n_embd, d_head)))
        self.W_K = nn.Parameter(torch.empty((n_heads, cfg.n_embd, d_head)))
        self.W_V = nn.Parameter(torch.empty((n_heads, cfg.n_embd, d_head)))
        self.b_Q = nn.Parameter(torch.zeros((n_heads, d_head)))
        self.b_K = nn.Parameter(torch.zeros((n_heads, d_head)))
        self.b_V = nn.Parameter(torch.zeros((n_heads, d_head)))
        nn.init.normal_(self.W_Q, std=cfg.n_embd**-0.5)
        nn.init.normal_(self.W_K, std=cfg.n_embd**-0.5)
        nn.init.normal_(self.W_V, std=cfg.n_embd**-0.5)
        self.register_buffer("IGNORE", torch.tensor(float("-inf"), dtype=torch.float32))

    def forward(self, normalized_resid_pre: Tensor) -> Tensor:
        # Calculate query, key and value vectors
        q = torch.einsum("bpd,hde->bphe", normalized_resid_pre, self.W_Q) + self.b_Q
        k = torch.einsum("bpd,hde->bphe", normalized_resid_pre, self.W_K) + self.b_K
        v = torch.einsum("bpd,hde->bphe", normalized_resid_pre, self.W_V) + self.b_V

        # Calculate attention scores, then scale and mask, and apply softmax to get probabilities
        q = q / self.cfg.n_embd**0.5
        attn_scores = torch.einsum("bqhe,bkhe->bhqk", q, k)
        attn_pattern = self.apply_causal_mask(attn_scores).softmax(-1)  # batch n_heads posn_Q posn_K

        # Take weighted sum of value vectors, according to attention probabilities
        z = torch.einsum("bhqk,bkhe->bqhe", attn_pattern, v)

        # Put the heads side by side again
        return z.flatten(2)  # batch posn_Q (n_heads d_head)

    def apply_causal_mask(self, attn_scores: Tensor) -> Tensor:
        """Applies a causal mask to attention scores, and returns masked scores."""
        mask = torch.triu(torch.ones(attn_scores.size(-2), attn_scores.size(-1), device=attn_scores.device), diagonal=1).bool()
        attn_scores.masked_fill_(mask, self.IGNORE)
        return attn_scores


class MLP(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        self.W = nn.Parameter(torch.empty((cfg.n_embd, cfg.n_embd)))
        self.b = nn.Parameter(torch.zeros((cfg.n_embd)))
        nn.init.normal_(self.W, std=(2 / cfg.n_embd) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(torch.einsum("bpd,de->bpe", x, self.W) + self.b)


class TransformerBlock(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        self.attn = Attention(cfg)
        self.mlp = MLP(cfg)

    def forward(self, resid_pre: Tensor) -> Tensor:
        return self.mlp(self.attn(resid_pre))


class Unembed(nn.Module):
    def __init__(self, cfg: Config, d_vocab: int):
        super().__init__()
        self.W_U = nn.Parameter(torch.empty((cfg.n_embd, d_vocab)))
        self.b_U = nn.Parameter(torch.zeros((d_vocab)))
        nn.init.normal_(self.W_U, std=cfg.n_embd**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bpd,dv->bpv", x, self.W_U) + self.b_U


class GPT(nn.Module):
    def __init__(self, cfg: Config, vocab_size: int):
        super().__init__()
        self.cfg = cfg
        self.embed = Embed(cfg, vocab_size)
        self.pos_embed = PosEmbed(cfg)
        self.blocks = nn.ModuleList([TransformerBlock(cfg) for _ in range(cfg.n_layer)])
        self.unembed = Unembed(cfg, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        residual = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            residual = block(residual)
        logits = self.unembed(residual)
        return logits

    @torch.inference_mode()
    def generate(self, input_ids: Tensor, max_new_tokens: int, temperature: float = 1.0) -> Tensor:
        was_training = self.training
        self.eval()
        for _ in range(max_new_tokens):
            logits = self(input_ids[:, -self.cfg.block_size :])[:, -1]
            next_tokens = torch.distributions.Categorical(logits=logits / temperature).sample()
            input_ids = torch.cat([input_ids, next_tokens[:, None]], dim=-1)
        self.train(was_training)
        return input_ids


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
