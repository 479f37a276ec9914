"""Two experiments held against each other, item by item."""
