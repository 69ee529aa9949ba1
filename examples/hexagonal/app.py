"""The composition root: the one place that knows which adapter is behind which port."""

import atexit
import os

from shop.adapters.memory import MemoryProducts, MemoryUsers
from shop.adapters.scrypt import ScryptPasswords
from shop.adapters.sqlite import Database, SqliteProducts, SqliteUsers
from shop.adapters.web import routes
from shop.use_cases import Shop

DATABASE = os.environ.get("DATABASE")

if DATABASE:
    database = Database(DATABASE)
    atexit.register(database.close)
    users, products = SqliteUsers(database), SqliteProducts(database)
else:
    users, products = MemoryUsers(), MemoryProducts()

handle = routes(Shop(users, products, ScryptPasswords()))
