# A right `encoder` in the style of llama.
import torch
import torch.nn as nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def precompute_freqs_cis(head_dim, end, theta=10000.0):
    freqs = 1.0 / theta ** (torch.arange(0, head_dim, 2)[: head_dim // 2].float() / head_dim)
    return torch.polar(torch.ones(end, head_dim // 2), torch.outer(torch.arange(end).float(), freqs))


def apply_rotary_emb(x, freqs_cis):  # (B, T, H, D)
    x_ = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(x_ * freqs_cis[None, :, None, :]).flatten(3).type_as(x)


class Attention(nn.Module):
    def __init__(self, dim, n_heads, dropout, causal):
        super().__init__()
        self.n_heads, self.head_dim, self.causal, self.dropout = n_heads, dim // n_heads, causal, dropout
        self.wq = nn.Linear(dim, dim, bias=False)
        self.wk = nn.Linear(dim, dim, bias=False)
        self.wv = nn.Linear(dim, dim, bias=False)
        self.wo = nn.Linear(dim, dim, bias=False)

    def forward(self, x, freqs_cis):
        B, T, C = x.shape
        xq = apply_rotary_emb(self.wq(x).view(B, T, self.n_heads, self.head_dim), freqs_cis).transpose(1, 2)
        xk = apply_rotary_emb(self.wk(x).view(B, T, self.n_heads, self.head_dim), freqs_cis).transpose(1, 2)
        xv = self.wv(x).view(B, T, self.n_heads, self.head_dim).transpose(1, 2)
        p = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(xq, xk, xv, dropout_p=p, is_causal=self.causal)
        return self.wo(out.transpose(1, 2).reshape(B, T, C))


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, dim):
        super().__init__()
        hidden_dim = int(2 * 4 * dim / 3)
        self.w1 = nn.Linear(dim, hidden_dim, bias=False)
        self.w2 = nn.Linear(hidden_dim, dim, bias=False)
        self.w3 = nn.Linear(dim, hidden_dim, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class TransformerBlock(nn.Module):
    def __init__(self, dim, n_heads, dropout, causal):
        super().__init__()
        self.attention = Attention(dim, n_heads, dropout, causal)
        self.feed_forward = FeedForward(dim)
        self.attention_norm = RMSNorm(dim)
        self.ffn_norm = RMSNorm(dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, freqs_cis):
        h = x + self.drop(self.attention(self.attention_norm(x), freqs_cis))
        return h + self.drop(self.feed_forward(self.ffn_norm(h)))


class Encoder(nn.Module):
    def __init__(self, vocab_size, max_seq_len, d_model, n_layers, n_heads, dropout, causal):
        super().__init__()
        self.tok_embeddings = nn.Embedding(vocab_size, d_model)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList([TransformerBlock(d_model, n_heads, dropout, causal) for _ in range(n_layers)])
        self.norm = RMSNorm(d_model)
        self.output = nn.Linear(d_model, vocab_size, bias=False)
        self.register_buffer("freqs_cis", precompute_freqs_cis(d_model // n_heads, max_seq_len), persistent=False)

    def forward(self, tokens):
        h = self.dropout(self.tok_embeddings(tokens))
        freqs_cis = self.freqs_cis[: tokens.shape[1]]
        for layer in self.layers:
            h = layer(h, freqs_cis)
        return self.output(self.norm(h))
