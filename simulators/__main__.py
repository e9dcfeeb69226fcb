"""`python -m simulators` is `oc-sim`."""

from simulators.cli import main

if __name__ == "__main__":
    main()
