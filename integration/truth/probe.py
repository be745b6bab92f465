"""Really loads what it is told to, each in a child of its own, and says what happened.

usage: probe.py TASKS [DIRECTORY...], where TASKS is a file of lines "dlopen PATH" or "import NAME" and each DIRECTORY is
added as site would. A line of output is: the task's number, what happened, and the message, between tabs; of an import that
fails also where: the lines of Python that it came through (FILE:LINE, between "|", outermost first, of the exceptions that led
to it too), and the library that the loader initialised last.

  ok       it was loaded
  error    the message is the loader's or the exception's
  signal   the child was ended by it
  exit     the loader itself gave up: the message is the status and what was written to standard error
  init     the loader was content, and then the library's own code ended the process: message as above

dlopen is CPython's own (_imp.create_dynamic: RTLD_NOW). The module is asked for under a name that it has no PyInit
function for, so that the loader's part is seen alone: the complaint about the missing function is the proof that the
loader was content. With LD_DEBUG=files glibc says when it begins to call the libraries' own code. Runs on CPython 3.8 and later, minimal builds included.
"""
import os
import re
import signal
import sys

LIMIT = 120  # seconds for one task
DEBUG = re.compile(rb" *[0-9]+:\t")  # a line that LD_DEBUG made
INIT = re.compile(rb"\tcalling init: (.*)\n")
LOADED = "dynamic module does not define"


class Spec:
    name = "hostrun_no_such_function"
    parent = loader = None

    def __init__(self, path):
        self.origin = path


def dlopen(path):
    import _imp
    try:
        _imp.create_dynamic(Spec(path))
    except ImportError as e:
        if str(e).startswith(LOADED):
            return "ok", ""
        return "error", str(e)
    return "ok", ""


def load(name):
    try:
        __import__(name)
    except BaseException as e:
        return "error", "%s: %s" % (type(e).__name__, e), "|".join(frames(e, []))
    return "ok", ""


def frames(e, seen):
    """Lists FILE:LINE of the exceptions that led to this one, and of this one."""
    if e is None or e in seen:
        return []
    seen.append(e)
    lines, t = [], e.__traceback__
    while t is not None:
        lines.append("%s:%d" % (t.tb_frame.f_code.co_filename, t.tb_lineno))
        t = t.tb_next
    if isinstance(e, SyntaxError):
        lines.append("%s:%d" % (e.filename, e.lineno or 0))
    return frames(e.__context__, seen) + frames(e.__cause__, seen) + lines[1:]


def child(task, out, err):
    null = os.open(os.devnull, os.O_RDWR)
    for fd, to in ((0, null), (1, null), (2, err)):
        os.dup2(to, fd)
    signal.alarm(LIMIT)
    kind, _, what = task.partition(" ")
    state, message, *where = {"dlopen": dlopen, "import": load}[kind](what)
    answer = "\t".join([state, message[:4000].replace("\t", " ")] + [w[-20000:] for w in where])
    os.write(out, answer.encode("utf-8", "replace"))
    os._exit(0)


def run(task):
    r, w = os.pipe()
    err = os.open("/tmp/stderr", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    pid = os.fork()
    if pid == 0:
        try:
            child(task, w, err)
        finally:
            os._exit(1)
    os.close(w)
    said = b""
    while True:  # a library's own child may keep the pipe open: one answer is all there is
        part = os.read(r, 65536)
        said += part
        if not part or said:
            break
    os.close(r)
    _, status = os.waitpid(pid, 0)
    if not said:
        said = ended(status, err)
    elif said.count(b"\t") == 2:
        said += b"\t" + b"".join(INIT.findall(os.pread(err, 1 << 26, 0))[-1:])
    os.close(err)
    return said.decode("utf-8", "replace").replace("\n", "\\n").replace("\r", "\\r")


def ended(status, err):
    wrote = os.pread(err, 1 << 24, 0)
    own = [line for line in wrote.splitlines() if not DEBUG.match(line)]
    state, how = b"exit", b"%d %s" % (os.WEXITSTATUS(status), b" ".join(own)[-2000:])
    if os.WIFSIGNALED(status):
        state, how = b"signal", b"%d" % os.WTERMSIG(status)
    if b"\tcalling init: " in wrote:
        state, how = b"init", state + b" " + how
    return state + b"\t" + how


def main():
    for directory in sys.argv[2:]:
        import site
        site.addsitedir(directory)
    with open(sys.argv[1], encoding="utf-8", errors="surrogateescape") as f:
        tasks = f.read().splitlines()
    for number, task in enumerate(tasks):
        answer = run(task)
        sys.stdout.write("%d\t%s\n" % (number, answer))
        sys.stdout.flush()


main()
