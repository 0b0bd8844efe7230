module whimbrel.dev/testbed/mkoci

go 1.25
