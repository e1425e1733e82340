"""Commands: parse options, call the engine, print. They decide nothing."""
