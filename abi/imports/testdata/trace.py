# Runs CODE and prints as JSON which modules it really loads, which of them an import statement asked for, and how it
# ended. Usage: trace.py CODE
import dis
import json
import sys

asked = {}


def absolute(name, level, scope):
    package = scope.get("__package__") or ""
    if not level:
        return name
    base = package.rsplit(".", level - 1)[0] if level > 1 else package
    return base + "." + name if name else base


def statement(frame, name):
    """Says whether the running instruction is an import statement that names the module."""
    before = []
    for i in dis.get_instructions(frame.f_code):
        if i.opname == "EXTENDED_ARG":
            continue
        if i.offset == frame.f_lasti:
            if i.opname != "IMPORT_NAME":
                return False
            level, names = before[-2].argval, before[-1].argval or ()
            base = absolute(i.argval, level, frame.f_globals)
            return (base + ".").startswith(name + ".") or any(base + "." + n == name for n in names) or (
                "*" in names and name.startswith(base + "."))
        before = before[-3:] + [i]
    return False


class Trace:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in asked:
            f = sys._getframe(1)
            while f and "importlib._bootstrap" in f.f_code.co_filename:
                f = f.f_back
            asked[name] = [f.f_code.co_filename, f.f_lineno, f.f_code.co_name, statement(f, name)] if f else None
        return None


def files():
    """Tells where modules were found: some write another file's name into __file__ (tlz that of toolz)."""
    found = {}
    for name, m in list(sys.modules.items()):
        try:
            spec = getattr(m, "__spec__", None)
            file = spec.origin if spec and spec.has_location else getattr(m, "__file__", None)
            found[name] = str(file or "")
        except BaseException:
            found[name] = ""
    return found


def main():
    import re, tokenize, opcode, inspect, linecache, collections.abc, json.decoder
    before = set(sys.modules)
    stdout, sys.stdout = sys.stdout, sys.stderr
    sys.meta_path.insert(0, Trace)
    error = None
    try:
        exec(compile(sys.argv[1], "<code>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    except BaseException as e:
        error = [type(e).__name__, str(e)]
    sys.meta_path.remove(Trace)
    modules = files()
    stdout.write("\x02" + json.dumps({"modules": modules, "asked": asked, "error": error, "before": sorted(before), "path": sys.path}) + "\n")


main()
