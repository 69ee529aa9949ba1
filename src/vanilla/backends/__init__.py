"""Event mechanisms, each behind one small interface in completion style: the engine never knows which one it is."""
