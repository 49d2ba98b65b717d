"""The only timers and memory meters of the project, and the facts of the machine they ran on."""
