"""Our agent and its peers at the same work, measured from outside: see bench/README.md."""
