package imports

import (
	"strings"
	"sync"

	"hostrun.dev/hostrun/abi"
)

// frozenPackages are the frozen modules that have submodules.
var frozenPackages = map[string]bool{"__phello__": true, "__phello__.ham": true}

// frozenFrom is the module whose source a frozen one was made from.
func frozenFrom(name string) string {
	switch name {
	case "_frozen_importlib":
		return "importlib._bootstrap"
	case "_frozen_importlib_external":
		return "importlib._bootstrap_external"
	}
	return name
}

// frozenModules are those that the interpreter holds as bytecode (Python/frozen.c): since 3.11 what every start needs, so
// that no file of these names is ever looked for. Three bootstrap modules were there before.
func frozenModules(v abi.Version) map[string]bool {
	names := []string{"_frozen_importlib", "_frozen_importlib_external", "__hello__", "__phello__"}
	if v.Minor >= 8 {
		names = append(names, "zipimport")
	}
	if v.Minor >= 11 {
		names = append(names, strings.Fields("_collections_abc _sitebuiltins abc codecs genericpath importlib.machinery importlib.util io ntpath os "+
			"posixpath runpy site stat __phello__.ham __phello__.ham.eggs __phello__.spam __hello_alias__ __hello_only__")...)
	}
	all := map[string]bool{}
	for _, name := range names {
		all[name] = true
	}
	return all
}

// standard are the top-level modules of the standard library, of all versions from 3.6 to 3.14 (sys.stdlib_module_names).
const standard = `__future__ _abc _aix_support _android_support _apple_support _ast _ast_unparse _asyncio _bisect _blake2 _bootlocale _bootsubprocess _bz2 _codecs
_codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _collections _collections_abc _colorize _compat_pickle _compression
_contextvars _crypt _csv _ctypes _curses _curses_panel _datetime _dbm _decimal _dummy_thread _elementtree _frozen_importlib _frozen_importlib_external
_functools _gdbm _hashlib _heapq _hmac _imp _interpchannels _interpqueues _interpreters _io _ios_support _json _locale _lsprof _lzma _markupbase _md5
_msi _multibytecodec _multiprocessing _opcode _opcode_metadata _operator _osx_support _overlapped _pickle _posixshmem _posixsubprocess _py_abc
_py_warnings _pydatetime _pydecimal _pyio _pylong _pyrepl _queue _random _remote_debugging _scproxy _sha1 _sha2 _sha256 _sha3 _sha512 _signal
_sitebuiltins _socket _sqlite3 _sre _ssl _stat _statistics _string _strptime _struct _suggestions _symtable _sysconfig _thread _threading_local
_tkinter _tokenize _tracemalloc _types _typing _uuid _warnings _weakref _weakrefset _winapi _wmi _zoneinfo _zstd abc aifc annotationlib antigravity
argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii binhex bisect builtins bz2 cProfile calendar cgi cgitb chunk cmath cmd
code codecs codeop collections colorsys compileall compression concurrent configparser contextlib contextvars copy copyreg crypt csv ctypes curses
dataclasses datetime dbm decimal difflib dis distutils doctest dummy_threading email encodings ensurepip enum errno faulthandler fcntl filecmp
fileinput fnmatch formatter fractions ftplib functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http
idlelib imaplib imghdr imp importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale logging lzma macpath mailbox mailcap marshal
math mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path numbers opcode operator optparse os ossaudiodev
parser pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc
pydoc_data pyexpat queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site
smtpd smtplib sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct subprocess
sunau symbol symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap this threading time timeit tkinter token tokenize
tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser
winreg winsound wsgiref xdrlib xml xmlrpc zipapp zipfile zipimport zlib zoneinfo`

// removed says in which minor version of Python 3 a module left the standard library ("What's New": 3.9 to 3.13).
var removed = map[string]int{
	"dummy_threading": 9, "_dummy_thread": 9, "formatter": 10, "parser": 10, "symbol": 10, "macpath": 8, "binhex": 11,
	"asynchat": 12, "asyncore": 12, "distutils": 12, "imp": 12, "smtpd": 12,
	"aifc": 13, "audioop": 13, "cgi": 13, "cgitb": 13, "chunk": 13, "crypt": 13, "imghdr": 13, "lib2to3": 13, "mailcap": 13, "msilib": 13, "nis": 13,
	"nntplib": 13, "ossaudiodev": 13, "pipes": 13, "sndhdr": 13, "spwd": 13, "sunau": 13, "telnetlib": 13, "uu": 13, "xdrlib": 13,
}

var standardNames = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, name := range strings.Fields(standard) {
		names[name] = true
	}
	return names
})

// isStandard says whether a module belongs to the standard library of a version.
func isStandard(name string, v abi.Version) bool {
	top, _, _ := strings.Cut(name, ".")
	if minor, gone := removed[top]; gone && v.Minor >= minor {
		return false
	}
	return standardNames()[top]
}
