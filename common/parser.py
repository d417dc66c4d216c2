"""argparse as every command here uses it; apart from common.options, so that a command may do without PyTorch."""

import argparse

from common.exits import UserError


class Parser(argparse.ArgumentParser):
    """argparse, but its complaints take one line, and exit code 2."""

    def error(self, message):
        raise UserError(f"{message} (see --help)")
