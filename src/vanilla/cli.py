"""The command `vanilla TARGET`: read the options, load the application, run the server, turn failures into exit codes.

# Exit codes
# 0 after a shutdown that was asked for; 1 if the server could not start (a port in use) or a worker failed; 2 for a
# wrong option, a missing file or name, or an application that cannot be imported; 130 for Ctrl-C before it served.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from vanilla.errors import BindError, ConfigError
from vanilla.options import apply_options, parser, read_options
from vanilla.server.config import ServerConfig
from vanilla.server.log import configure
from vanilla.server.server import Server
from vanilla.server.workers import WorkerError
from vanilla.target import ImportFailedError, load_target

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: without the program's name; default: those of this process.

    Returns: the exit code.
    Raises: SystemExit for --help, --version and unknown options, by argparse.
    """
    given = vars(parser().parse_args(arguments))
    try:
        values = read_options(given, os.environ)
        configure(str(values.get("log_level", "info")))
        target = load_target(given["target"])
        config = target if isinstance(target, ServerConfig) else ServerConfig(target)
        config = apply_options(config, values)
        Server(config).run()
    except ConfigError as error:
        return _complain(str(error), MISUSED)
    except ImportFailedError as error:
        _show_application_error(error)
        return _complain(f"{error}: could not be imported, see above", MISUSED)
    except BindError as error:
        return _complain(str(error.strerror), FAILED)
    except WorkerError as error:
        return _complain(str(error), FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:  # from a hook of the application: make_state, on_worker_start, after_server_start
        traceback.print_exc()
        return FAILED
    return 0


def _complain(message: str, code: int) -> int:
    print(f"vanilla: {message}", file=sys.stderr)
    return code


def _show_application_error(error: ImportFailedError) -> None:
    """The application's own traceback, from its own first frame on: how we came there is no help."""
    cause = error.__cause__
    assert cause is not None
    on_the_way = (os.path.join(os.path.dirname(__file__), ""), os.path.dirname(importlib.__file__), "<frozen importlib")
    first = cause.__traceback__
    while first is not None and first.tb_frame.f_code.co_filename.startswith(on_the_way):
        first = first.tb_next
    traceback.print_exception(type(cause), cause, first)
