"""The command line, one module a command.

Each has ``add_parser(subparsers)``, which sets ``run``, and ``run(args)``, which returns the exit
status.
"""
