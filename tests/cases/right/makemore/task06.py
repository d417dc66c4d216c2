from __future__ import annotations
import math
from dataclasses import dataclass
import torch
from torch import nn, Tensor


@dataclass
class Config:
    batch_size: int = 32
    block_size: int = 8
    n_embd: int = 32
    n_head: int = 4
    n_layer: int = 3
    learning_rate: float = 1e-3
    max_steps: int = 5000
    eval_interval: int = 500
    eval_batches: int = 200


class Linear(nn.Module):
    def __init__(self, in_features: int, out_features: int, bias: bool = True, device=None, dtype=None):
        super().__init__()
        std = math.sqrt(2 / (in_features + out_features))
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(out_features, in_features, device=device, dtype=dtype), std=std, a=-3 * std, b=3 * std))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("...i,oi->...o", x, self.weight)
        return y if self.bias is None else y + self.bias


class Embedding(nn.Module):
    def __init__(self, num_embeddings: int, embedding_dim: int):
        super().__init__()
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(embedding_dim, num_embeddings), a=-3, b=3))

    def forward(self, token_ids: Tensor) -> Tensor:
        return self.weight[:, token_ids].permute(1, 2, 0) if token_ids.dim() == 2 else self.weight[:, token_ids].t()


class Norm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(d_model))
        self.shift = nn.Parameter(torch.zeros(d_model))
        self.eps = eps

    def forward(self, x):
        in_dtype = x.dtype
        x = x.to(torch.float32)
        mean = x.mean(-1, keepdim=True)
        var = (x - mean).pow(2).mean(-1, keepdim=True)
        return ((x - mean) * torch.rsqrt(var + self.eps) * self.gain + self.shift).to(in_dtype)


def softmax(x, dim=-1):
    rescaled_input = x - torch.max(x, dim=dim, keepdim=True)[0]
    exponentiated = torch.exp(rescaled_input)
    return exponentiated / torch.sum(exponentiated, dim=dim, keepdim=True)


def scaled_dot_product_attention(Q, K, V, mask):
    d_k = K.shape[-1]
    s = torch.einsum("...qd,...kd->...qk", Q, K) / math.sqrt(d_k)
    s = torch.where(mask, s, float("-inf"))
    return torch.einsum("...qk,...kd->...qd", softmax(s), V)


class CausalMultiHeadSelfAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = Linear(d_model, d_model, bias=False)
        self.k_proj = Linear(d_model, d_model, bias=False)
        self.v_proj = Linear(d_model, d_model, bias=False)
        self.output_proj = Linear(d_model, d_model)

    def forward(self, x):
        *b, T, C = x.size()
        Q, K, V = (f(x).reshape(*b, T, self.num_heads, -1).transpose(-2, -3) for f in (self.q_proj, self.k_proj, self.v_proj))
        seq = torch.arange(T, device=x.device)
        qi, kj = seq[:, None], seq[None, :]
        out = scaled_dot_product_attention(Q, K, V, qi >= kj)
        return self.output_proj(out.transpose(-2, -3).contiguous().view(*b, T, C))


class TransformerBlock(nn.Module):
    def __init__(self, d_model, num_heads, d_ff):
        super().__init__()
        self.attn = CausalMultiHeadSelfAttention(d_model, num_heads)
        self.w1 = Linear(d_model, d_ff)
        self.w2 = Linear(d_ff, d_model)
        self.ln1 = Norm(d_model)
        self.ln2 = Norm(d_model)

    def forward(self, x):
        y = x + self.attn(self.ln1(x))
        return y + self.w2(torch.clamp(self.w1(self.ln2(y)), min=0))


class TransformerLM(nn.Module):
    def __init__(self, config: Config, vocab_size: int):
        super().__init__()
        self.context_length = config.block_size
        self.token_embeddings = Embedding(vocab_size, config.n_embd)
        self.position_embeddings = Embedding(config.block_size, config.n_embd)
        self.layers = nn.ModuleList([TransformerBlock(config.n_embd, config.n_head, config.n_embd * 4) for _ in range(config.n_layer)])
        self.ln_final = Norm(config.n_embd)
        self.lm_head = Linear(config.n_embd, vocab_size)

    def forward(self, x):
        _, n = x.size()
        x = self.token_embeddings(x) + self.position_embeddings(torch.arange(n))
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.ln_final(x))

    @torch.no_grad()
    def generate(self, x: torch.Tensor, max_new_tokens: int, temperature: float = 1.0, top_k: int | None = None, eos_token_id: int | None = None):
        original = x.size(-1)
        for _ in range(max_new_tokens):
            x_in = x[:, -self.context_length:] if x.size(1) > self.context_length else x
            next_token_logits = self.forward(x_in)[:, -1]
            temp = next_token_logits / temperature
            if top_k:
                topk_values, _ = torch.topk(temp, min(top_k, temp.size(-1)))
                temp.masked_fill(temp < topk_values[:, -1], float("-inf"))
            next_token_id = torch.multinomial(softmax(temp), 1)
            if eos_token_id is not None and next_token_id.item() == eos_token_id:
                break
            x = torch.cat((x, next_token_id), dim=-1)
        return x


class GPT(TransformerLM):
    pass
