"""Train what task 8 writes with: python -m studies.weights --save RUN.pt

Task 9's GPT and laptop preset, but longer, and with the dropout that a longer run needs. What it saves becomes
the committed weights by `python -m studies.export RUN.pt LOG.txt` (LOG: what `studies.record` wrote of it).
The flags and the log are task 9's.
"""

from common.exits import end_cleanly

end_cleanly(__name__)

import dataclasses

import torch

from common.data import Corpus
from common.options import parse_options
from common.training import train
from task09_rope import GPT, PRESETS as TASK09

PRESETS = {
    "laptop": dataclasses.replace(
        TASK09["laptop"], epochs=3000, dropout=0.1, warmup=100, cooldown=2100, eval_interval=500,
        time="about 25 minutes on two cores",
    )
}  # fmt: skip


def main():
    options = parse_options(__doc__, presets=PRESETS)
    config = options.config
    torch.manual_seed(options.seed)
    corpus = Corpus(options.data, config.block_size, options.device)
    model = GPT(config, len(corpus.vocabulary)).to(options.device)
    train(model, corpus, config, options)


if __name__ == "__main__":
    main()
