"""Which property does my code violate? python -m check task03 my_task03.py

The learner's file runs in a separate process (worker.py, sandbox.py) that only answers questions: build a model of
these sizes, take these weights, give the logits of these tokens. This process asks (session.py) and judges (suites/),
with its own reference (reference.py, matching.py).
"""

COMMANDS = {"start": "check.start", "run": "check.own", "look": "check.look", "grade": "check.grading.grade"}
