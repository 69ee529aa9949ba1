# Other modules see nothing here: the file has its pair compiled.
