#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image. This repository lies in gpt/ of the zip.
set -euo pipefail
apt-get update && apt-get install -y python3 python3-venv
python3 -m venv /autograder/venv
/autograder/venv/bin/pip install --index-url https://download.pytorch.org/whl/cpu torch
/autograder/venv/bin/pip install rich
