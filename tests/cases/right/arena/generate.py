# A right `generate` in the style of arena.
import torch
import torch.nn as nn


@torch.no_grad()
def generate(model, tokens, max_new_tokens, temperature=1.0):
    mode = model.training
    model.eval()
    for _ in range(max_new_tokens):
        logits = model(tokens[:, -model.block_size :])[:, -1]
        sampled = torch.distributions.categorical.Categorical(logits=logits / temperature).sample()
        tokens = torch.cat([tokens, sampled[:, None]], dim=-1)
    model.train(mode)
    return tokens
