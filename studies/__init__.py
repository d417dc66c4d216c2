"""Questions with measured answers, one file or folder each. What they found: docs/studies.md."""
