# Document 001, exercise 2: torch.split gives the parts, torch.cat recombines them; one layer for Q, K, V.
# "split the hidden dimension ... in `n_head` equally sized parts and perform attention to these parts in parallel"
# "recombine the output of the distinct attention heads back into a single hidden dimension"
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class MultiHeadCausalSelfAttention(nn.Module):
    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        self.hidden_size = hidden_size
        self.n_head = n_head
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.proj = nn.Linear(hidden_size, hidden_size)
        self.attn_dropout = nn.Dropout(dropout)
        self.proj_dropout = nn.Dropout(dropout)

    def forward(self, x):
        N, T, D = x.shape
        Q, K, V = self.qkv(x).split(D, dim=2)
        size = D // self.n_head
        # heads in front: (n_head, N, T, size)
        Q = torch.stack(torch.split(Q, size, dim=-1))
        K = torch.stack(torch.split(K, size, dim=-1))
        V = torch.stack(torch.split(V, size, dim=-1))
        S = torch.einsum("hntd,hnsd->hnts", Q, K) * size**-0.5
        S = S + torch.full((T, T), float("-inf"), device=x.device).triu(1)
        S = self.attn_dropout(S.softmax(-1))
        heads = torch.einsum("hnts,hnsd->hntd", S, V)
        return self.proj_dropout(self.proj(torch.cat(list(heads), dim=-1)))
