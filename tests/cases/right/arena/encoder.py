# A right `encoder` in the style of arena.
import torch
import torch.nn as nn
from torch.nn import functional as F


class LayerNorm(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.w = nn.Parameter(torch.ones(d_model))
        self.b = nn.Parameter(torch.zeros(d_model))

    def forward(self, residual):
        residual_mean = residual.mean(dim=-1, keepdim=True)
        residual_std = (residual.var(dim=-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return (residual - residual_mean) / residual_std * self.w + self.b


class Attention(nn.Module):
    def __init__(self, d_model, n_heads, dropout, causal=True):
        super().__init__()
        d_head = d_model // n_heads
        self.d_head, self.causal = d_head, causal
        self.W_Q = nn.Parameter(torch.empty((n_heads, d_model, d_head)))
        self.W_K = nn.Parameter(torch.empty((n_heads, d_model, d_head)))
        self.W_V = nn.Parameter(torch.empty((n_heads, d_model, d_head)))
        self.W_O = nn.Parameter(torch.empty((n_heads, d_head, d_model)))
        self.b_Q = nn.Parameter(torch.zeros((n_heads, d_head)))
        self.b_K = nn.Parameter(torch.zeros((n_heads, d_head)))
        self.b_V = nn.Parameter(torch.zeros((n_heads, d_head)))
        self.b_O = nn.Parameter(torch.zeros(d_model))
        for weight in (self.W_Q, self.W_K, self.W_V, self.W_O):
            nn.init.normal_(weight, std=0.02)
        self.dropout_pattern = nn.Dropout(dropout)
        self.dropout_out = nn.Dropout(dropout)
        self.register_buffer("IGNORE", torch.tensor(float("-inf")))

    def forward(self, normalized_resid_pre):
        q = torch.einsum("bpm,nmh->bpnh", normalized_resid_pre, self.W_Q) + self.b_Q
        k = torch.einsum("bpm,nmh->bpnh", normalized_resid_pre, self.W_K) + self.b_K
        v = torch.einsum("bpm,nmh->bpnh", normalized_resid_pre, self.W_V) + self.b_V
        attn_scores = torch.einsum("bqnh,bknh->bnqk", q, k) / self.d_head**0.5
        if self.causal:
            attn_scores = self.apply_causal_mask(attn_scores)
        attn_pattern = self.dropout_pattern(attn_scores.softmax(-1))
        z = torch.einsum("bknh,bnqk->bqnh", v, attn_pattern)
        attn_out = torch.einsum("bqnh,nhm->bqm", z, self.W_O) + self.b_O
        return self.dropout_out(attn_out)

    def apply_causal_mask(self, attn_scores):
        all_ones = torch.ones(attn_scores.size(-2), attn_scores.size(-1), device=attn_scores.device)
        mask = torch.triu(all_ones, diagonal=1).bool()
        return attn_scores.masked_fill(mask, self.IGNORE)


class MLP(nn.Module):
    def __init__(self, d_model, dropout):
        super().__init__()
        d_mlp = 4 * d_model
        self.W_in = nn.Parameter(torch.empty((d_model, d_mlp)))
        self.W_out = nn.Parameter(torch.empty((d_mlp, d_model)))
        self.b_in = nn.Parameter(torch.zeros((d_mlp)))
        self.b_out = nn.Parameter(torch.zeros((d_model)))
        nn.init.normal_(self.W_in, std=0.02)
        nn.init.normal_(self.W_out, std=0.02)
        self.dropout = nn.Dropout(dropout)

    def forward(self, normalized_resid_mid):
        pre = torch.einsum("bpm,mn->bpn", normalized_resid_mid, self.W_in) + self.b_in
        post = F.gelu(pre)
        return self.dropout(torch.einsum("bpn,nm->bpm", post, self.W_out) + self.b_out)


class TransformerBlock(nn.Module):
    def __init__(self, d_model, n_heads, dropout, causal):
        super().__init__()
        self.ln1 = LayerNorm(d_model)
        self.attn = Attention(d_model, n_heads, dropout, causal)
        self.ln2 = LayerNorm(d_model)
        self.mlp = MLP(d_model, dropout)

    def forward(self, resid_pre):
        resid_mid = self.attn(self.ln1(resid_pre)) + resid_pre
        resid_post = self.mlp(self.ln2(resid_mid)) + resid_mid
        return resid_post


class Embed(nn.Module):
    def __init__(self, d_vocab, d_model):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty((d_vocab, d_model)))
        nn.init.normal_(self.W_E, std=0.02)

    def forward(self, tokens):
        return self.W_E[tokens]


class PosEmbed(nn.Module):
    def __init__(self, n_ctx, d_model):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty((n_ctx, d_model)))
        nn.init.normal_(self.W_pos, std=0.02)

    def forward(self, tokens):
        batch, seq_len = tokens.shape
        return self.W_pos[:seq_len].expand(batch, -1, -1)


class Unembed(nn.Module):
    def __init__(self, d_model, d_vocab):
        super().__init__()
        self.W_U = nn.Parameter(torch.empty((d_model, d_vocab)))
        nn.init.normal_(self.W_U, std=0.02)
        self.b_U = nn.Parameter(torch.zeros((d_vocab), requires_grad=False))

    def forward(self, normalized_resid_final):
        return torch.einsum("bpm,mv->bpv", normalized_resid_final, self.W_U) + self.b_U


class Encoder(nn.Module):
    def __init__(self, vocab_size, max_seq_len, d_model, n_layers, n_heads, dropout, causal):
        super().__init__()
        self.n_ctx = max_seq_len
        self.embed = Embed(vocab_size, d_model)
        self.pos_embed = PosEmbed(max_seq_len, d_model)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([TransformerBlock(d_model, n_heads, dropout, causal) for _ in range(n_layers)])
        self.ln_final = LayerNorm(d_model)
        self.unembed = Unembed(d_model, vocab_size)

    def forward(self, tokens):
        residual = self.dropout(self.embed(tokens) + self.pos_embed(tokens))
        for block in self.blocks:
            residual = block(residual)
        return self.unembed(self.ln_final(residual))
