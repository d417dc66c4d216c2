import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
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
    init_range: float = 0.02


class Embed(nn.Module):
    def __init__(self, cfg: Config, d_vocab: int):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty((d_vocab, cfg.n_embd)))
        nn.init.normal_(self.W_E, std=cfg.init_range)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.W_E[tokens]


class PosEmbed(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty((cfg.block_size, cfg.n_embd)))
        nn.init.normal_(self.W_pos, std=cfg.init_range)

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
        self.W_O = nn.Parameter(torch.empty((n_heads, d_head, cfg.n_embd)))
        self.b_Q = nn.Parameter(torch.zeros((n_heads, d_head)))
        self.b_K = nn.Parameter(torch.zeros((n_heads, d_head)))
        self.b_V = nn.Parameter(torch.zeros((n_heads, d_head)))
        self.b_O = nn.Parameter(torch.zeros((cfg.n_embd)))
        nn.init.normal_(self.W_Q, std=cfg.init_range)
        nn.init.normal_(self.W_K, std=cfg.init_range)
        nn.init.normal_(self.W_V, std=cfg.init_range)
        nn.init.normal_(self.W_O, std=cfg.init_range)
        self.register_buffer("IGNORE", torch.tensor(float("-inf"), dtype=torch.float32), persistent=False)

    def forward(self, normalized_resid_pre: Tensor) -> Tensor:
        # Calculate query, key and value vectors
        q = torch.einsum("bpd,hde->bphe", normalized_resid_pre, self.W_Q) + self.b_Q
        k = torch.einsum("bpd,hde->bphe", normalized_resid_pre, self.W_K) + self.b_K
        v = torch.einsum("bpd,hde->bphe", normalized_resid_pre, self.W_V) + self.b_V

        # Calculate attention scores, then scale and mask, and apply softmax to get probabilities
        attn_scores = torch.einsum("bqhe,bkhe->bhqk", q, k)
        attn_scores_masked = self.apply_causal_mask(attn_scores / math.sqrt(self.cfg.n_embd))
        attn_pattern = attn_scores_masked.softmax(-1)  # batch n_heads posn_Q posn_K

        # Take weighted sum of value vectors, according to attention probabilities
        z = torch.einsum("bhqk,bkhe->bqhe", attn_pattern, v)

        # Map back to the residual stream, and sum over heads
        attn_out = torch.einsum("bqhe,hed->bqd", z, self.W_O) + self.b_O
        return attn_out

    def apply_causal_mask(self, attn_scores: Tensor) -> Tensor:
        """Applies a causal mask to attention scores, and returns masked scores."""
        all_ones = torch.ones(attn_scores.size(-2), attn_scores.size(-1), device=attn_scores.device)
        mask = torch.triu(all_ones, diagonal=1).bool()
        return torch.where(mask, self.IGNORE, attn_scores)


class MLP(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        d_mlp = 4 * cfg.n_embd
        self.W_in = nn.Parameter(torch.empty((cfg.n_embd, d_mlp)))
        self.W_out = nn.Parameter(torch.empty((d_mlp, cfg.n_embd)))
        self.b_in = nn.Parameter(torch.zeros((d_mlp)))
        self.b_out = nn.Parameter(torch.zeros((cfg.n_embd)))
        nn.init.normal_(self.W_in, std=cfg.init_range)
        nn.init.normal_(self.W_out, std=cfg.init_range)

    def forward(self, normalized_resid_mid: Tensor) -> Tensor:
        pre = torch.einsum("bpd,dm->bpm", normalized_resid_mid, self.W_in) + self.b_in
        post = F.relu(pre)
        mlp_out = torch.einsum("bpm,md->bpd", post, self.W_out) + self.b_out
        return mlp_out


class TransformerBlock(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        self.attn = Attention(cfg)
        self.mlp = MLP(cfg)

    def forward(self, resid_pre: Tensor) -> Tensor:
        resid_mid = self.attn(resid_pre) + resid_pre
        resid_post = self.mlp(resid_mid) + resid_mid
        return resid_post


class Unembed(nn.Module):
    def __init__(self, cfg: Config, d_vocab: int):
        super().__init__()
        self.W_U = nn.Parameter(torch.empty((cfg.n_embd, d_vocab)))
        self.b_U = nn.Parameter(torch.zeros((d_vocab)))
        nn.init.normal_(self.W_U, std=cfg.init_range)

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

    @torch.no_grad()
    def generate(self, tokens: Tensor, max_new_tokens: int, temperature: float = 1.0) -> Tensor:
        was_training = self.training
        self.eval()
        for _ in range(max_new_tokens):
            logits = self(tokens[:, -self.cfg.block_size :])[:, -1]
            next_tokens = torch.multinomial((logits / temperature).softmax(-1), 1).squeeze(-1)
            tokens = torch.cat([tokens, next_tokens[:, None]], dim=-1)
        self.train(was_training)
        return tokens


class TransformerTrainer:
    def __init__(self, cfg: Config, model: GPT, tokens: Tensor):
        self.cfg = cfg
        self.model = model
        n = int(0.9 * len(tokens))
        self.splits = {"train": tokens[:n], "val": tokens[n:]}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=cfg.learning_rate)

    def batch(self, split: str) -> tuple[Tensor, Tensor]:
        starts = torch.randint(len(self.splits[split]) - self.cfg.block_size, (self.cfg.batch_size,))
        rows = torch.stack([self.splits[split][i : i + self.cfg.block_size + 1] for i in starts])
        return rows[:, :-1], rows[:, 1:]

    def loss(self, split: str) -> Tensor:
        tokens, targets = self.batch(split)
        log_probs = self.model(tokens).log_softmax(dim=-1)
        return -log_probs.gather(dim=-1, index=targets.unsqueeze(-1)).squeeze(-1).mean()

    def training_step(self) -> Tensor:
        loss = self.loss("train")
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    @torch.inference_mode()
    def evaluate(self, split: str) -> float:
        self.model.eval()
        losses = [self.loss(split).item() for _ in range(self.cfg.eval_batches)]
        self.model.train()
        return sum(losses) / len(losses)

    def train(self) -> None:
        for step in range(self.cfg.max_steps):
            if step % self.cfg.eval_interval == 0:
                print(f"Epoch {step}: avg train loss {self.evaluate('train'):.4f} | avg val loss {self.evaluate('val'):.4f}")
            self.training_step()


if __name__ == "__main__":
    text = Path("input.txt").read_text(encoding="utf-8")
    vocab = sorted(set(text))
    token_of = {character: i for i, character in enumerate(vocab)}
    torch.manual_seed(42)
    cfg = Config()
    model = GPT(cfg, len(vocab))
    trainer = TransformerTrainer(cfg, model, torch.tensor([token_of[c] for c in text]))
    trainer.train()
    sample = model.generate(torch.zeros(1, 1, dtype=torch.long), 500)
    print("\nSampling 500 tokens from a trained model: ")
    print("".join(vocab[i] for i in sample[0, 1:].tolist()))
