import math, torch
from torch import nn

class Linear(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        std = math.sqrt(2 / (in_features + out_features))
        self.W = nn.Parameter(nn.init.trunc_normal_(torch.empty(in_features, out_features), std=std))
        self.b = nn.Parameter(torch.zeros(out_features))
    def forward(self, x):
        return torch.einsum("...i,io->...o", x, self.W) + self.b

def gelu(x):
    # the exact one, with the error function
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))

class PositionwiseFeedForward(nn.Module):
    def __init__(self, d_model, dropout=0.1, d_ff=None):
        super().__init__()
        d_ff = d_ff or 4 * d_model
        self.up = Linear(d_model, d_ff)
        self.down = Linear(d_ff, d_model)
        self.p = dropout
    def forward(self, x):
        y = self.down(gelu(self.up(x)))
        if self.training and self.p > 0:
            keep = (torch.rand(y.shape) > self.p).float()
            y = y * keep / (1 - self.p)
        return y
