#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image. This repository is in gpt/ of the zip file.
set -euo pipefail
apt-get update && apt-get install -y python3 python3-venv
python3 -m venv /autograder/venv
/autograder/venv/bin/pip install --index-url https://download.pytorch.org/whl/cpu torch==2.13.0
/autograder/venv/bin/pip install rich==15.0.0 sandlock==0.9.0
