# everything by hand, like makemore (own Linear, Embedding, LayerNorm, Dropout)
import torch, math
from torch import nn
from dataclasses import dataclass
@dataclass
class Config:
    batch_size: int = 64
    block_size: int = 256
    n_embd: int = 384
    n_head: int = 6
    n_layer: int = 6
    dropout: float = 0.2
    learning_rate: float = 3e-4
    max_steps: int = 5000
    eval_interval: int = 500
    eval_batches: int = 200

class Linear(nn.Module):
    def __init__(self, fan_in, fan_out, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn((fan_in, fan_out)) / fan_in**0.5 * 0.5)
        self.bias = nn.Parameter(torch.zeros(fan_out)) if bias else None
    def forward(self, x):
        self.out = x @ self.weight
        if self.bias is not None:
            self.out = self.out + self.bias
        return self.out

class Embedding(nn.Module):
    def __init__(self, num_embeddings, embedding_dim):
        super().__init__()
        self.weight = nn.Parameter(torch.randn((num_embeddings, embedding_dim)) * 0.1)
    def forward(self, IX):
        return self.weight[IX]

class LayerNorm(nn.Module):
    def __init__(self, dim, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(dim))
        self.beta = nn.Parameter(torch.zeros(dim))
    def forward(self, x):
        xmean = x.mean(-1, keepdim=True)
        xvar = x.var(-1, keepdim=True, correction=0)
        return self.gamma * (x - xmean) / torch.sqrt(xvar + self.eps) + self.beta

class Dropout(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p
    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        return torch.where(torch.rand_like(x) < self.p, 0.0, x / (1.0 - self.p))

class ReLU(nn.Module):
    def forward(self, x):
        return x * (x > 0)

class Sequential(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
    def forward(self, x):
        for l in self.layers:
            x = l(x)
        return x

class Head(nn.Module):
    def __init__(self, c):
        super().__init__()
        hs = c.n_embd // c.n_head
        self.key = Linear(c.n_embd, hs, bias=False)
        self.query = Linear(c.n_embd, hs, bias=False)
        self.value = Linear(c.n_embd, hs, bias=False)
        self.register_buffer('tril', torch.tril(torch.ones(c.block_size, c.block_size)))
        self.dropout = Dropout(c.dropout)
    def forward(self, x):
        B, T, C = x.shape
        k, q = self.key(x), self.query(x)
        wei = q @ k.transpose(-2, -1) * k.shape[-1]**-0.5
        wei = wei.masked_fill(self.tril[:T, :T] == 0, float('-inf'))
        wei = (wei - wei.amax(-1, keepdim=True)).exp()
        wei = wei / wei.sum(-1, keepdim=True)
        return self.dropout(wei) @ self.value(x)

class MultiHeadAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = nn.ModuleList([Head(c) for _ in range(c.n_head)])
        self.proj = Linear(c.n_embd, c.n_embd)
        self.dropout = Dropout(c.dropout)
    def forward(self, x):
        return self.dropout(self.proj(torch.cat([h(x) for h in self.heads], dim=-1)))

class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.sa = MultiHeadAttention(c)
        self.ffwd = Sequential(Linear(c.n_embd, 4*c.n_embd), ReLU(), Linear(4*c.n_embd, c.n_embd), Dropout(c.dropout))
        self.ln1 = LayerNorm(c.n_embd)
        self.ln2 = LayerNorm(c.n_embd)
    def forward(self, x):
        x = x + self.sa(self.ln1(x))
        x = x + self.ffwd(self.ln2(x))
        return x

class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding_table = Embedding(vocab_size, config.n_embd)
        self.position_embedding_table = Embedding(config.block_size, config.n_embd)
        self.blocks = Sequential(*[Block(config) for _ in range(config.n_layer)])
        self.ln_f = LayerNorm(config.n_embd)
        self.lm_head = Linear(config.n_embd, vocab_size)
    def forward(self, idx, targets=None):
        B, T = idx.shape
        x = self.token_embedding_table(idx) + self.position_embedding_table(torch.arange(T))
        return self.lm_head(self.ln_f(self.blocks(x)))
    @torch.no_grad()
    def generate(self, idx, max_new_tokens, temperature=1.0):
        for _ in range(max_new_tokens):
            logits = self(idx[:, -self.block_size:])[:, -1, :]
            # sample by hand from the cumulative sum
            p = (logits / temperature).softmax(-1).cumsum(-1)
            u = torch.rand(len(idx), 1) * p[:, -1:]
            idx = torch.cat((idx, torch.searchsorted(p, u).clamp(max=p.shape[-1] - 1)), dim=1)
        return idx
