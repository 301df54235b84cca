"""The rows of RESULTS.md: recorded once, kept in a table, and shown as a page."""
