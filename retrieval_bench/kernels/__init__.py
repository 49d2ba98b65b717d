"""Native inner loops, compiled where there is a C compiler, each with a numpy form that gives the same answers."""
