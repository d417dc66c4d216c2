# A right `generate` in the style of hugging_face.
import torch
import torch.nn as nn


class TemperatureLogitsWarper:
    def __init__(self, temperature):
        self.temperature = temperature

    def __call__(self, input_ids, scores):
        return scores / self.temperature


@torch.no_grad()
def generate(model, input_ids, max_new_tokens, temperature=1.0):
    warper = TemperatureLogitsWarper(temperature)
    max_length = input_ids.shape[-1] + max_new_tokens
    training = model.training
    model.eval()
    while input_ids.shape[-1] < max_length:
        outputs = model(input_ids[:, -model.block_size :])
        next_token_logits = outputs[:, -1, :].to(copy=True, dtype=torch.float32)
        next_token_scores = warper(input_ids, next_token_logits)
        probs = torch.nn.functional.softmax(next_token_scores, dim=-1)
        next_tokens = torch.multinomial(probs, num_samples=1).squeeze(1)
        input_ids = torch.cat([input_ids, next_tokens[:, None]], dim=-1)
    model.train(training)
    return input_ids
