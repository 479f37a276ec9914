"""What the method costs: each module prints a Markdown table, `python -m benchmarks.NAME`."""
