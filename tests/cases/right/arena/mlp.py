# A right `mlp` in the style of arena.
import torch
import torch.nn as nn
from torch.nn import functional as F


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
