# Opens each file named on standard input in a process of its own, as import does (RTLD_NOW | RTLD_LOCAL), and prints one
# line for each: its path, a tab, and "ok", "error" with the text of dlerror, or "signal" with its number.
import os
import sys

import _ctypes

sys.stdout.write(_ctypes.__file__ if hasattr(_ctypes, "__file__") else "-")
sys.stdout.write("\n")
sys.stdout.flush()
for path in sys.stdin.read().split("\n"):
    if not path:
        continue
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 2)
        try:
            _ctypes.dlopen(path, 2)
            said = "ok"
        except OSError as e:
            said = "error " + str(e)
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    said = b""
    while True:
        part = os.read(read, 65536)
        if not part:
            break
        said += part
    os.close(read)
    status = os.waitpid(child, 0)[1]
    if not said:
        said = ("signal %d" % (status & 127)).encode()
    sys.stdout.write(path + "\t" + said.decode() + "\n")
    sys.stdout.flush()
