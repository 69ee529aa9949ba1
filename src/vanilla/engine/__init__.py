"""Where backend, protocol and handler meet: the tick, its connections and its timers. Compiled only.

Phases 1 and 3 are functions over a `State`, phase 2 a chain of classes above it, so that everything of a worker's is
one object. Each owns what is said of it here, and knows those above it in this list:

    State       state       buffers, queues, deadlines and counts, which the phases share
    Calls       calls       timers, posts of other threads, last words at a shutdown
    Parking     parking     requests that wait
    Watches     watches     watched descriptors
    Reading     reading     content that is read piece by piece
    Takeovers   takeover    connections that have left HTTP
    Awaiting    awaiting    coroutines, and work on other threads
    Resuming    resuming    how requests that wait go on, and end
    Handling    handling    the call of a handler, and the objects that it gets
    Engine      tick        the tick itself: its start, its phases, its end
"""
