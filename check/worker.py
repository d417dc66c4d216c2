"""The process that runs the learner's code: python -m check.worker TASK FILE. Results go out as lines of JSON.

Apart from the command that reads them, so that code which hangs, exits or prints spoils only itself.
"""

import json
import os
import sys
import warnings
from pathlib import Path


def main():
    task, path, everything, official_too = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "1", sys.argv[4] == "1"
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):  # what the learner's code prints is no result
        os.dup2(nowhere, stream.fileno())

    def tell(**fields):
        results.write(json.dumps(fields) + "\n")
        results.flush()

    warnings.filterwarnings("ignore")
    import torch

    from check.pieces import stages_of
    from check.subject import Failure, Skipped, Subject

    torch.set_num_threads(min(2, os.cpu_count() or 1))
    subject = Subject(task, path, official_too)
    for name, stage in stages_of(task).items():
        tell(stage=name)
        try:
            with torch.enable_grad() if name in ("gradients", "loss") else torch.no_grad():
                tell(stage=name, status="pass", detail=stage(subject))
            continue
        except Skipped as skipped:
            tell(stage=name, status="skip", detail=str(skipped))
            continue
        except NotImplementedError as missing:  # a starter's own
            tell(stage=name, status="not started", detail=str(missing) or "NotImplementedError")
            break
        except Failure as failure:
            failed = {"what": failure.what, "expected": failure.expected, "got": failure.got, "hint": failure.question}
        except BaseException as error:  # SystemExit and KeyboardInterrupt raised by the learner's code, too
            failed = {"what": f"the code runs ({name})", "expected": "no error", "got": subject.line(error),
                      "hint": "Which shape, or which value, does each name on that line have?"}  # fmt: skip
        tell(stage=name, status="fail", **failed)
        if not everything or name in ("identity", "contract"):
            break
    tell(done=True)


if __name__ == "__main__":
    main()
