# Prints as JSON what `import NAME` really loads, who asked for it, and how it ended.
import sys
asked = {}
class Trace:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in asked:
            f = sys._getframe(1)
            while f and "importlib._bootstrap" in f.f_code.co_filename:
                f = f.f_back
            asked[name] = [f.f_code.co_filename, f.f_lineno, f.f_code.co_name] if f else ["", 0, ""]
        return None
before = set(sys.modules)
sys.meta_path.insert(0, Trace)
error = None
try:
    exec(sys.argv[1])
except BaseException as e:
    error = [type(e).__name__, str(e)]
sys.meta_path.remove(Trace)
modules = {}
for name, m in list(sys.modules.items()):
    try:
        modules[name] = str(getattr(m, "__file__", None) or "")
    except BaseException:
        modules[name] = ""
import json
sys.__stdout__.write("\x02" + json.dumps({"modules": modules, "asked": asked, "error": error, "before": sorted(before), "path": sys.path}) + "\n")
