# Document 004, week 1: scores by torch.baddbmm's relative torch.bmm, scaled queries, weights handed out beside the output.
# "output of the input sequence multiplied by the key matrix"
# "consider the shape of your matrices, and what the self attention operation would be for a single matrix"
# "Concatenate the outputs of different heads and project"
import torch
import torch.nn as nn
import torch.nn.functional as F


class CausalMultiHeadAttention(nn.Module):
    def __init__(self, hidden_size, num_heads):
        super().__init__()
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.to_queries = nn.Linear(hidden_size, hidden_size, bias=False)
        self.to_keys = nn.Linear(hidden_size, hidden_size, bias=False)
        self.to_values = nn.Linear(hidden_size, hidden_size, bias=False)
        self.unify_heads = nn.Linear(hidden_size, hidden_size)

    def forward(self, x):
        N, T, C = x.shape
        H = self.num_heads
        S = C // H
        queries = self.to_queries(x).view(N, T, H, S)
        keys = self.to_keys(x).view(N, T, H, S)
        values = self.to_values(x).view(N, T, H, S)

        queries = queries.transpose(1, 2).contiguous().view(N * H, T, S)
        keys = keys.transpose(1, 2).contiguous().view(N * H, T, S)
        values = values.transpose(1, 2).contiguous().view(N * H, T, S)

        queries = queries / S**0.25
        keys = keys / S**0.25
        dot = torch.bmm(queries, keys.transpose(1, 2))
        rows, columns = torch.triu_indices(T, T, offset=1)
        dot[:, rows, columns] = float("-inf")
        dot = F.softmax(dot, dim=2)
        out = torch.bmm(dot, values).view(N, H, T, S)
        out = out.transpose(1, 2).contiguous().view(N, T, H * S)
        return self.unify_heads(out), dot.view(N, H, T, T)
