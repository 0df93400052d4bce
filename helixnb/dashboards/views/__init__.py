"""One view a file: a function from labelled results to a chart, and the live view."""
