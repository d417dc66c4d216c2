# A right `gpt` in the style of torch_mha.
import math

import torch
import torch.nn as nn
from torch.nn import functional as F


class MultiHeadSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout, causal=True):
        super().__init__()
        self.causal = causal
        self.mha = nn.MultiheadAttention(embed_dim, num_heads, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        T = x.size(1)
        mask = torch.triu(torch.ones(T, T, dtype=torch.bool, device=x.device), diagonal=1) if self.causal else None
        out, _ = self.mha(x, x, x, attn_mask=mask, need_weights=False)
        return self.dropout(out)


class FeedForward(nn.Sequential):
    def __init__(self, embed_dim, dropout):
        super().__init__(
            nn.Linear(embed_dim, embed_dim * 4),
            nn.GELU(),
            nn.Linear(embed_dim * 4, embed_dim),
            nn.Dropout(dropout),
        )


class Block(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout):
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim)
        self.attn = MultiHeadSelfAttention(embed_dim, num_heads, dropout)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.ff = FeedForward(embed_dim, dropout)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.ff(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, vocab_size, max_len, embed_dim, num_layers, num_heads, dropout):
        super().__init__()
        self.max_len = max_len
        self.token_emb = nn.Embedding(vocab_size, embed_dim)
        self.pos_emb = nn.Embedding(max_len, embed_dim)
        self.drop = nn.Dropout(dropout)
        self.layers = nn.Sequential(*[Block(embed_dim, num_heads, dropout) for _ in range(num_layers)])
        self.norm = nn.LayerNorm(embed_dim)
        self.head = nn.Linear(embed_dim, vocab_size, bias=False)
        self.head.weight = self.token_emb.weight
        self.apply(self._init_weights)
        for pn, p in self.named_parameters():
            if pn.endswith("ff.2.weight"):
                torch.nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * num_layers))

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif isinstance(module, nn.MultiheadAttention):
            torch.nn.init.normal_(module.in_proj_weight, mean=0.0, std=0.02)
            torch.nn.init.zeros_(module.in_proj_bias)

    def forward(self, x, y=None):
        pos = torch.arange(x.shape[1], device=x.device)
        h = self.token_emb(x) + self.pos_emb(pos)
        h = self.drop(h)
        h = self.layers(h)
        logits = self.head(self.norm(h))
        loss = None
        if y is not None:
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), y.reshape(-1))
        return logits, loss

    def configure_optimizers(self, weight_decay, learning_rate, betas):
        with_decay = []
        without_decay = []
        for p in self.parameters():
            if p.dim() > 1:
                with_decay.append(p)
            else:
                without_decay.append(p)
        return torch.optim.AdamW(
            [{"params": without_decay, "weight_decay": 0}, {"params": with_decay, "weight_decay": weight_decay}],
            learning_rate,
            betas,
        )

    def generate(self, x, max_new_tokens, temperature=1.0):
        training = self.training
        self.eval()
        with torch.no_grad():
            for _ in range(max_new_tokens):
                logits = self(x[:, -self.max_len :])[0][:, -1]
                distribution = torch.distributions.categorical.Categorical(logits=logits / temperature)
                x = torch.cat([x, distribution.sample().unsqueeze(-1)], dim=-1)
        self.train(training)
        return x
