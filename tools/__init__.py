"""Tools of the project itself: record runs, export weights, evaluate them, draw curves, generate tables."""
