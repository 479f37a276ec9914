"""A package rather than a bare folder: torch-fidelity installs a `tests` that would go before it."""
