"""`python -m zoo_core` is the command `zoo`."""

from zoo_core.cli.main import main

if __name__ == "__main__":
    main()
