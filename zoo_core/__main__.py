"""`python -m zoo_core` is the command `zoo`, and torchrun starts it so."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:  # the current folder comes first, and a torch.py that lies there would be run
        del sys.path[0]
    from zoo_core.cli.main import main

    main()
