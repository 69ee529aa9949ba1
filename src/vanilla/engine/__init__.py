"""Where backend, protocol and handler meet: the tick, its connections and its timers. Compiled only."""
