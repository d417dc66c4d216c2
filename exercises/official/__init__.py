"""The pieces in whole: what exercises/build.py makes their starters from. To learn, write your own first."""
