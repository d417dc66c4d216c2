"""Task 9: what rotary position embedding promises (RoFormer, arXiv 2104.09864, section 3)."""

import dataclasses

import pytest
import torch

import task07
import task09_rope as rope

SMALL = dataclasses.replace(rope.PRESETS["laptop"], block_size=16, n_embd=24, n_head=3, n_layer=2, dropout=0.0)


@pytest.fixture
def vectors():
    return torch.randn(2, 4, 16, 8, generator=torch.Generator().manual_seed(0))  # (B, H, T, D)


def test_the_first_position_stays_and_no_vector_changes_its_length(vectors):
    turned = rope.rotate(vectors, rope.rotation_angles(16, 8))
    torch.testing.assert_close(turned[:, :, 0], vectors[:, :, 0])
    torch.testing.assert_close(turned.norm(dim=-1), vectors.norm(dim=-1))
    assert (turned[:, :, 1:] - vectors[:, :, 1:]).abs().amax(-1).min() > 0.01


def test_pairs_turn_as_complex_numbers_do(vectors):
    angles = rope.rotation_angles(16, 8)
    assert angles[1].tolist() == pytest.approx([1.0, 0.1, 0.01, 0.001])
    assert angles[15].tolist() == pytest.approx([15.0, 1.5, 0.15, 0.015])
    expected = torch.complex(vectors[..., :4], vectors[..., 4:]) * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(rope.rotate(vectors, angles), torch.cat([expected.real, expected.imag], dim=-1))


def test_a_score_depends_on_the_distance_alone(vectors):
    angles = rope.rotation_angles(16, 8)
    q, k = vectors[0, 0, :1].expand(16, 8), vectors[0, 1, :1].expand(16, 8)
    scores = rope.rotate(q, angles) @ rope.rotate(k, angles).T  # (T, T)
    by_distance = [scores.diagonal(-d) for d in range(16)]
    for same in by_distance:
        torch.testing.assert_close(same, same[:1].expand_as(same))
    means = torch.stack([same.mean() for same in by_distance])
    assert (means[:, None] - means).abs().add(torch.eye(16)).min() > 1e-4  # and distances are told apart


def test_only_queries_and_keys_are_turned():
    torch.manual_seed(0)
    layer = rope.SelfAttention(SMALL).eval()
    x = torch.randn(1, 16, 24)
    alone = torch.cat([layer(x[:, :1]), layer(x[:, 1:2])], dim=1)  # each attends to itself, at position 0
    masked = layer.mask.clone()
    layer.mask = torch.eye(16, dtype=torch.bool)  # now each at its own position
    torch.testing.assert_close(layer(x)[:, :2], alone)
    layer.mask = masked
    assert not torch.allclose(layer(x)[:, 1:2], alone[:, 1:])


def test_the_angles_are_no_parameters_and_the_table_is_gone():
    torch.manual_seed(0)
    learned, rotary = task07.GPT(SMALL, 65), rope.GPT(SMALL, 65)
    missing = dict(learned.named_parameters()).keys() - dict(rotary.named_parameters()).keys()
    assert missing == {"position_embedding.weight"}
    assert rotary.state_dict().keys() <= learned.state_dict().keys()


def test_the_order_of_the_past_matters():
    torch.manual_seed(0)
    model = rope.GPT(SMALL, 65).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    tokens = torch.tensor([[1, 2, 3, 4, 5]])
    swapped = torch.tensor([[2, 1, 3, 4, 5]])
    assert not torch.allclose(model(tokens)[:, -1], model(swapped)[:, -1], atol=1e-3)
