# A right `generate` in the style of gumbel.
import torch
import torch.nn as nn


@torch.no_grad()
def generate(model, x, max_new_tokens, temperature=1.0):
    """The token with the largest of logit / temperature - log(exponential noise): a draw from the softmax."""
    training = model.training
    model.eval()
    out = torch.cat([x, x.new_empty(x.shape[0], max_new_tokens)], dim=1)
    for t in range(x.shape[1], out.shape[1]):
        logits = model(out[:, max(0, t - model.block_size) : t])[:, -1] / temperature
        noise = torch.empty_like(logits).exponential_()
        out[:, t] = (logits - noise.log()).argmax(-1)
    model.train(training)
    return out
