"""A package, not a bare folder: torch-fidelity installs a `tests` that would go before it."""
