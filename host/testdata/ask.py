# Prints what a running interpreter says about the fields of host.Python, as JSON. Runs on 3.6 to 3.14.
import json, os, pkgutil, re, subprocess, sys, sysconfig
from importlib import machinery

bare = subprocess.check_output([sys.executable, "-S", "-c", "import json, sys; print(json.dumps(sys.path))"])
count = bool(os.environ.get("ASK_COUNT"))
bare = set(json.loads(bare.decode())) | {os.path.dirname(os.path.abspath(__file__))}
sites = [p for p in sys.path if p not in bare and os.path.isdir(p)]


def distributions():
    try:
        from importlib import metadata
    except ImportError:  # 3.6, 3.7
        return None
    found = ((d.metadata["Name"], d.version, os.path.dirname(str(d._path))) for d in metadata.distributions(path=sites))
    return [[n, v, s] for n, v, s in sorted(found, key=key)]


def declared():
    try:
        from importlib import metadata
        return {d: sorted(set(t)) for d, t in
                ((d.metadata["Name"], (d.read_text("top_level.txt") or "").split()) for d in metadata.distributions(path=sites)) if t}
    except ImportError:
        return {}


def key(d):
    return re.sub(r"[-_.]+", "-", d[0]).lower(), sites.index(d[2]) if d[2] in sites else -1, d[1]


json.dump({
    "executable": sys.executable,
    "real": os.path.realpath(sys.executable),
    "implementation": sys.implementation.name,
    "version": sys.version.split()[0].rstrip("+"),
    "abiflags": getattr(sys, "abiflags", ""),
    "soabi": sysconfig.get_config_var("SOABI"),
    "ext_suffix": sysconfig.get_config_var("EXT_SUFFIX"),
    "suffixes": machinery.EXTENSION_SUFFIXES,
    "multiarch": sysconfig.get_config_var("MULTIARCH") or "",
    "arch": os.uname()[4],
    "bits": 64 if sys.maxsize > 2 ** 32 else 32,
    "prefix": sys.prefix,
    "base_prefix": sys.base_prefix,
    "stdlib": os.path.dirname(os.__file__),
    "debug": hasattr(sys, "gettotalrefcount"),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "sites": sites,
    "real_sites": [os.path.realpath(p) for p in sites],
    "files": [sum(os.path.isfile(os.path.join(d, f)) and not os.path.islink(os.path.join(d, f)) for d, _, fs in os.walk(p) for f in fs) for p in sites] if count else None,
    "bytes": [sum({(s.st_dev, s.st_ino): s.st_size for s in (os.lstat(os.path.join(d, f)) for d, _, fs in os.walk(p) for f in fs)
                   if s.st_mode & 0o170000 == 0o100000}.values()) for p in sites] if count else None,
    "owner": [[os.stat(p).st_uid, os.stat(p).st_mode & 0o7777] for p in sites],
    "modules": [sorted(m[1] for m in pkgutil.iter_modules([p])) for p in sites],
    "packages": distributions(),
    "top_level": declared(),
}, sys.stdout)
