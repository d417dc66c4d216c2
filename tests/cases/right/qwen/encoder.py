# A right `encoder` in the style of qwen.
import torch
import torch.nn as nn
from torch.nn import functional as F


def rotate_half(x):
    x1, x2 = x.chunk(2, dim=-1)
    return torch.cat((-x2, x1), dim=-1)


class RotaryEmbedding(nn.Module):
    def __init__(self, dim, base=10000):
        super().__init__()
        self.register_buffer("inv_freq", 1.0 / base ** (torch.arange(0, dim, 2).float() / dim), persistent=False)

    def forward(self, x):  # (B, H, T, D)
        t = torch.arange(x.shape[-2], device=x.device).float()
        emb = torch.outer(t, self.inv_freq).repeat(1, 2)
        return x * emb.cos() + rotate_half(x) * emb.sin()


class Attention(nn.Module):
    """Grouped queries: two heads share a key and a value; queries and keys are normed."""

    def __init__(self, hidden_size, num_heads, dropout, causal):
        super().__init__()
        self.num_heads = num_heads
        self.num_kv_heads = num_heads // 2 if num_heads % 2 == 0 else num_heads
        self.head_dim = hidden_size // num_heads
        self.causal = causal
        self.q_proj = nn.Linear(hidden_size, num_heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(hidden_size, self.num_kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(hidden_size, self.num_kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.q_norm = nn.RMSNorm(self.head_dim)
        self.k_norm = nn.RMSNorm(self.head_dim)
        self.rotary = RotaryEmbedding(self.head_dim)
        self.attention_dropout = dropout

    def forward(self, x):
        B, T, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(B, T, self.num_heads, -1)).transpose(1, 2)
        k = self.k_norm(self.k_proj(x).view(B, T, self.num_kv_heads, -1)).transpose(1, 2)
        v = self.v_proj(x).view(B, T, self.num_kv_heads, -1).transpose(1, 2)
        q, k = self.rotary(q), self.rotary(k)
        groups = self.num_heads // self.num_kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        p = self.attention_dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, dropout_p=p)
        return self.o_proj(out.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.down_proj = nn.Linear(3 * hidden_size, hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    def __init__(self, hidden_size, num_heads, dropout, causal):
        super().__init__()
        self.self_attn = Attention(hidden_size, num_heads, dropout, causal)
        self.mlp = MLP(hidden_size)
        self.input_layernorm = nn.RMSNorm(hidden_size)
        self.post_attention_layernorm = nn.RMSNorm(hidden_size)

    def forward(self, x):
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Encoder(nn.Module):
    def __init__(self, vocab_size, context_size, hidden_size, num_layers, num_heads, dropout, causal):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, hidden_size)
        self.layers = nn.Sequential(*[DecoderLayer(hidden_size, num_heads, dropout, causal) for _ in range(num_layers)])
        self.norm = nn.RMSNorm(hidden_size)
        self.lm_head = nn.Linear(hidden_size, vocab_size, bias=False)
        self.lm_head.weight = self.embed_tokens.weight
        nn.init.normal_(self.lm_head.weight, std=0.02)

    def forward(self, input_ids):
        return self.lm_head(self.norm(self.layers(self.embed_tokens(input_ids))))
