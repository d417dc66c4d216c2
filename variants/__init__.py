"""What GPTs of today change in task 9's model, one script each: python -m variants.rmsnorm (docs/variants.md)."""

import task09_rope
from common.config import PRESETS
from common.data import Corpus
from common.options import parse_options
from common.progress import print_sample
from common.train import train

import torch


def main(description, model_class, config_class=task09_rope.Config, presets=PRESETS):
    """Task 9's main() with another model; the trained model."""
    options = parse_options(description, config_class, presets)
    torch.manual_seed(options.seed)
    corpus = Corpus(options.data, options.config.block_size, options.device)
    model = model_class(options.config, len(corpus.vocabulary)).to(options.device)
    train(model, corpus, options.config, options)
    print_sample(model, corpus)
    return model
