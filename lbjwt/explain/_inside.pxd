# Doors for Python only: nothing here is called at the speed of requests.
