"""Why is a Transformer built as it is? python -m studies.questions > docs/logs/questions.txt

The numbers and pictures behind docs/questions.md, from the models of the lessons: what recurrence costs against
attention, other functions that turn queries and keys into weights, whether the dense layers of blocks and heads differ,
and what skip connections do to gradients. Losses are nats per character of the whole validation text. Prints tables in
Markdown, writes docs/images/questions_*.png. Needs matplotlib unless --no-pictures. About a minute of processor time.
"""

import time

import task01
from common.data import Corpus
from common.machine import describe
from common.options import DEFAULT_TEXT
from common.parser import Parser
from common.progress import hint
from common.run import UserError, progress, run
from studies.questions.differences import differences
from studies.questions.recurrence import recurrence
from studies.questions.skips import skips
from studies.questions.weights import weights
from studies.report import add_number, add_seed, pyplot

import torch

ANSWERS = {answer.__name__: answer for answer in (recurrence, weights, differences, skips)}


def main() -> None:
    parser = Parser(description=__doc__)
    said = f"{', '.join(ANSWERS)} (default: all, in this order)"
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=said)
    add_seed(parser)
    add_number(parser, "--steps", 1500, "of the short trainings")
    parser.add_argument("--no-pictures", action="store_true", help="print only")
    options = parser.parse_args()
    draw = None if options.no_pictures else pyplot()
    torch.set_num_threads(1)
    corpus = Corpus(DEFAULT_TEXT, task01.Config().block_size)
    for name in options.questions or ANSWERS:
        if name not in ANSWERS:
            raise UserError(f"expected a question, {', '.join(ANSWERS)}, got {name!r}")
        torch.manual_seed(options.seed)
        hint(f"{name} …")
        progress.where = f"at the question of {name}"
        start = time.process_time()
        print(f"## {name}\n")
        ANSWERS[name](corpus, options, draw)
        seconds = time.process_time() - start
        print(f"# seed {options.seed}, {options.steps:,} steps, {seconds:.0f} s on one of {describe()}\n", flush=True)


if __name__ == "__main__":
    run(main)
