"""Which property does my code violate? python -m check task03 my_task03.py

The learner's file runs in a separate process (isolated/) that only answers questions: build a model of these sizes,
take these weights, give the logits of these tokens. This process asks and judges (judge/), with its own reference.
command/ has what the command line does, grading/ what teachers need.
"""

COMMANDS = {
    "start": "check.command.start",
    "run": "check.command.run_file",
    "look": "check.command.draw_attention",
    "grade": "check.grading.grade",
}
