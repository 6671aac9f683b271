"""The command line: one file a command, each parses, calls and renders. Only here is anything
printed."""
