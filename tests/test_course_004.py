"""004: causal multi-head attention in eight numbered steps, each with its fault."""

from tests.courses import assert_names, assert_passes

import pytest

SOLUTION = """
import torch
import torch.nn as nn


class MultiHeadAttention(nn.Module):
    def __init__(self, embedding_dim, num_heads, dropout):
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = embedding_dim // num_heads
        self.keys = nn.Linear(embedding_dim, embedding_dim, bias=False)
        self.queries = nn.Linear(embedding_dim, embedding_dim, bias=False)
        self.values = nn.Linear(embedding_dim, embedding_dim, bias=False)
        self.unify_heads = nn.Linear(embedding_dim, embedding_dim)
        self.drop_weights = nn.Dropout(dropout)
        self.drop_output = nn.Dropout(dropout)

    def forward(self, x):
        b, t, e = x.size()
        h, s = self.num_heads, self.head_dim
        # 1. Generate queries, keys, and values for all heads
        keys = self.keys(x)
        queries = self.queries(x)
        values = self.values(x)
        # 2. Reshape and transpose to separate heads
        keys = keys.view(b, t, h, s).transpose(1, 2)
        queries = queries.view(b, t, h, s).transpose(1, 2)
        values = values.view(b, t, h, s).transpose(1, 2)
        # 3. Merge the batch size and number of heads
        keys = keys.contiguous().view(b * h, t, s)
        queries = queries.contiguous().view(b * h, t, s)
        values = values.contiguous().view(b * h, t, s)
        # 4. Batch matrix multiplication
        dot = torch.bmm(queries, keys.transpose(1, 2)) / (s ** 0.5)
        # 5. Causal mask
        indices = torch.triu_indices(t, t, offset=1)
        dot[:, indices[0], indices[1]] = float("-inf")
        # 6. Softmax
        dot = self.drop_weights(nn.functional.softmax(dot, dim=2))
        # 7. Attention output
        out = torch.bmm(dot, values).view(b, h, t, s)
        # 8. Concatenate and project
        out = out.transpose(1, 2).contiguous().view(b, t, h * s)
        return self.drop_output(self.unify_heads(out))
"""

FAULTS = [
    ("step 1: one matrix for keys and queries", "queries = self.queries(x)", "queries = self.keys(x) + 0 * self.queries(x)", "logits"),
    ("step 1: the values forgotten", "values = self.values(x)", "values = x + 0 * self.values(x)", "logits"),
    ("step 2: a view where a transpose belongs", ".view(b, t, h, s).transpose(1, 2)", ".view(b, h, t, s)", "causality"),
    ("step 3: heads merged into time", "keys = keys.contiguous().view(b * h, t, s)", "keys = keys.transpose(1, 2).contiguous().view(b * h, t, s)", "causality"),
    ("step 4: keys not transposed", "keys.transpose(1, 2)) / (s ** 0.5)", "keys) / (s ** 0.5)", "shapes"),
    ("step 4: no scale", " / (s ** 0.5)", "", "logits"),
    ("step 4: scaled by the whole width", "(s ** 0.5)", "e", "logits"),
    ("step 5: no mask", "dot[:, indices[0], indices[1]] = float(\"-inf\")", "pass", "causality"),
    ("step 5: the diagonal masked, too", "offset=1", "offset=0", "steadiness"),
    ("step 5: zero in place of -inf", "float(\"-inf\")", "0.0", "causality"),
    ("step 6: softmax along the wrong axis", "softmax(dot, dim=2)", "softmax(dot, dim=1)", "causality"),
    ("step 7: heads read as rows", ".view(b, h, t, s)\n        # 8", ".view(h, b, t, s).transpose(0, 1)\n        # 8", "steadiness"),
    ("step 8: glued without a transpose", "out.transpose(1, 2).contiguous().view(b, t, h * s)", "out.contiguous().view(b, t, h * s)", "causality"),
    ("step 8: no projection", "self.drop_output(self.unify_heads(out))", "self.drop_output(out)", "logits"),
]  # fmt: skip


def test_the_solution_that_the_faults_are_put_into_passes(tmp_path):
    assert_passes(tmp_path, "multi_head_attention", SOLUTION)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_faults_of_each_step_are_named(tmp_path, fault):
    assert_names(tmp_path, "multi_head_attention", SOLUTION, fault)
