"""The package beside other libraries and the plain ways of writing the same: `make bench` measures, then writes the page."""
