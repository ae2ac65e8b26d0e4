"""The command `drift-run`: the tap and a target, with the state in a file."""
