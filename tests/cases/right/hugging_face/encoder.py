# A right `encoder` in the style of hugging_face.
from dataclasses import dataclass

import torch
import torch.nn as nn


@dataclass
class CausalLMOutput:
    """What the model returns; forward(tokens).logits are the logits."""

    logits: torch.Tensor
    hidden_states: tuple


class Conv1D(nn.Module):
    """A linear layer whose weight stands transposed: (nx, nf)."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.empty(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x):
        size_out = x.size()[:-1] + (self.nf,)
        return torch.addmm(self.bias, x.reshape(-1, x.size(-1)), self.weight).view(size_out)


class GPT2Attention(nn.Module):
    def __init__(self, hidden_size, num_heads, dropout, causal=True):
        super().__init__()
        self.embed_dim = hidden_size
        self.num_heads = num_heads
        self.head_dim = self.embed_dim // self.num_heads
        self.split_size = self.embed_dim
        self.is_causal = causal
        self.c_attn = Conv1D(3 * self.embed_dim, self.embed_dim)
        self.c_proj = Conv1D(self.embed_dim, self.embed_dim)
        self.attn_dropout = nn.Dropout(dropout)
        self.resid_dropout = nn.Dropout(dropout)

    def _split_heads(self, tensor):
        return tensor.view(tensor.size()[:-1] + (self.num_heads, self.head_dim)).permute(0, 2, 1, 3)

    def _merge_heads(self, tensor):
        tensor = tensor.permute(0, 2, 1, 3).contiguous()
        return tensor.view(tensor.size()[:-2] + (self.num_heads * self.head_dim,))

    def _attn(self, query, key, value):
        attn_weights = torch.matmul(query, key.transpose(-1, -2))
        attn_weights = attn_weights / torch.full([], value.size(-1) ** 0.5, dtype=attn_weights.dtype)
        if self.is_causal:
            length = query.size(-2)
            causal_mask = torch.tril(torch.ones((length, length), dtype=torch.bool, device=query.device))
            mask_value = torch.full([], torch.finfo(attn_weights.dtype).min, dtype=attn_weights.dtype)
            attn_weights = torch.where(causal_mask, attn_weights, mask_value)
        attn_weights = nn.functional.softmax(attn_weights, dim=-1)
        return torch.matmul(self.attn_dropout(attn_weights), value)

    def forward(self, hidden_states):
        query, key, value = self.c_attn(hidden_states).split(self.split_size, dim=2)
        attn_output = self._attn(self._split_heads(query), self._split_heads(key), self._split_heads(value))
        return self.resid_dropout(self.c_proj(self._merge_heads(attn_output)))


class GPT2MLP(nn.Module):
    def __init__(self, hidden_size, dropout):
        super().__init__()
        self.c_fc = Conv1D(4 * hidden_size, hidden_size)
        self.c_proj = Conv1D(hidden_size, 4 * hidden_size)
        self.act = nn.GELU(approximate="tanh")
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_states):
        hidden_states = self.c_fc(hidden_states)
        hidden_states = self.act(hidden_states)
        hidden_states = self.c_proj(hidden_states)
        return self.dropout(hidden_states)


class GPT2Block(nn.Module):
    def __init__(self, hidden_size, num_heads, dropout, causal):
        super().__init__()
        self.ln_1 = nn.LayerNorm(hidden_size, eps=1e-5)
        self.attn = GPT2Attention(hidden_size, num_heads, dropout, causal)
        self.ln_2 = nn.LayerNorm(hidden_size, eps=1e-5)
        self.mlp = GPT2MLP(hidden_size, dropout)

    def forward(self, hidden_states):
        residual = hidden_states
        hidden_states = residual + self.attn(self.ln_1(hidden_states))
        residual = hidden_states
        return residual + self.mlp(self.ln_2(hidden_states))


class GPT2Model(nn.Module):
    def __init__(self, vocab_size, max_position_embeddings, hidden_size, num_layers, num_heads, dropout, causal):
        super().__init__()
        self.wte = nn.Embedding(vocab_size, hidden_size)
        self.wpe = nn.Embedding(max_position_embeddings, hidden_size)
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList([GPT2Block(hidden_size, num_heads, dropout, causal) for _ in range(num_layers)])
        self.ln_f = nn.LayerNorm(hidden_size, eps=1e-5)

    def forward(self, input_ids):
        position_ids = torch.arange(0, input_ids.shape[-1], dtype=torch.long, device=input_ids.device).unsqueeze(0)
        hidden_states = self.drop(self.wte(input_ids) + self.wpe(position_ids))
        all_hidden_states = ()
        for block in self.h:
            all_hidden_states += (hidden_states,)
            hidden_states = block(hidden_states)
        return self.ln_f(hidden_states), all_hidden_states


class Encoder(nn.Module):
    def __init__(self, vocab_size, context_size, hidden_size, num_layers, num_heads, dropout, causal):
        super().__init__()
        self.context_size = context_size
        self.transformer = GPT2Model(vocab_size, context_size, hidden_size, num_layers, num_heads, dropout, causal)
        self.lm_head = nn.Linear(hidden_size, vocab_size, bias=False)

    def forward(self, input_ids):
        hidden_states, all_hidden_states = self.transformer(input_ids)
        return CausalLMOutput(logits=self.lm_head(hidden_states), hidden_states=all_hidden_states)
