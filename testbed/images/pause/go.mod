module whimbrel.dev/testbed/pause

go 1.25
