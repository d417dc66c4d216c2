"""Open the page on which all lessons write: python -m page

It is served from this machine to this machine: page/ and the weights that you give, nothing else. Ctrl-C ends it.
"""

import sys
import webbrowser
from pathlib import Path

HERE = Path(__file__).resolve().parent
if not __package__:  # python PATH/page, in any folder
    sys.path[:] = [str(HERE.parent), *(path for path in sys.path if not path or Path(path).resolve() != HERE)]

from common.parser import Parser, path, whole_number  # noqa: E402
from common.run import UserError, progress, run  # noqa: E402
from page.server import Server  # noqa: E402


def main() -> None:
    parser = Parser(prog="python -m page", description=__doc__)
    parser.add_argument("--port", type=whole_number(0, 65535), default=0, help="by default a free one")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument(
        "--weights", type=path, metavar="FILE", help="a model of your own: a checkpoint (--save), or a safetensors file"
    )
    options = parser.parse_args()
    weights = own_weights(options.weights) if options.weights else None
    try:
        server = Server(options.port, weights, options.weights.stem if options.weights else "")
    except OSError as error:
        raise UserError(f"port {options.port}: {error.strerror}; without --port, a free one is taken") from error
    progress.where = "while it served the page"
    with server:
        print(server.address, flush=True)
        if not options.no_browser:
            webbrowser.open(server.address)
        server.serve_forever()


def own_weights(file: Path) -> bytes:
    """The safetensors of a model of one's own, exported from a checkpoint if need be. Raises UserError."""
    if file.suffix != ".safetensors":
        from common.checkpoint import load  # imports PyTorch
        from common.safetensors import as_safetensors

        return as_safetensors(load(file))
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error


if __name__ == "__main__":
    run(main)
