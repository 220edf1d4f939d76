"""Parts of the suites `end_to_end` and `cold_start`: the work by hand, networks, programs of fresh starts."""
