# Document 001, exercise 5.
# "The `forward` method should take two arguments `x, y`"; "returns logits and loss as a tuple"
# "apply weight tying between the token embedding layer and the output layer"
# "a standard deviation of 0.02 (except for the output layers of the `MLP`s use $0.02/\sqrt{2 * \mathtt{n\_layer}}$)"
# Exercise 8: "sample the next token from the resulting categorical distribution"
# The logits come from a method of their own; no evaluation mode is asked for.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class MultiHeadCausalSelfAttention(nn.Module):
    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        assert hidden_size % n_head == 0
        self.n_head = n_head
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, x):
        N, T, D = x.shape
        d = D // self.n_head
        Q = self.query(x).view(N, T, self.n_head, d).transpose(1, 2)
        K = self.key(x).view(N, T, self.n_head, d).transpose(1, 2)
        V = self.value(x).view(N, T, self.n_head, d).transpose(1, 2)
        scores = Q @ K.transpose(-2, -1) / math.sqrt(d)
        mask = torch.tril(torch.ones(T, T, device=x.device)).bool()
        scores = scores.masked_fill(~mask, float("-inf"))
        scores = self.dropout1(F.softmax(scores, dim=-1))
        out = (scores @ V).transpose(1, 2).contiguous().view(N, T, D)
        return self.dropout2(self.out(out))


class MLP(nn.Module):
    def __init__(self, hidden_size, dropout):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(hidden_size, 4 * hidden_size),
            nn.GELU(),
            nn.Linear(4 * hidden_size, hidden_size),
            nn.Dropout(dropout),
        )

    def forward(self, x):
        return self.net(x)


class Block(nn.Module):
    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        self.ln1 = nn.LayerNorm(hidden_size)
        self.attn = MultiHeadCausalSelfAttention(hidden_size, n_head, dropout)
        self.ln2 = nn.LayerNorm(hidden_size)
        self.mlp = MLP(hidden_size, dropout)

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        x = x + self.mlp(self.ln2(x))
        return x


class GPT(nn.Module):
    def __init__(self, vocab_size, context_size, hidden_size, n_layer, n_head, dropout):
        super().__init__()
        self.context_size = context_size
        self.n_layer = n_layer
        self.tok_emb = nn.Embedding(vocab_size, hidden_size)
        self.pos_emb = nn.Embedding(context_size, hidden_size)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(hidden_size, n_head, dropout) for _ in range(n_layer)])
        self.ln_f = nn.LayerNorm(hidden_size)
        self.lm_head = nn.Linear(hidden_size, vocab_size, bias=False)
        self.tok_emb.weight = self.lm_head.weight
        self.apply(self._init_weights)
        for name, p in self.named_parameters():
            if name.endswith("mlp.net.2.weight"):
                torch.nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * n_layer))

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)

    def get_logits(self, x):
        pos = torch.arange(0, x.size(1), dtype=torch.long, device=x.device).unsqueeze(0)
        h = self.drop(self.tok_emb(x) + self.pos_emb(pos))
        for block in self.blocks:
            h = block(h)
        return self.lm_head(self.ln_f(h))

    def forward(self, x, y):
        logits = self.get_logits(x)
        return logits, F.cross_entropy(logits.transpose(1, 2), y)

    def configure_optimizers(self, weight_decay, learning_rate, betas):
        params = {name: p for name, p in self.named_parameters() if p.requires_grad}
        optim_groups = [
            {"params": [p for p in params.values() if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in params.values() if p.ndim < 2], "weight_decay": 0},
        ]
        return torch.optim.AdamW(optim_groups, lr=learning_rate, betas=betas)

    def generate(self, x, max_new_tokens, temperature=1.0):
        with torch.no_grad():
            for _ in range(max_new_tokens):
                logits = self.get_logits(x[:, -self.context_size :])[:, -1] / temperature
                probabilities = torch.softmax(logits, dim=-1)
                next_token = torch.distributions.Categorical(probs=probabilities).sample()
                x = torch.cat((x, next_token[:, None]), dim=1)
        return x
