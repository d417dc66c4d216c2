"""The ways that attention is written, all the same: forward, and gradients of input and weights."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

import task07

B, T, H, D = 3, 7, 4, 6
CONFIG = dataclasses.replace(
    task07.PRESETS["laptop"], block_size=T, n_embd=H * D, n_head=H, dropout=0.0, paper_scale=True
)


def split(layer, x):
    """Keys, queries and values, (B, H, T, D) each, from the one product of all heads."""
    return layer.heads(x).view(B, T, H, 3 * D).transpose(1, 2).chunk(3, dim=-1)


def batched(layer, x):
    """Heads merged into the batch axis, two batched matrix products."""
    k, q, v = (part.reshape(B * H, T, D) for part in split(layer, x))
    scores = torch.bmm(q, k.transpose(1, 2)) / D**0.5
    weights = F.softmax(scores.masked_fill(~layer.mask, float("-inf")), dim=-1)
    return torch.bmm(weights, v).view(B, H, T, D)


def einsum(layer, x):
    k, q, v = split(layer, x)
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / D**0.5
    weights = F.softmax(scores.masked_fill(~layer.mask, float("-inf")), dim=-1)
    return torch.einsum("bhts,bhsd->bhtd", weights, v)


def fused(layer, x):
    k, q, v = split(layer, x)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def head_by_head(layer, x):
    outputs = []
    for weight in layer.heads.weight.chunk(H):  # (3D, C)
        k, q, v = (F.linear(x, part) for part in weight.chunk(3))
        scores = q @ k.transpose(1, 2) / D**0.5
        outputs.append(F.softmax(scores + torch.full((T, T), float("-inf")).triu(1), dim=-1) @ v)
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("form", [batched, einsum, fused, head_by_head], ids=lambda form: form.__name__)
def test_each_form_computes_what_task_7_does(form):
    torch.manual_seed(0)
    layer = task07.SelfAttention(CONFIG)
    x = torch.randn(B, T, H * D, requires_grad=True)
    direction = torch.randn(B, T, H * D)  # of the gradient that comes back
    results = []
    for output in (layer(x), layer.projection(form(layer, x).transpose(1, 2).reshape(B, T, H * D))):
        gradients = torch.autograd.grad(output, [x, *layer.parameters()], direction)
        results.append([output, *gradients])
    for ours, other in zip(*results, strict=True):
        torch.testing.assert_close(other, ours)
