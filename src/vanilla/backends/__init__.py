"""One event mechanism a file, behind one small interface in completion style: the engine never knows which it is."""
